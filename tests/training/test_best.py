"""Which checkpoint is the best one."""

import math

from basicsr_ext.training.best import best_score, is_better
from basicsr_ext.training.validation import Scores, means

IMAGES = {'a': {'psnr': 30.0, 'macs': 0.5}, 'b': {'psnr': 32.0, 'macs': 0.7}}
SCORES = Scores(means(IMAGES), IMAGES)


def test_the_first_metric_of_the_options_decides() -> None:
    found = best_score({'psnr': {'type': 'calculate_psnr'}}, {'val': SCORES}, 5)
    assert found == {'dataset': 'val', 'metric': 'psnr', 'value': 31.0, 'better': 'higher', 'iter': 5}


def test_what_restoring_cost_does_not_decide() -> None:
    assert best_score({}, {'val': SCORES}, 5) is None


def test_lower_may_be_better_and_equal_is_not() -> None:
    first = best_score({'psnr': {'better': 'lower'}}, {'val': SCORES}, 5)
    assert first is not None
    assert is_better(first, None) and not is_better(first, first)
    assert is_better({**first, 'value': 30.0}, first) and not is_better({**first, 'value': 32.0}, first)


def test_nan_is_never_the_best_and_does_not_stay_it() -> None:
    first = best_score({'psnr': {}}, {'val': SCORES}, 5)
    assert first is not None
    nothing = {**first, 'value': math.nan}
    assert not is_better(nothing, None) and not is_better(nothing, first) and is_better(first, nothing)


def test_the_best_of_another_metric_or_dataset_is_none() -> None:
    first = best_score({'psnr': {}}, {'val': SCORES}, 5)
    assert first is not None
    assert is_better({**first, 'metric': 'ssim', 'value': 0.9}, first) and is_better({**first, 'dataset': 'x'}, first)
