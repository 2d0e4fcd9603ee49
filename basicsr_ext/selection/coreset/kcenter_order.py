"""Images that leave none far away."""

import numpy as np

from basicsr_ext.selection.coreset.orders import Pool, in_turn, order


@order('kcenter')
def kcenter(pool: Pool) -> np.ndarray:
    """The farthest from all before it first, beginning with the one nearest to the mean (Sener and Savarese, "Active
    Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018, Algorithm 1)."""
    features = pool.features.images
    rows = [int(((features - features.mean(0)) ** 2).sum(1).argmin())]
    nearest = np.full(len(pool), np.inf)
    while len(rows) < len(pool):
        nearest = np.minimum(nearest, ((features - features[rows[-1]]) ** 2).sum(1))
        nearest[rows[-1]] = -1
        rows.append(int(nearest.argmax()))
    return in_turn(np.array(rows), pool.groups)
