"""Images that leave none far away."""

import numpy as np

from basicsr_ext.selection.coreset.orders import Pool, in_turn, order


@order('kcenter')
def kcenter(pool: Pool) -> np.ndarray:
    """The farthest from all before it first, beginning with the one nearest to the mean (Sener and Savarese, "Active
    Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018, Algorithm 1)."""
    return in_turn(farthest_first(pool.features.images, len(pool)), pool.groups)


def farthest_first(features: np.ndarray, number: int) -> np.ndarray:
    """All rows, (n,): so many by the algorithm above, then the others, the farthest from these first.

    Args:
        features: (n, d).
        number: at least 1.
    """
    rows = [int(((features - features.mean(0)) ** 2).sum(1).argmin())]
    nearest = np.full(len(features), np.inf)
    while True:
        nearest = np.minimum(nearest, ((features - features[rows[-1]]) ** 2).sum(1))
        nearest[rows[-1]] = -1
        if len(rows) == number:
            break
        rows.append(int(nearest.argmax()))
    others = np.argsort(-nearest, kind='stable')[: len(features) - number]
    return np.concatenate([rows, others])
