"""The share of each image in a correlation."""

import numpy as np
import pytest

from basicsr_ext.reports.agreement import shares
from basicsr_ext.selection.correlation import pearson, rank_correlations


def test_shares_have_the_coefficients_as_means() -> None:
    rng = np.random.default_rng(0)
    labels, noise = rng.integers(0, 9, 30).astype(float), rng.standard_normal(30)
    predictions = np.exp(labels + noise)
    values = {name: column.mean() for name, column in shares(labels, predictions).items()}
    assert values['spearman'] == pytest.approx(rank_correlations([labels, predictions])[0, 1])
    assert values['pearson'] == pytest.approx(pearson([labels, predictions])[0, 1])
    assert values['mse'] == pytest.approx(np.mean([(p - q) ** 2 for p, q in zip(labels, predictions, strict=True)]))
    assert shares(labels, np.ones(30))['spearman'].tolist() == [0] * 30
