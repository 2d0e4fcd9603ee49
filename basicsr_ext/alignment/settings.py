"""What an alignment is asked for: the block `align` of an option file."""

from dataclasses import dataclass
from typing import Literal

from basicsr_ext.alignment.tuning import TuningSettings
from basicsr_ext.errors import OptionError


@dataclass(frozen=True)
class AlignSettings(TuningSettings):
    """The block `align`: how the tuner learns, and what.

    Attributes:
        target: whose statistics the tuned images shall have: `full` for those of `datasets.target`, `subset` for their
            own before tuning (TripleD, Eq. 4 as printed), which only restrains what the restoration loss does.
        input: of pairs of files: `moved` by the change of the clean image, reduced by MATLAB's bicubic interpolation
            where it is smaller, so that a network learns to restore and not to tune; or `kept`. Datasets that make
            their input make it of the tuned image.
    """

    target: Literal['full', 'subset'] = 'full'
    input: Literal['moved', 'kept'] = 'moved'

    def __post_init__(self) -> None:
        if self.target == 'subset' and not self.restoration_weight:
            raise OptionError(
                'target',
                'full',
                'subset without restoration_weight, which leaves the images as they are',
                'Write full or add the weight.',
            )
