"""What a choice of images together is asked for: the block `rank` of an option file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.options.blocks import NameIn
from basicsr_ext.selection.coreset.orders import ORDERS
from basicsr_ext.selection.influence.settings import RankSettings

OF_GRADIENTS = ('influence', 'el2n', 'stratified')


@dataclass(frozen=True)
class CoresetSettings(RankSettings):
    """The settings of a choice of images together; those of the curvature are a ranking's by influence.

    Attributes:
        method: `matching`, whose mean gradient is the target's; or `kcenter`, `herding`, `moderate`, `craig`,
            `stratified` or `el2n`, which do not know the target.
        size: K, the number of images that will be taken: ranks 1 to K are the choice.
        features: of images: `gradients` of `network_g` in the metric of the curvature, or those of `network_encoder`,
            any network with `features`, which needs no trained `network_g`.
        guard: of `matching`: `none`; `norm`, the mean norm of the chosen gradients does not fall below the pool's;
            `curvature`, the chosen images' own curvature counts in the place of the pool's.
        directions: in how many directions `guard: curvature` measures each image.
        baselines: other orders of the same features, a column `rank_NAME` each: any method above, `influence`,
            `random`.
        per_group: take equal shares of all groups.
        halves: choose for each half of the target and predict for the other one too, to tell whether a choice carries
            over to images that it was not made for; the curvature is then solved three times instead of once.
    """

    method: Annotated[str, NameIn(ORDERS)] = 'matching'  # type: ignore[assignment]  # other names than a ranking's
    size: Annotated[int, Ge(1)] | None = None
    features: Literal['gradients', 'encoder'] = 'gradients'
    guard: Literal['none', 'norm', 'curvature'] = 'none'
    directions: Annotated[int, Ge(1)] = 8
    baselines: list[Annotated[str, NameIn(ORDERS)]] = field(default_factory=list)
    per_group: bool = False
    halves: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is None:
            raise OptionError('size', 'how many images will be taken', 'none', 'Add it.')
        if len(set(self.orders)) < len(self.orders):
            raise OptionError('baselines', f'names that differ, without {self.method}', self.baselines, 'Correct them.')
        if self.solver == 'stochastic':
            raise OptionError('solver', 'gauss_newton or cg', shown(self.solver), 'Correct the value.')
        if len(self.dampings) > 1:
            raise OptionError('damping', 'one', self.damping, 'Name one, or rank again with another.')
        if self.features == 'encoder':
            self._refuse_with_encoder()

    def _refuse_with_encoder(self) -> None:
        foreign = [name for name in self.orders if name in OF_GRADIENTS]
        if foreign or self.guard == 'curvature' or self.levels:
            got = ', '.join([*foreign, *(['levels'] if self.levels else []), f'guard {self.guard}'])
            raise OptionError(
                'features', 'gradients', f'encoder with {got}', 'Write features: gradients, or leave these out.'
            )

    def check_pool(self, images: int, groups: Sequence[str]) -> None:
        """Look at what is to be chosen from.

        Args:
            images: their number.
            groups: of each; '' for none.

        Raises:
            OptionError: fewer images than asked for, or no groups where they count.
        """
        if self.number > images:
            raise OptionError('rank.size', f'at most the {images} images there are', self.number, 'Lower it.')
        if self.per_group and not all(groups):
            raise OptionError(
                'rank.per_group', 'images with groups', 'some without', 'Rank an AllInOneDataset, or name rank.groups.'
            )

    @property
    def number(self) -> int:
        """K, which `__post_init__` demands."""
        return self.size or 0

    @property
    def orders(self) -> list[str]:
        """The method, then the baselines."""
        return [self.method, *self.baselines]
