"""Parts of a ranking: known small ones, the rules as plain loops, everything that is refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from basicsr_ext.errors import OptionError
from basicsr_ext.selection.subsets.choose import choose

RANKS = [3, 1, 5, 2, 4]  # of the rows 0 to 4


@pytest.mark.parametrize(
    ('subset', 'size', 'rows'),
    [
        ('top', 2, [1, 3]),
        ('bottom', 2, [2, 4]),
        ('mid', 1, [0]),
        ('mid', 3, [0, 3, 4]),
        ('mid', 2, [0, 3]),  # ranks 2 and 3: two are left out above rank 3, one below
        *((subset, 5, [0, 1, 2, 3, 4]) for subset in ('top', 'mid', 'bottom', 'random')),
    ],
)
def test_rows_of_a_small_ranking(subset: Any, size: int, rows: list[int]) -> None:
    assert choose(RANKS, subset, size=size) == rows


@pytest.mark.parametrize(
    ('count', 'size', 'first', 'last'),
    [(6, 2, 3, 4), (6, 4, 2, 5), (7, 3, 3, 5), (7, 1, 4, 4), (6, 3, 2, 4), (7, 2, 3, 4), (400, 20, 191, 210)],
)
def test_mid_lies_around_the_median(count: int, size: int, first: int, last: int) -> None:
    """(first + last) / 2 is the median rank, or half a rank above it where no K ranks lie evenly."""
    assert [row + 1 for row in choose(range(1, count + 1), 'mid', size=size)] == list(range(first, last + 1))
    assert (count + 1) / 2 - (first + last) / 2 == ((count - size) % 2) / 2


@pytest.mark.parametrize('subset', ['top', 'mid', 'bottom'])
def test_a_shuffled_ranking(subset: Any) -> None:
    ranks = (np.random.default_rng(0).permutation(31) + 1).tolist()
    left_out = {'top': 0, 'mid': 12, 'bottom': 24}[subset]
    wanted = [row for row, rank in enumerate(ranks) if left_out < rank <= left_out + 7]
    assert choose(ranks, subset, size=7) == wanted
    assert choose(np.array(ranks), subset, size=7) == wanted


@pytest.mark.parametrize(('ratio', 'count'), [(1.0, 30), (1, 30), (0.5, 15), (0.21, 7), (0.01, 1), (0.05, 2)])
def test_ratio_is_rounded_up(ratio: float, count: int) -> None:
    assert choose(range(1, 31), 'bottom', ratio=ratio) == list(range(30 - count, 30))


def test_range_includes_both_ends() -> None:
    assert choose(RANKS, range=[2, 4]) == [0, 3, 4]
    assert choose(RANKS, range=[5, 5]) == [2]
    assert choose(RANKS, range=(1, 5)) == [0, 1, 2, 3, 4]


def test_random_follows_the_seed_not_the_ranks() -> None:
    first = choose(range(1, 101), 'random', size=20, seed=3)
    assert first == sorted(set(first)) and len(first) == 20 and set(first) < set(range(100))
    assert choose(range(100, 0, -1), 'random', size=20, seed=3) == first
    assert choose(range(1, 101), 'random', size=20, seed=4) != first
    assert set(first) < set(choose(range(1, 101), 'random', size=50, seed=3))


def test_random_is_uniform() -> None:
    """Each of 5 rows is in 2 of 5 draws; 6 standard deviations of a binomial are allowed."""
    draws = 2000
    counts = np.zeros(5)
    for seed in range(draws):
        counts[choose(RANKS, 'random', size=2, seed=seed)] += 1
    assert np.abs(counts / draws - 0.4).max() < 6 * np.sqrt(0.4 * 0.6 / draws)


@pytest.mark.parametrize(
    ('part', 'text'),
    [
        ({'subset': 'top'}, r'^size: expected exactly one of size, ratio and range, got none\. Add one\.'),
        ({'subset': 'top', 'size': 2, 'ratio': 0.5}, r'^size: expected exactly one of .*, got size and ratio\. Remove'),
        ({'ratio': 0.5, 'range': [1, 2]}, r'^ratio: expected exactly one of .*, got ratio and range\. Remove'),
        ({'subset': 'top', 'range': [1, 2]}, r"^subset: expected none beside range, got 'top'"),
        ({'size': 2}, r'^subset: expected top, mid, bottom or random, got None'),
        ({'subset': 'middle', 'size': 2}, r"^subset: expected top, mid, bottom or random, got 'middle'"),
        ({'subset': 'top', 'size': 0}, r'^size: expected at least 1, got 0'),
        ({'subset': 'top', 'size': 6}, r'^size: expected at most the 5 images of the ranking, got 6'),
        ({'subset': 'top', 'ratio': 0.0}, r'^ratio: expected a number above 0 and up to 1, got 0\.0'),
        ({'subset': 'top', 'ratio': 1.01}, r'^ratio: expected a number above 0 and up to 1, got 1\.01'),
        ({'subset': 'top', 'ratio': float('nan')}, r'^ratio: expected a number above 0 and up to 1, got nan'),
        ({'range': [3, 2]}, r'^range: expected the first and the last rank, from 1, got \[3, 2\]'),
        ({'range': [0, 2]}, r'^range: expected the first and the last rank, from 1, got \[0, 2\]'),
        ({'range': [1, 2], 'groups': list('aabbb')}, r'^range: expected size or ratio with per_group, got range'),
        (
            {'subset': 'mid', 'size': 1, 'groups': list('aabbb')},
            r'^size: expected at least one image of each of the 2 groups',
        ),
        ({'range': [2]}, r'^range: expected the first and the last rank, from 1, got \[2\]'),
        ({'range': [2, 6]}, r'^range: expected at most the 5 images of the ranking, got 6'),
        ({'subset': 'random', 'size': 2, 'seed': -1}, r'^seed: expected at least 0, got -1'),
    ],
)
def test_parts_that_do_not_exist(part: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        choose(RANKS, **part)


@pytest.mark.parametrize(
    'ranks', [[0, 1, 2], [1, 2, 2], [1, 2, 4], [1.0, 2.0, 3.0], [0.3, -2.0, 0.1], ['a', 'b', 'c'], [None, 1, 2]]
)
def test_values_that_are_no_ranks(ranks: Sequence[Any]) -> None:
    """A column of scores would give the least influential images as the top ones."""
    with pytest.raises(OptionError, match=r'^column: expected the ranks 1 to 3, each once, got .* Name a column of'):
        choose(ranks, 'top', size=1)
