"""Correlations of columns: ties, constants, and scipy's own coefficients."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from basicsr_ext.selection.correlation import pearson, rank_correlations


def columns() -> list[np.ndarray]:
    """Some with many ties."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 6, 50).astype(float), rng.normal(size=50), rng.integers(0, 2, 50).astype(float)]


@pytest.mark.parametrize(('function', 'known'), [(pearson, pearsonr), (rank_correlations, spearmanr)])
def test_equals_scipy(function, known) -> None:
    values = columns()
    found = function(values)
    expected = [[known(first, second).statistic for second in values] for first in values]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    """1, 2.5, 2.5, 4 against 1, 2, 3, 4: cov 4.5, variances 4.5 and 5."""
    assert rank_correlations([np.array([7, 9, 9, 30]), np.arange(4)])[0, 1] == pytest.approx(4.5 / np.sqrt(22.5))


def test_ranks_see_no_monotone_change() -> None:
    first, second, _ = columns()
    assert rank_correlations([first, second])[0, 1] == pytest.approx(rank_correlations([first, np.exp(second)])[0, 1])
    assert rank_correlations([second, -(second**3)])[0, 1] == pytest.approx(-1)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('function', [pearson, rank_correlations])
def test_a_constant_column_correlates_with_nothing(function) -> None:
    found = function([np.ones(5), np.arange(5), np.arange(5)[::-1]])
    assert np.isnan(found[0]).all() and np.isnan(found[:, 0]).all()
    np.testing.assert_allclose(found[1:, 1:], [[1, -1], [-1, 1]])


@pytest.mark.parametrize('function', [pearson, rank_correlations])
def test_one_column_is_a_matrix_of_one(function) -> None:
    assert function([np.arange(5.0)]).shape == (1, 1)
