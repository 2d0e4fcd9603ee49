"""Orders by one number per image."""

import numpy as np

from basicsr_ext.errors import OptionError
from basicsr_ext.selection.coreset.orders import Pool, in_turn, order


def _by(scores: np.ndarray, pool: Pool) -> np.ndarray:
    return in_turn(np.argsort(-scores, kind='stable'), pool.groups)


@order('influence')
def influence(pool: Pool) -> np.ndarray:
    """The most helpful first: Top of the influence paper."""
    return _by(pool.features.influence, pool)


@order('el2n')
def el2n(pool: Pool) -> np.ndarray:
    """The largest error norm first (Paul et al., "Deep Learning on a Data Diet", NeurIPS 2021, EL2N).

    Reading chosen: of a restored image the squared error, which orders as its norm does.

    Raises:
        OptionError: no network is given.
    """
    if pool.losses is None:
        raise OptionError('rank.features', 'gradients for el2n, which needs a network', 'encoder', 'Leave el2n out.')
    return _by(pool.losses, pool)


@order('moderate')
def moderate(pool: Pool) -> np.ndarray:
    """Those whose distance to the centre is nearest to the median distance first (Xia et al., "Moderate Coreset", ICLR
    2023).

    Reading chosen: restoration has no classes; the centre is the mean of the pool.
    """
    features = pool.features.images
    distances = np.linalg.norm(features - features.mean(0), axis=1)
    return _by(-abs(distances - np.median(distances)), pool)


@order('random')
def random(pool: Pool) -> np.ndarray:
    """Any image first."""
    return in_turn(np.random.default_rng(pool.seed).permutation(len(pool)), pool.groups)
