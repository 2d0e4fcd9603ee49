"""What a ranking by complexity is asked for: the block `rank` of an option file with `method: complexity`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from basicsr_ext.options.blocks import NameIn
from basicsr_ext.selection.complexity.criteria import CRITERIA


@dataclass(frozen=True)
class ComplexitySettings:
    """The settings of a ranking by complexity.

    Attributes:
        method: `complexity`.
        criterion: `entropy`, `std` or `gradient` of the grey image; `scorer`, a trained network of the option file.
        source: which image is measured: `gt`, the clean one; `lq`, its degraded version; `restored`, what `network_g`
            makes of this.
        groups: a CSV file with lines `path,group` that gives each image a group; None leaves the dataset's own.
        workers: processes that read and measure; 0 does it in the process of the job.
        batch_size: images that the scorer sees together; restored ones it sees one by one.
        tile_size: side in pixels of the tiles of `lq` in which `network_g` restores; None takes whole images.
        tile_overlap: pixels that a tile is extended by on every side.
        precision: of the networks, `float32` or `bfloat16`.
    """

    method: Literal['complexity']
    criterion: Annotated[str, NameIn(CRITERIA, beside=('scorer',))] = 'entropy'
    source: Literal['gt', 'lq', 'restored'] = 'gt'
    groups: str | None = None
    workers: Annotated[int, Ge(0)] = 0
    batch_size: Annotated[int, Ge(1)] = 16
    tile_size: Annotated[int, Ge(1)] | None = None
    tile_overlap: Annotated[int, Ge(0)] = 32
    precision: Literal['float32', 'bfloat16'] = 'float32'

    @property
    def networks(self) -> list[str]:
        """The ends of the keys `network_...` of the networks that are needed."""
        needed = {'g': self.source == 'restored', 'scorer': self.criterion == 'scorer'}
        return [name for name, is_needed in needed.items() if is_needed]
