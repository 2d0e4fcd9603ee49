"""The input of a pair that moves with its clean image."""

import numpy as np
import pytest
from basicsr.utils.matlab_functions import imresize

from basicsr_ext.alignment.moved_input import moved_input
from basicsr_ext.errors import DataError


def levels(*shape: int, low: int = 0, high: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def test_each_value_gets_the_change_and_stays_in_8_bits() -> None:
    before, after, lq = (levels(5, 7, 3, seed=seed) for seed in range(3))
    found = moved_input(lq, before, after, 'a.png')
    assert found.dtype == np.uint8
    for place in np.ndindex(5, 7, 3):
        expected = int(lq[place]) + int(after[place]) - int(before[place])
        assert found[place] == min(255, max(0, expected))


def test_noise_that_was_added_is_what_is_left() -> None:
    before = levels(6, 6, 1, low=60, high=180)
    after, noise = before + 5, levels(6, 6, 1, low=0, high=20, seed=1)
    np.testing.assert_array_equal(moved_input(before + noise, before, after, 'a.png') - after, noise)


@pytest.mark.parametrize('rest', [0, 1])
def test_a_smaller_input_moves_by_the_reduced_change(rest: int) -> None:
    """Reducing T(x) and moving what x was reduced to differ by rounding alone."""
    before = levels(24 + rest, 36 + rest, 3, low=60, high=180)
    after = np.clip(before + np.random.default_rng(1).integers(-8, 9, before.shape), 0, 255).astype(np.uint8)

    def reduced(image: np.ndarray) -> np.ndarray:
        return np.rint(imresize(image[:24, :36].astype(np.float32), 1 / 2)).clip(0, 255).astype(np.uint8)

    found = moved_input(reduced(before), before, after, 'a.png')
    assert found.shape == (12, 18, 3) and not np.array_equal(found, reduced(before))
    assert np.abs(found.astype(int) - reduced(after)).max() <= 1


def test_one_channel_counts_for_all() -> None:
    before, after, lq = levels(4, 4, 1, low=50, high=60), levels(4, 4, 1, low=60, high=70), levels(4, 4, 3, high=200)
    found = moved_input(lq, before, after, 'a.png')
    np.testing.assert_array_equal(found.astype(int) - lq, np.repeat(after.astype(int) - before, 3, 2))
    assert moved_input(lq[..., :1], lq, lq, 'a.png').shape == (4, 4, 3)


def test_sizes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match=r'a\.png: expected an input of which .* 8 x 12, .* got 4 x 5\. .*kept'):
        moved_input(levels(4, 5, 1), levels(8, 12, 1), levels(8, 12, 1), 'a.png')
