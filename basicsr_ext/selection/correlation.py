"""Correlations of the columns of a manifest."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata


def rank_correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman's coefficient of every pair of columns, (columns, columns); nan where one is constant."""
    return pearson([rankdata(values) for values in columns])


def pearson(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's coefficient of every pair of columns, (columns, columns); nan where one is constant."""
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.atleast_2d(np.corrcoef(columns))
