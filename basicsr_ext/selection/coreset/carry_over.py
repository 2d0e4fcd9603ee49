"""Whether a choice carries over to target images that it was not made for, or a random draw is as good."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from basicsr_ext.selection.coreset.features import Features
from basicsr_ext.selection.coreset.orders import Pool, ordered
from basicsr_ext.selection.coreset.prediction import second_order

DRAWS = 200
CLEAR = 1.5  # standard deviations of random draws, of which 7 % are that much better than their mean


@dataclass(frozen=True)
class CarryOver:
    """Predictions for one half of the target of what was chosen for the other half.

    Attributes:
        falls: name of an order -> how far the loss of the other half falls, 1 for as far as its own gradient can bring
            it, negative where it rises; the mean of both halves.
        random: the mean over random draws.
        spread: their standard deviation.
    """

    falls: dict[str, float]
    random: float
    spread: float

    def pays(self, name: str) -> bool:
        """Whether an order is clearly better than a random draw for images that it was not made for."""
        return self.falls[name] - self.random > CLEAR * self.spread

    def sentence(self, name: str) -> str:
        """The answer in words."""
        found = f'{self.falls[name]:+.2f} of the possible fall, random draws {self.random:+.2f} ± {self.spread:.2f}'
        if self.pays(name):
            return f'{name} carries over to target images that it was not made for ({found}): use it.'
        return (
            f'{name} does not carry over to target images that it was not made for ({found}): a random draw is as good.'
        )

    def line(self) -> str:
        """All orders in one line."""
        found = ', '.join(f'{name} {fall:+.2f}' for name, fall in self.falls.items())
        return (
            'Chosen for one half of the target, predicted for the other, in parts of the possible fall of its loss: '
            f'{found}; random draws {self.random:+.2f} ± {self.spread:.2f}.'
        )


def halves(images: int) -> list[list[int]]:
    """Every second image of a target, and the others."""
    return [list(range(start, images, 2)) for start in range(2)]


def carry_over(names: Sequence[str], pools: Sequence[Pool], others: Sequence[Features]) -> CarryOver:
    """Choose for each half and predict for the other one.

    Args:
        names: of the orders.
        pools: aimed at each half.
        others: aimed at the other one, in the same space.
    """
    falls: dict[str, list[float]] = {name: [] for name in names}
    draws = []
    for pool, other in zip(pools, others, strict=True):
        possible = float(other.target @ other.target) / 2
        rng = np.random.default_rng(pool.seed)
        random = [-second_order(other, rng.choice(len(pool), pool.size, replace=False)) for _ in range(DRAWS)]
        draws.append(np.array(random) / possible)
        for name in names:
            falls[name].append(-second_order(other, ordered(name, pool)[: pool.size]) / possible)
    means, spreads = (np.array([function(each) for each in draws]) for function in (np.mean, np.std))
    return CarryOver(
        {name: float(np.mean(values)) for name, values in falls.items()},
        float(means.mean()),
        float(spreads.mean()),
    )
