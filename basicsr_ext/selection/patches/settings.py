"""What a scan of patches is asked for: the block `mine` of an option file."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge

from basicsr_ext.errors import OptionError
from basicsr_ext.options.blocks import NameIn
from basicsr_ext.selection.patches.criteria import CRITERIA

Criterion = Annotated[str, NameIn(CRITERIA, beside=('loss', 'random'))]


@dataclass(frozen=True)
class MineSettings:
    """The patches that are looked at, and how they are measured.

    Attributes:
        patch_size: side of the square patches in the clean images, in pixels.
        stride: distance of neighbouring patches.
        criteria: one column each: `grad`, the mean squared difference of neighbours; `grad_mag`, the mean magnitude of
            the gradient; `std`; `freq`, the power above half the highest frequency; `loss`, the squared error of the
            network of the option file; `random`.
        edge: add the patches that touch the right and the lower side where the grid leaves a rest.
        workers: processes that read and measure; 0 does it in the process of the job.
        bad_images: `skip` or `refuse` images that are damaged or smaller than a patch.
        batch_size: patches that the network of `loss` sees together.
        precision: of this network, `float32` or `bfloat16`.
    """

    patch_size: Annotated[int, Ge(1)] = 96
    stride: Annotated[int, Ge(1)] = 120
    criteria: list[Criterion] = field(default_factory=lambda: ['grad'])
    edge: bool = False
    workers: Annotated[int, Ge(0)] = 0
    bad_images: Literal['skip', 'refuse'] = 'skip'
    batch_size: Annotated[int, Ge(1)] = 32
    precision: Literal['float32', 'bfloat16'] = 'float32'

    def __post_init__(self) -> None:
        if not self.criteria or len(set(self.criteria)) < len(self.criteria):
            raise OptionError('criteria', 'different names, at least one', self.criteria, 'Correct them.')
