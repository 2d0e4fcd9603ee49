"""Whether a choice carries over to target images that it was not made for."""

import numpy as np
import pytest

from basicsr_ext.selection.coreset.carry_over import carry_over, halves
from basicsr_ext.selection.coreset.features import Features
from basicsr_ext.selection.coreset.orders import Pool

NAMES = ['matching', 'influence', 'random']


def found(is_domain: bool, seed: int):
    """A pool of 200 of which 20 lie where the target lies, or one that does not know the target's direction."""
    rng = np.random.default_rng(seed)
    images, targets = rng.normal(size=(200, 12)), rng.normal(size=(10, 12)) * 0.7
    if is_domain:
        direction = np.full(12, 1.5)
        images[:20] += direction
        targets += direction
    features, parts = Features(images, targets), halves(10)
    pools = [Pool(features.aimed_at(part), 10) for part in parts]
    return carry_over(NAMES, pools, [features.aimed_at(part) for part in reversed(parts)])


def test_halves_share_no_image() -> None:
    assert halves(5) == [[0, 2, 4], [1, 3]]


@pytest.mark.parametrize('seed', range(4))
def test_a_domain_of_its_own_is_worth_a_choice(seed: int) -> None:
    answer = found(True, seed)
    assert answer.pays('matching') and answer.pays('influence') and not answer.pays('random')
    assert 0.8 < answer.falls['matching'] <= 1
    assert answer.falls['matching'] > answer.falls['influence']
    assert 'use it' in answer.sentence('matching')


def test_noise_is_not() -> None:
    answers = [found(False, seed) for seed in range(40)]
    for name in NAMES:  # a random draw is 1.5 deviations better than the mean of two halves in 2 of 100 cases
        assert sum(answer.pays(name) for answer in answers) <= 3
    assert 'a random draw is as good' in answers[0].sentence('matching')
    assert 'random draws' in answers[0].line() and 'influence' in answers[0].line()
