"""The columns of a ranking whose first K images are chosen together, and whether the choice carries over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from basicsr_ext.selection.coreset.carry_over import CarryOver, carry_over, halves
from basicsr_ext.selection.coreset.features import Features
from basicsr_ext.selection.coreset.orders import Pool, ordered
from basicsr_ext.selection.coreset.prediction import falls
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.ranks import ranks_of_order


@dataclass(frozen=True)
class Measured:
    """What images are chosen by.

    Attributes:
        whole: the features.
        parts: of the target, the rows of each half; empty if halves are not asked for, or it has one image.
        halves: for each of them, features of all images in the space that belongs to it.
        losses: (n,), of the images to choose from; None without a network that restores.
    """

    whole: Features
    parts: Sequence[Sequence[int]]
    halves: Sequence[Features]
    losses: np.ndarray | None = None


def parts_of(settings: CoresetSettings, targets: int) -> list[list[int]]:
    """The halves of a target of so many images, if they are asked for and there are two."""
    return halves(targets) if settings.halves and targets > 1 else []


class Choice:
    """The orders that settings ask for.

    Args:
        settings: the block `rank`.
        measured: what they are made by.
        groups: of the images, '' for none.
        seed: of what is drawn.
    """

    def __init__(self, settings: CoresetSettings, measured: Measured, groups: Sequence[str], seed: int) -> None:
        self.settings, self.measured, self.seed = settings, measured, seed
        self.groups = groups if settings.per_group else None

    def columns(self) -> dict[str, Any]:
        """`METHOD` and `rank`, then `NAME` and `rank_NAME` of each baseline: how far the target's loss is predicted to
        fall by the images up to this one, to second order with the pool's curvature, and their ranks."""
        columns = {}
        for name in self.settings.orders:
            rows = ordered(name, self._pool(self.measured.whole))
            ranks = ranks_of_order(rows)
            columns[name] = falls(self.measured.whole, rows)[ranks - 1].tolist()
            columns['rank' if name == self.settings.method else f'rank_{name}'] = ranks.tolist()
        return columns

    def carry_over(self) -> CarryOver | None:
        """What each half of the target chooses for the other one; None where there are no halves."""
        parts = self.measured.parts
        if not parts:
            return None
        pairs = list(zip(self.measured.halves, parts, reversed(parts), strict=True))
        pools = [self._pool(features.aimed_at(part)) for features, part, _ in pairs]
        return carry_over(self.settings.orders, pools, [features.aimed_at(other) for features, _, other in pairs])

    def _pool(self, features: Features) -> Pool:
        settings = self.settings
        return Pool(features, settings.number, self.seed, self.groups, settings.guard, self.measured.losses)
