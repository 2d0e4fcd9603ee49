"""What a scan of patches is asked for: the block `mine` of an option file."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge

from basicsr_ext.errors import OptionError
from basicsr_ext.options.blocks import NameIn
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.patches.criteria import CRITERIA

OF_NETWORKS = ('loss', 'influence')
Criterion = Annotated[str, NameIn(CRITERIA, beside=(*OF_NETWORKS, 'random'))]


@dataclass(frozen=True)
class InfluenceSettings:
    """How the influence of patches is solved for, by Gauss-Newton; keys as in the block `rank` of a ranking.

    Attributes:
        damping: added to the curvature, relative to its largest eigenvalue: a number or `auto`.
        iterations: curvature products.
        curvature_images: how many training images, chosen at random, these products see; None takes all.
        batch_size: images computed together while it is solved.
        tile_size: side in pixels of the ground truth of the tiles that images are cut into; None takes whole images;
            `auto` as in the block `rank` of a ranking.
        precision: `float32` or `bfloat16`.
    """

    damping: float | Literal['auto'] = 'auto'
    iterations: Annotated[int, Ge(1)] = 20
    curvature_images: Annotated[int, Ge(1)] | None = 60
    batch_size: Annotated[int, Ge(1)] = 2
    tile_size: Annotated[int, Ge(1)] | Literal['auto'] | None = 'auto'
    precision: Literal['float32', 'bfloat16'] = 'float32'

    def __post_init__(self) -> None:
        self.as_ranking()

    def as_ranking(self) -> RankSettings:
        """The settings of the ranking of whole images that patches are parts of.

        Raises:
            OptionError: the damping is out of bounds.
        """
        return RankSettings(**asdict(self))


@dataclass(frozen=True)
class MineSettings:
    """The patches that are looked at, and how they are measured.

    Attributes:
        patch_size: side of the square patches in the clean images, in pixels.
        stride: distance of neighbouring patches.
        criteria: one column each: `grad`, the mean squared difference of neighbours; `grad_mag`, the mean magnitude of
            the gradient; `std`; `freq`, the power above half the highest frequency; `loss`, the squared error of the
            network of the option file on the patch alone; `influence`, how much the mean squared error of this network
            on the images of `datasets.test`, the target, is predicted to rise without the patch, positive where it
            helps: the network sees whole images, whose influence is the mean over patches that tile them; `random`.
        edge: add the patches that touch the right and the lower side where the grid leaves a rest.
        workers: processes that read and measure; 0 does it in the process of the job.
        bad_images: `skip` or `refuse` images that are damaged or smaller than a patch.
        batch_size: patches that the network of `loss` sees together.
        precision: of this network, `float32` or `bfloat16`.
        influence: how the influence is solved for.
    """

    patch_size: Annotated[int, Ge(1)] = 96
    stride: Annotated[int, Ge(1)] = 120
    criteria: list[Criterion] = field(default_factory=lambda: ['grad'])
    edge: bool = False
    workers: Annotated[int, Ge(0)] = 0
    bad_images: Literal['skip', 'refuse'] = 'skip'
    batch_size: Annotated[int, Ge(1)] = 32
    precision: Literal['float32', 'bfloat16'] = 'float32'
    influence: InfluenceSettings = field(default_factory=InfluenceSettings)

    @property
    def of_networks(self) -> list[str]:
        """The criteria that a network measures on pairs of images."""
        return [name for name in self.criteria if name in OF_NETWORKS]

    def __post_init__(self) -> None:
        if not self.criteria or len(set(self.criteria)) < len(self.criteria):
            raise OptionError('criteria', 'different names, at least one', self.criteria, 'Correct them.')
