"""What a ranking is asked for: the block `rank` of an option file."""

from dataclasses import dataclass, field
from typing import Any, Literal

from basicsr_ext.errors import OptionError

AUTO_DAMPING = {
    'float32': 1e-6,
    'bfloat16': 1e-4,
}  # above the rounding of a product, relative to the largest eigenvalue


@dataclass(frozen=True)
class RankSettings:
    """How images are ranked.

    Attributes:
        method: `influence`; or a baseline: `graddot`, the product of an image's gradient and the test gradient (TracIn,
            Pruthi et al., 2020); `loss`, the image's own loss; `random`.
        solver: `gauss_newton`, `cg` (the exact Hessian) or `stochastic` (the paper's Algorithm 1).
        grad_loss: the loss whose gradients are multiplied, a block as `pixel_opt`.
        damping: added to the curvature, relative to its largest eigenvalue: a number, several, or `auto`; the first one
            ranks.
        iterations: curvature products of `gauss_newton` and `cg`.
        curvature_images: how many training images, chosen at random, these products see; None takes all.
        times: steps of `stochastic`; None takes as many as there are training images.
        scale: of `stochastic`; `auto` takes the largest eigenvalue of a few images' Hessians; the paper says 25.
        batch_size: images computed together.
        tile_size: side in pixels of the ground truth of the tiles that images are cut into; None takes whole images.
        precision: `float32` or `bfloat16`.
        levels: several rankings that are combined by mean rank; each a block with `name` and what differs:
            `pretrain_network_g`, and in `dataset` keys of the blocks that read the images, such as `sigma`.
        groups: a CSV file with lines `path,group` that gives each image a group; None leaves the dataset's own.
    """

    method: Literal['influence', 'graddot', 'loss', 'random'] = 'influence'
    solver: Literal['gauss_newton', 'cg', 'stochastic'] = 'gauss_newton'
    grad_loss: dict[str, Any] = field(default_factory=lambda: {'type': 'MSELoss'})
    damping: float | Literal['auto'] | list[float] = 'auto'
    iterations: int = 20
    curvature_images: int | None = 60
    times: int | None = None
    scale: float | Literal['auto'] = 'auto'
    batch_size: int = 2
    tile_size: int | None = None
    precision: Literal['float32', 'bfloat16'] = 'float32'
    levels: list[dict] = field(default_factory=list)  # type: ignore[type-arg]
    groups: str | None = None

    def __post_init__(self) -> None:
        for name in ('iterations', 'curvature_images', 'times', 'batch_size', 'tile_size'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f'{name}: expected at least 1, got {value}. Correct the value.')
        if self.scale != 'auto' and self.scale <= 0:
            raise OptionError(f'scale: expected a positive number or auto, got {self.scale}. Correct the value.')
        if not self.dampings or min(self.dampings) < 0 or len(set(self.dampings)) < len(self.dampings):
            raise OptionError(
                f'damping: expected different numbers of at least 0, or auto, got {self.damping!r}. Correct the value.'
            )

    @property
    def dampings(self) -> list[float]:
        """Relative dampings. `auto` is 1e-6, in bfloat16 1e-4; the paper's own solver has none."""
        if isinstance(self.damping, list):
            return self.damping
        if self.damping == 'auto':
            return [0.0 if self.solver == 'stochastic' else AUTO_DAMPING[self.precision]]
        return [self.damping]
