"""A few tiles that stand for all of an image."""

from collections.abc import Sequence

import numpy as np


def draw(parts: Sequence[float], number: int, generator: np.random.Generator) -> dict[int, float]:
    """Draw tiles with probabilities in proportion to their parts of the image, in one systematic sample (Madow, 1949).

    The weights sum to 1, and each tile's is its part on average, so that weighted sums over the drawn tiles are those
    over all tiles on average. Where no part is larger than 1 / number, that many tiles are drawn, of weight 1 / number.

    Args:
        parts: of each tile.
        number: of draws.
        generator: that decides.

    Returns:
        The place of each drawn tile, ascending, and its weight.
    """
    order = generator.permutation(len(parts))
    ends = np.cumsum(np.asarray(parts)[order])
    points = (np.arange(number) + generator.random()) / number * ends[-1]
    places, times = np.unique(order[np.searchsorted(ends[:-1], points, side='right')], return_counts=True)
    return dict(zip(places.tolist(), (times / number).tolist(), strict=True))
