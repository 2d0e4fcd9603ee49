"""What a ranking is asked for: the block `rank` of an option file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.options.blocks import NameIn
from basicsr_ext.options.calls import LossBlock
from basicsr_ext.options.file_names import check_file_name
from basicsr_ext.selection.complexity.criteria import CRITERIA
from basicsr_ext.selection.subsets.quotas import Ratio, Size, part_size, size_or_ratio

AUTO_DAMPING = {
    'float32': 1e-6,
    'auto': 1e-6,
    'bfloat16': 1e-4,
}  # above the rounding of a product, relative to the largest eigenvalue
SCORED = ('influence', 'graddot', 'loss')  # methods that look at images one by one


@dataclass(frozen=True)
class LevelSettings:
    """The options that differ in one of several rankings.

    Attributes:
        name: of the level, with which its columns end: `influence_NAME`, `rank_NAME`.
        pretrain_network_g: its weights; None takes those of `path`.
        dataset: keys of the blocks that read the images, such as `sigma`.
    """

    name: str
    pretrain_network_g: str | None = None
    dataset: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_file_name(self.name, 'name')


def _number(size: int | None, ratio: float | None, images: int, most: int, where: str, at_most: str) -> int:
    number = size if ratio is None else part_size(ratio, images)
    if number is None or number > most:
        raise OptionError(where, at_most, number, 'Lower it.')
    return number


@dataclass(frozen=True)
class CandidateSettings:
    """A first, cheap stage of a ranking, whose first images alone are scored.

    Attributes:
        by: `random`; `entropy`, `std` or `gradient` of the clean image, the largest first; or `kcenter`, each as far as
            possible from those before it, in the features of FilterBankEncoder.
        size: number of candidates.
        ratio: the same as a part of all images, rounded up.
    """

    by: Annotated[str, NameIn(CRITERIA, beside=('random', 'kcenter'))]
    size: Size | None = None
    ratio: Ratio | None = None

    def __post_init__(self) -> None:
        size_or_ratio(self.size, self.ratio)

    def number(self, images: int) -> int:
        """How many of so many images are candidates.

        Raises:
            OptionError: more than there are.
        """
        at_most = f'at most the {images} images there are'
        return _number(self.size, self.ratio, images, images, 'rank.candidates.size', at_most)


@dataclass(frozen=True)
class SettleSettings:
    """When tiles enough are drawn: the first part of the ranking would hardly be another with other tiles.

    Attributes:
        size: number of images of the first part.
        ratio: the same as a part of all images, rounded up.
        overlap: the part of them that has to be expected among the first by all tiles, by a bootstrap over the draws.
        rounds: at most so many times `tiles_per_image` tiles are drawn; if they do not settle it, a warning says so.
    """

    size: Size | None = None
    ratio: Ratio | None = None
    overlap: Ratio = 0.9
    rounds: Annotated[int, Ge(2)] = 8

    def __post_init__(self) -> None:
        size_or_ratio(self.size, self.ratio)

    def number(self, images: int, scored: int) -> int:
        """How many of so many images the first part has.

        Raises:
            OptionError: more than are scored.
        """
        at_most = f'at most the {scored} images that get scores'
        return _number(self.size, self.ratio, images, scored, 'rank.settle', at_most)


@dataclass(frozen=True)
class RankSettings:
    """The settings of a ranking by influence.

    Attributes:
        method: `influence`; or a baseline: `graddot`, the product of an image's gradient and the test gradient (TracIn,
            Pruthi et al., 2020); `loss`, the image's own loss; `random`.
        solver: `gauss_newton`, `cg` (the exact Hessian) or `stochastic` (the paper's Algorithm 1).
        grad_loss: the loss whose gradients are multiplied, a block as `pixel_opt`. The score of `influence` is the
            predicted rise of its mean over the target when the image is left out of a training by it; by one without
            curvature, such as L1Loss, the score orders images but has no unit.
        damping: added to the curvature, relative to its largest eigenvalue: a number, several, or `auto`; the first one
            ranks.
        iterations: curvature products of `gauss_newton` and `cg`.
        curvature_images: how many training images, chosen at random, these products see; None takes all.
        times: steps of `stochastic`; None takes as many as there are training images.
        scale: of `stochastic`; `auto` takes the largest eigenvalue of a few images' Hessians; the paper says 25.
        batch_size: images computed together.
        tile_size: side in pixels of the ground truth of the tiles that images are cut into; None takes whole images;
            `auto` cuts only images of more than 512 x 512 pixels, with margins as wide as the network looks, so that
            scores are those of whole images while memory is bounded. Where it looks farther than 96 pixels, or the loss
            is no mean over pixels, their scores are those of tiles.
        tiles_per_image: how many tiles, drawn at random, stand for an image to rank that `tile_size` cuts into more, in
            its score and in the curvature; None takes all. Of the target all tiles count.
        settle: draw as many tiles again, for the scores alone, until the first part of the ranking is settled; None
            draws once.
        precision: `float32`, `bfloat16`, or `auto`: float32, but for the scores of 240 images or more where a trial on
            24 of them gives a rank correlation of at least 0.99 in bfloat16 and takes at most 0.8 of the time.
        levels: several rankings that are combined by mean rank.
        groups: a CSV file with lines `path,group` that gives each image a group; None leaves the dataset's own.
        per_target: write `per_target.parquet` too, the influence of each image on the loss of each image of the target.
        candidates: of `influence`, `graddot` and `loss`: score only some images, which get the first ranks; the others
            follow in the order of the stage that chose them, without a score. Only `top`, and a `range` among the
            candidates, are then chosen by the score. None scores all.
    """

    method: Literal['influence', 'graddot', 'loss', 'random'] = 'influence'
    solver: Literal['gauss_newton', 'cg', 'stochastic'] = 'gauss_newton'
    grad_loss: LossBlock = field(default_factory=lambda: {'type': 'MSELoss'})
    damping: float | Literal['auto'] | list[float] = 'auto'
    iterations: Annotated[int, Ge(1)] = 20
    curvature_images: Annotated[int, Ge(1)] | None = 60
    times: Annotated[int, Ge(1)] | None = None
    scale: Annotated[float, Gt(0)] | Literal['auto'] = 'auto'
    batch_size: Annotated[int, Ge(1)] = 2
    tile_size: Annotated[int, Ge(1)] | Literal['auto'] | None = 'auto'
    tiles_per_image: Annotated[int, Ge(1)] | None = None
    settle: SettleSettings | None = None
    precision: Literal['float32', 'bfloat16', 'auto'] = 'float32'
    levels: list[LevelSettings] = field(default_factory=list)
    groups: str | None = None
    per_target: bool = False
    candidates: CandidateSettings | None = None

    def __post_init__(self) -> None:
        if (
            not self.dampings
            or not all(0 <= each < inf for each in self.dampings)
            or len(set(self.dampings)) < len(self.dampings)
        ):
            raise OptionError(
                'damping', 'different numbers of at least 0, or auto', shown(self.damping), 'Correct the value.'
            )
        if self.tiles_per_image is not None and self.tile_size is None:
            raise OptionError('tiles_per_image', 'a tile_size, which cuts images', '~', 'Add it, or leave this out.')
        if self.settle is not None and (self.tiles_per_image is None or self.method not in SCORED or self.per_target):
            got = (
                f'method: {self.method}, tiles_per_image: {shown(self.tiles_per_image)}, per_target: {self.per_target}'
            )
            raise OptionError(
                'settle', f'tiles_per_image, method: {" or ".join(SCORED)}, no per_target', got, 'Correct one of them.'
            )
        if self.candidates is not None and (self.method not in SCORED or self.per_target):
            got = 'per_target' if self.per_target else f'method: {self.method}'
            raise OptionError('candidates', f'method: {" or ".join(SCORED)}, no per_target', got, 'Remove one of them.')

    @property
    def dampings(self) -> list[float]:
        """Relative dampings. `auto` is 1e-6, in bfloat16 1e-4, or more (see `dampings_for`); the paper's own solver has
        none."""
        if isinstance(self.damping, list):
            return self.damping
        if self.damping == 'auto':
            return [0.0 if self.solver == 'stochastic' else AUTO_DAMPING[self.precision]]
        return [self.damping]

    def dampings_for(self, ritz_values: Sequence[float]) -> list[float]:
        """Relative dampings for a curvature with these estimates of eigenvalues, ascending.

        A Gauss-Newton matrix has no negative eigenvalues: one that is found is the size of the rounding, and `auto` is
        twice that at least.
        """
        if self.damping == 'auto' and self.solver == 'gauss_newton' and ritz_values[-1] > 0:
            return [max(self.dampings[0], -2 * ritz_values[0] / ritz_values[-1])]
        return self.dampings
