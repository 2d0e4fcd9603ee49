"""Which checkpoint is the best one."""

from basicsr_ext.training.best import best_score, is_better

IMAGES = {'a': {'psnr': 30.0, 'macs': 0.5}, 'b': {'psnr': 32.0, 'macs': 0.7}}


def test_the_first_metric_of_the_options_decides() -> None:
    found = best_score({'psnr': {'type': 'calculate_psnr'}}, {'val': IMAGES}, 5)
    assert found == {'dataset': 'val', 'metric': 'psnr', 'value': 31.0, 'better': 'higher', 'iter': 5}


def test_what_restoring_cost_does_not_decide() -> None:
    assert best_score({}, {'val': IMAGES}, 5) is None


def test_lower_may_be_better_and_equal_is_not() -> None:
    first = best_score({'psnr': {'better': 'lower'}}, {'val': IMAGES}, 5)
    assert first is not None
    assert is_better(first, None) and not is_better(first, first)
    assert is_better({**first, 'value': 30.0}, first) and not is_better({**first, 'value': 32.0}, first)
