"""Correlations of the columns of a manifest."""

from collections.abc import Sequence

import numpy as np


def average_ranks(values: np.ndarray) -> np.ndarray:
    """The ranks of values, (n,): 1 for the smallest, n for the largest; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def rank_correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman's coefficient of every pair of columns, (columns, columns); nan where one is constant."""
    return pearson([average_ranks(values) for values in columns])


def pearson(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's coefficient of every pair of columns, (columns, columns); nan where one is constant."""
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.atleast_2d(np.corrcoef(columns))
