"""Equal numbers from every part of a ranking, drawn at random."""

import numpy as np

from basicsr_ext.selection.coreset.orders import Pool, in_turn, order

STRATA = 50


@order('stratified')
def stratified(pool: Pool) -> np.ndarray:
    """Draw from every stratum of the influence in turn (Zheng et al., "Coverage-centric Coreset Selection", ICLR 2023).

    Readings chosen: as there, 50 strata of equal width between the least and the largest score; one that is used up
    leaves its share to the others; the hardest images are not pruned before.
    """
    scores = pool.features.influence
    strata = np.digitize(scores, np.linspace(scores.min(), scores.max(), STRATA + 1)[1:-1])
    shuffled = np.random.default_rng(pool.seed).permutation(len(pool))
    return in_turn(in_turn(shuffled, strata.astype(str).tolist()), pool.groups)
