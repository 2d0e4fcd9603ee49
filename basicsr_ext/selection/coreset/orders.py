"""The orders of a pool that the job `rank` can write, by name; each is a function in a module `<name>_order.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from basicsr_ext.selection.coreset.features import Features


@dataclass(frozen=True)
class Pool:
    """What an order is made from.

    Attributes:
        features: of the images and the target.
        size: K, how many images will be taken; an order may spend its effort on these.
        seed: of what is drawn.
        groups: of the images, of which a choice takes equal shares in turn; None takes all as one.
        guard: of `matching`: `none` or `norm`.
        losses: (n,), of the images at the proxy; None where no network is given.
    """

    features: Features
    size: int
    seed: int = 0
    groups: Sequence[str] | None = None
    guard: str = 'none'
    losses: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features.images)


Order = Callable[[Pool], np.ndarray]  # rows, (n,) or fewer: the first ones are to be taken first
ORDERS: dict[str, Order] = {}


def order(name: str) -> Callable[[Order], Order]:
    """Register a function under a name that `rank.method` and `rank.baselines` can then have."""

    def enter(function: Order) -> Order:
        ORDERS[name] = function
        return function

    return enter


def ordered(name: str, pool: Pool) -> np.ndarray:
    """All rows of a pool, (n,), in the order of a name; rows that it leaves out follow in their own order."""
    first = np.asarray(ORDERS[name](pool), dtype=np.int64)
    return np.concatenate([first, np.setdiff1d(np.arange(len(pool)), first)])


def in_turn(rows: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """Take rows of each group in turn, each group's in the order given; groups begin with the first row's."""
    if groups is None:
        return rows
    of_rows = [groups[row] for row in rows]
    names = list(dict.fromkeys(of_rows))
    seen = dict.fromkeys(names, 0)
    places = []
    for group in of_rows:
        places.append((seen[group], names.index(group)))
        seen[group] += 1
    return rows[sorted(range(len(rows)), key=places.__getitem__)]
