"""Which patches are kept: ratios, numbers, bands, ties, images."""

from collections.abc import Sequence

import numpy as np
import pytest

from basicsr_ext.errors import OptionError
from basicsr_ext.selection.patches.choice import Keep, check_keep, keep_patches

SCORES = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0]  # 1.0 1.5 2.0 3.0 4.0 5.0 6.0 9.0
IMAGES = [0, 0, 0, 0, 1, 1, 1, 1]


def kept(
    scores: Sequence[float], keep: Keep, images: Sequence[int] | None = None, per_image: bool = False
) -> list[int]:
    found = keep_patches(np.array(scores), np.array(images or [0] * len(scores)), keep, per_image)
    return [int(row) for row in found]


@pytest.mark.parametrize(
    ('keep', 'rows'),
    [
        (0.5, [2, 4, 5, 7]),
        (0.25, [5, 7]),
        (1.0, list(range(8))),
        (0.9, [0, 2, 3, 4, 5, 6, 7]),  # of 8 patches 0.8 are left out: one
        (1, [5]),
        (3, [4, 5, 7]),
        (8, list(range(8))),
        ([0.5, 1.0], [2, 4, 5, 7]),
        ([0, 0.5], [0, 1, 3, 6]),
        ([0.25, 0.75], [0, 2, 4, 6]),
        ([0.5, 0.875], [2, 4, 7]),
        ([0, 1], list(range(8))),
    ],
)
def test_parts(keep: Keep, rows: list[int]) -> None:
    assert kept(SCORES, keep) == rows


@pytest.mark.parametrize(
    ('keep', 'rows'), [(0.5, [0, 2, 5, 7]), (1, [2, 5]), ([0, 0.25], [1, 6]), (3, [0, 2, 3, 4, 5, 7])]
)
def test_parts_of_each_image(keep: Keep, rows: list[int]) -> None:
    assert kept(SCORES, keep, IMAGES, per_image=True) == rows
    shuffled = np.random.default_rng(0).permutation(8)
    found = kept([SCORES[row] for row in shuffled], keep, [IMAGES[row] for row in shuffled], per_image=True)
    assert sorted(shuffled[found]) == rows


def test_more_than_an_image_has_takes_what_there_is() -> None:
    assert kept([1, 2, 3, 4], 2, [7, 3, 3, 3], per_image=True) == [0, 2, 3]
    with pytest.raises(OptionError, match=r'^keep: expected at most the 4 patches there are, got 9'):
        kept([1, 2, 3, 4], 9, [7, 3, 3, 3])


def test_an_image_may_lose_all_its_patches() -> None:
    assert kept([1, 2, 3], 0.4, [0, 1, 1], per_image=True) == [2]


def test_of_equal_scores_the_first_is_the_larger() -> None:
    assert kept([1, 1, 1, 1], 0.5) == [0, 1]
    assert kept([1, 1, 1, 1], 3) == [0, 1, 2]
    assert kept([1, 1, 1, 1], [0, 0.25]) == [3]
    assert kept([1, 2, 1, 2, 1], 3) == [0, 1, 3]
    assert kept([0.0, 0.0, 5.0, 0.0], 2, [0, 1, 2, 3]) == [0, 2]


def test_bands_share_out_all_patches() -> None:
    """Neighbouring bands have no patch in common and miss none."""
    scores = np.random.default_rng(0).integers(0, 5, 37).astype(float).tolist()
    for cut in np.linspace(0.05, 0.95, 19).tolist():
        lower, upper = kept(scores, [0, cut]), kept(scores, [cut, 1])
        assert sorted(lower + upper) == list(range(37))
        assert max(scores[row] for row in lower) <= min(scores[row] for row in upper)


def test_a_ratio_is_a_band() -> None:
    """As a user writes both: 0.55 and [0.45, 1], which are no binary fractions."""
    for percent in range(5, 100, 5):
        for number in range(20, 200):
            scores = np.random.default_rng(number).random(number).tolist()
            assert kept(scores, percent / 100) == kept(scores, [(100 - percent) / 100, 1]), number


def test_the_number_kept() -> None:
    for number in range(2, 60):
        assert len(kept(list(range(number)), 0.5)) in (number // 2, -(-number // 2))
        assert len(kept(list(range(number)), 0.75)) == number - round(0.25 * number)


def test_the_largest_are_kept() -> None:
    scores = np.random.default_rng(1).random(1000)
    rows = kept(scores.tolist(), 0.3)
    assert rows == sorted(np.argsort(scores)[700:].tolist())


@pytest.mark.parametrize('per_image', [False, True])
@pytest.mark.parametrize('keep', [0.04, [0.5, 0.51]])
def test_a_part_without_patches_is_refused(keep: Keep, per_image: bool) -> None:
    with pytest.raises(OptionError, match=r'^keep: expected a part with patches in it, got .* of 8\. Widen it\.$'):
        kept(SCORES, keep, IMAGES, per_image)


@pytest.mark.parametrize(
    ('keep', 'text'),
    [
        (0.0, r'a ratio above 0 and up to 1 \(or a whole number of patches\), got 0\.0'),
        (1.5, r'a ratio above 0 and up to 1 \(or a whole number of patches\), got 1\.5'),
        (-0.5, 'a ratio above 0 and up to 1'),
        (float('nan'), 'a ratio above 0 and up to 1'),
        (0, 'at least one patch, got 0'),
        (-3, 'at least one patch, got -3'),
        ([0.5, 0.5], r'two quantiles, 0 <= lo < hi <= 1, got \[0\.5, 0\.5\]'),
        ([0.9, 0.1], 'two quantiles'),
        ([-0.1, 0.5], 'two quantiles'),
        ([0.5, 1.1], 'two quantiles'),
        ([0.5], 'two quantiles'),
        ([0.1, 0.2, 0.3], 'two quantiles'),
        ([float('nan'), 1], 'two quantiles'),
        ([], 'two quantiles'),
    ],
)
def test_values_that_are_refused(keep: Keep, text: str) -> None:
    with pytest.raises(OptionError, match=f'^keep: expected {text}.*Correct the value'):
        check_keep(keep)
    with pytest.raises(OptionError, match=f'^keep: expected {text}'):
        kept(SCORES, keep)
