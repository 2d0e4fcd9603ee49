"""Which checkpoint is the best one."""

import math

import pytest

from basicsr_ext.errors import OptionError
from basicsr_ext.training.best import BestOptions, best_score, is_better
from basicsr_ext.training.validation import Scores, means

IMAGES = {'a': {'psnr': 30.0, 'macs': 0.5}, 'b': {'psnr': 32.0, 'macs': 0.7}}
SCORES = Scores(means(IMAGES), IMAGES)
FIRST = BestOptions()


def test_the_first_metric_of_the_options_decides() -> None:
    found = best_score({'psnr': {'type': 'calculate_psnr'}}, {'val': SCORES}, 5, FIRST)
    assert found == {'dataset': 'val', 'metric': 'psnr', 'value': 31.0, 'better': 'higher', 'iter': 5}


def test_what_restoring_cost_does_not_decide() -> None:
    assert best_score({}, {'val': SCORES}, 5, FIRST) is None


def test_lower_may_be_better_and_equal_is_not() -> None:
    first = best_score({'psnr': {'better': 'lower'}}, {'val': SCORES}, 5, FIRST)
    assert first is not None
    assert is_better(first, None) and not is_better(first, first)
    assert is_better({**first, 'value': 30.0}, first) and not is_better({**first, 'value': 32.0}, first)


def test_nan_is_never_the_best_and_does_not_stay_it() -> None:
    first = best_score({'psnr': {}}, {'val': SCORES}, 5, FIRST)
    assert first is not None
    nothing = {**first, 'value': math.nan}
    assert not is_better(nothing, None) and not is_better(nothing, first) and is_better(first, nothing)


def test_the_best_of_another_metric_or_dataset_is_none() -> None:
    first = best_score({'psnr': {}}, {'val': SCORES}, 5, FIRST)
    assert first is not None
    assert is_better({**first, 'metric': 'ssim', 'value': 0.9}, first) and is_better({**first, 'dataset': 'x'}, first)


def test_a_named_dataset_and_a_named_metric_decide() -> None:
    other = Scores({'psnr': 20.0, 'ssim': 0.5}, {})
    first = Scores({'psnr': 30.0, 'ssim': 0.9}, {})
    results, metrics = {'Set5': first, 'Urban100': other}, {'psnr': {}, 'ssim': {'better': 'higher'}}
    expected = {
        ('Urban100', 'ssim'): 0.5,
        ('Urban100', None): 20.0,
        (None, 'ssim'): 0.9,
        (None, None): 30.0,
    }
    for (dataset, metric), value in expected.items():
        found = best_score(metrics, results, 1, BestOptions(dataset, metric))
        assert found is not None and found['value'] == value
        assert found['dataset'] == (dataset or 'Set5') and found['metric'] == (metric or 'psnr')
    assert best_score(metrics, results, 1, BestOptions('Set14')) is None


@pytest.mark.parametrize(
    ('chosen', 'text'),
    [
        (BestOptions(dataset='Urban10'), r"val\.best\.dataset: .* got 'Urban10'\. Did you mean Urban100\?"),
        (BestOptions(metric='psmr'), r"val\.best\.metric: .* got 'psmr'\. Did you mean psnr\?"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(chosen: BestOptions, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        chosen.check(['Set5', 'Urban100'], ['psnr', 'ssim'])
    with pytest.raises(OptionError, match='a metric'):
        BestOptions().check(['Set5'], [])
