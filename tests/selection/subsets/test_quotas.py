"""Equal shares of groups: against a loop that gives images out one by one, and small ones worked out by hand."""

from typing import Any

import numpy as np
import pytest

from basicsr_ext.errors import OptionError
from basicsr_ext.selection.subsets.choose import choose
from basicsr_ext.selection.subsets.quotas import part_size, quotas

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ('ratio', 'count', 'least', 'size'),
    [(0.07, 100, 1, 7), (0.02, 400, 1, 8), (0.02, 401, 1, 9), (1, 30, 1, 30), (1e-3, 5, 1, 1), (0.02, 40, 3, 3)],
)
def test_a_part_is_rounded_up(ratio: float, count: int, least: int, size: int) -> None:
    assert part_size(ratio, count, least) == size


@pytest.mark.parametrize('count', [7, 100, 400, 1000, 13711])
def test_hundredths_of_any_number(count: int) -> None:
    """Against whole numbers, which have no noise."""
    assert [part_size(k / 100, count) for k in range(1, 101)] == [-(-k * count // 100) for k in range(1, 101)]


@pytest.mark.parametrize(
    ('groups', 'size', 'expected'),
    [
        ('aaabbbcccc', 3, {'a': 1, 'b': 1, 'c': 1}),
        ('aaabbbcccc', 4, {'a': 2, 'b': 1, 'c': 1}),  # the next of a has rank 2, of b 5, of c 8
        ('bbbaaacccc', 4, {'a': 1, 'b': 2, 'c': 1}),
        ('aaabbbcccc', 5, {'a': 2, 'b': 2, 'c': 1}),
        ('aaaaaaaaab', 4, {'a': 3, 'b': 1}),  # b has no more
        ('aaaaaaaaab', 10, {'a': 9, 'b': 1}),
        ('aaaa', 3, {'a': 3}),
    ],
)
def test_small_quotas(groups: str, size: int, expected: dict[str, int]) -> None:
    assert quotas(range(1, len(groups) + 1), groups, size) == expected


def given_out(ranks: list[int], groups: list[str], size: int) -> dict[str, int]:
    """One image a group and round; in a round the groups come by the rank of their next image."""
    left = {group: sorted(rank for rank, own in zip(ranks, groups, strict=True) if own == group) for group in groups}
    taken = dict.fromkeys(left, 0)
    while size:
        for group in sorted((group for group in left if left[group]), key=lambda group: left[group][0]):
            if size:
                left[group].pop(0)
                taken[group] += 1
                size -= 1
    return taken


def some_ranking(count: int, number: int) -> tuple[list[int], list[str]]:
    groups = [f'g{group}' for group in range(number)]
    groups += [f'g{int(group)}' for group in RNG.integers(0, number, count - number) ** 2 // number]
    return (RNG.permutation(count) + 1).tolist(), groups


@pytest.mark.parametrize(('count', 'number'), [(5, 5), (12, 3), (40, 7), (100, 2)])
def test_quotas_are_those_of_giving_out_in_rounds(count: int, number: int) -> None:
    ranks, groups = some_ranking(count, number)
    for size in range(number, count + 1):
        assert quotas(ranks, groups, size) == given_out(ranks, groups, size)


@pytest.mark.parametrize('subset', ['top', 'mid', 'bottom', 'random'])
def test_each_group_gives_its_own_part(subset: Any) -> None:
    ranks, groups = some_ranking(60, 4)
    chosen = choose(ranks, subset, size=23, groups=groups)
    assert chosen == sorted(set(chosen)) and len(chosen) == 23
    for group, quota in quotas(ranks, groups, 23).items():
        own = [row for row in range(60) if groups[row] == group]
        mine = [row for row in chosen if groups[row] == group]
        assert len(mine) == quota
        if subset != 'random':
            order = sorted(ranks[row] for row in own)
            assert mine == [
                own[place] for place in choose([order.index(ranks[row]) + 1 for row in own], subset, size=quota)
            ]
    assert choose(ranks, subset, size=60, groups=groups) == list(range(60))


def test_random_parts_of_groups_follow_the_seed() -> None:
    ranks, groups = some_ranking(60, 4)
    first = choose(ranks, 'random', size=20, seed=3, groups=groups)
    assert first == choose(ranks, 'random', size=20, seed=3, groups=groups)
    assert first != choose(ranks, 'random', size=20, seed=4, groups=groups)
    assert set(first) < set(choose(ranks, 'random', size=30, seed=3, groups=groups))


def test_one_group_is_no_group() -> None:
    ranks, _ = some_ranking(31, 1)
    for subset in ('top', 'mid', 'bottom', 'random'):
        assert choose(ranks, subset, size=8, groups=['x'] * 31) == choose(ranks, subset, size=8)  # type: ignore[arg-type]


def test_a_small_ratio_gives_one_a_group() -> None:
    assert choose(range(1, 41), 'top', ratio=0.02, groups=['a'] * 20 + ['b'] * 10 + ['c'] * 10) == [0, 20, 30]


def test_fewer_images_than_groups_are_refused() -> None:
    with pytest.raises(OptionError, match=r'^size: expected at least one image of each of the 3 groups, got 2'):
        quotas([1, 2, 3], 'abc', 2)
