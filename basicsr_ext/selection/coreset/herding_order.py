"""Images whose mean is soon that of the pool."""

import numpy as np

from basicsr_ext.selection.coreset.orders import Pool, in_turn, order


@order('herding')
def herding(pool: Pool) -> np.ndarray:
    """Follow the mean of the pool (Welling, "Herding Dynamical Weights to Learn", ICML 2009, Eq. 3 and 4): the next
    image has the largest product with w, which is then moved by the mean less the image."""
    features = pool.features.images
    mean = features.mean(0)
    weights, left, rows = mean.copy(), np.zeros(len(pool)), []
    for _ in range(len(pool)):
        row = int((features @ weights + left).argmax())
        rows.append(row)
        left[row] = -np.inf
        weights += mean - features[row]
    return in_turn(np.array(rows), pool.groups)
