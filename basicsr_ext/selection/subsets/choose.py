"""Which rows of a ranking to learn from."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.selection.subsets.quotas import shared_out, size_or_ratio

Subset = Literal['top', 'mid', 'bottom', 'random']


def choose(
    ranks: Sequence[int],
    subset: Subset | None = None,
    *,
    size: int | None = None,
    ratio: float | None = None,
    range: Sequence[int] | None = None,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> list[int]:
    """Choose a part of a ranking: its first, middle or last K items, K random ones, or those between two ranks.

    Mid, the part that trains best in the influence paper (Sec. 4.2.1), is the K around the median rank; where n - K is
    odd, one more of the items left out has a larger rank. A random choice depends on n and the seed alone, and a
    smaller one is part of a larger one.

    With groups, K is shared out among them (see `quotas`), and each gives its own first, middle, last or random items.

    Args:
        ranks: of the rows, 1 = most influential; 1 to n, each once.
        subset: `top`, `mid`, `bottom` or `random`; None with `range`.
        size: K.
        ratio: K as a part of n: ceil(ratio * n), with groups at least one a group.
        range: first and last rank, both included; not with groups.
        seed: of `random`.
        groups: of the rows, such as their degradation; None takes all as one.

    Returns:
        Rows in ascending order.

    Raises:
        OptionError: not exactly one of size, ratio and range, a value out of bounds, or values that are no ranks; the
            message starts with the name of the argument.
    """
    check_part(subset, size, ratio, range, seed, per_group=groups is not None)
    check_ranks(ranks)
    count = len(ranks)
    if range is not None and range[1] > count:
        raise OptionError('range', f'at most the {count} images of the ranking', range[1], 'Lower it.')
    order = np.random.default_rng(seed).permutation(count) if subset == 'random' else np.argsort(ranks)
    if range is not None:
        return sorted(order[range[0] - 1 : range[1]].tolist())
    chosen = []
    for rows, quota in shared_out(order, ranks, groups, size, ratio):
        left_out = {'mid': (len(rows) - quota) // 2, 'bottom': len(rows) - quota}.get(subset or 'top', 0)
        chosen.append(rows[left_out : left_out + quota])
    return sorted(np.concatenate(chosen).tolist())


def check_ranks(ranks: Sequence[int]) -> None:
    """Raise OptionError unless the values are the ranks 1 to n, each once."""
    values, count = np.asarray(ranks), len(ranks)
    if values.dtype.kind not in 'iu' or not np.array_equal(np.sort(values), np.arange(1, count + 1)):
        shown = ', '.join(map(str, ranks[:5]))
        raise OptionError('column', f'the ranks 1 to {count}, each once', f'{shown}, ..', 'Name a column of ranks.')


def check_part(
    subset: str | None,
    size: int | None,
    ratio: float | None,
    range: Sequence[int] | None,
    seed: int = 0,
    per_group: bool = False,
) -> None:
    """Check what can be known about the arguments of `choose` before there are ranks.

    Raises:
        OptionError: as `choose`.
    """
    size_or_ratio(size, ratio, range=range)
    if range is not None and per_group:
        raise OptionError('range', 'size or ratio with per_group', 'range', 'Name one of them and a subset.')
    if range is not None and subset is not None:
        raise OptionError('subset', 'none beside range', shown(subset), 'Remove one of the two.')
    if range is None and subset not in ('top', 'mid', 'bottom', 'random'):
        raise OptionError('subset', 'top, mid, bottom or random', shown(subset), 'Correct the value.')
    if range is not None and not (len(range) == 2 and 1 <= range[0] <= range[1]):
        raise OptionError('range', 'the first and the last rank, from 1', list(range), 'Correct the values.')
    if seed < 0:
        raise OptionError('seed', 'at least 0', seed, 'Correct the value.')
