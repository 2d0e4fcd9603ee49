"""Which rows of a ranking to learn from."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from basicsr_ext.errors import OptionError

Subset = Literal['top', 'mid', 'bottom', 'random']


def choose(
    ranks: Sequence[int],
    subset: Subset | None = None,
    *,
    size: int | None = None,
    ratio: float | None = None,
    range: Sequence[int] | None = None,
    seed: int = 0,
) -> list[int]:
    """Choose a part of a ranking: its first, middle or last K items, K random ones, or those between two ranks.

    Mid, the part that trains best in the influence paper (Sec. 4.2.1), is the K around the median rank; where n - K is
    odd, one more of the items left out has a larger rank. A random choice depends on n and the seed alone, and a
    smaller one is part of a larger one.

    Args:
        ranks: of the rows, 1 = most influential; 1 to n, each once.
        subset: `top`, `mid`, `bottom` or `random`; None with `range`.
        size: K.
        ratio: K as a part of n: the integer nearest to ratio * n, at least 1.
        range: first and last rank, both included.
        seed: of `random`.

    Returns:
        Rows in ascending order.

    Raises:
        OptionError: not exactly one of size, ratio and range, a value out of bounds, or values that are no ranks; the
            message starts with the name of the argument.
    """
    check_part(subset, size, ratio, range, seed)
    values, count = np.asarray(ranks), len(ranks)
    if values.dtype.kind not in 'iu' or not np.array_equal(np.sort(values), np.arange(1, count + 1)):
        shown = ', '.join(map(str, ranks[:5]))
        raise OptionError(
            f'column: expected the ranks 1 to {count}, each once, got {shown}, ... Name a column of ranks.'
        )
    first, last = range or (1, count)
    if ratio is not None:
        size = max(1, round(ratio * count))
    if (size or last) > count:
        name = 'size' if size else 'range'
        raise OptionError(f'{name}: expected at most the {count} images of the ranking, got {size or last}. Lower it.')
    if size is not None:
        first = 1 + {'mid': (count - size) // 2, 'bottom': count - size}.get(subset or 'top', 0)
        last = first + size - 1
    order = np.random.default_rng(seed).permutation(count) if subset == 'random' else np.argsort(values)
    return sorted(order[first - 1 : last].tolist())


def check_part(
    subset: str | None, size: int | None, ratio: float | None, range: Sequence[int] | None, seed: int = 0
) -> None:
    """Check what can be known about the arguments of `choose` before there are ranks.

    Raises:
        OptionError: as `choose`.
    """
    given = [name for name, value in (('size', size), ('ratio', ratio), ('range', range)) if value is not None]
    if len(given) != 1:
        raise OptionError(
            f'{given[0] if given else "size"}: expected exactly one of size, ratio and range, got '
            f'{" and ".join(given) or "none"}. {"Remove the others." if given else "Add one."}'
        )
    if range is not None and subset is not None:
        raise OptionError(f'subset: expected none beside range, got {subset!r}. Remove one of the two.')
    if range is None and subset not in ('top', 'mid', 'bottom', 'random'):
        raise OptionError(f'subset: expected top, mid, bottom or random, got {subset!r}. Correct the value.')
    if size is not None and size < 1:
        raise OptionError(f'size: expected at least 1, got {size}. Correct the value.')
    if ratio is not None and not 0 < ratio <= 1:
        raise OptionError(f'ratio: expected a number above 0 and up to 1, got {ratio}. Correct the value.')
    if range is not None and not (len(range) == 2 and 1 <= range[0] <= range[1]):
        raise OptionError(
            f'range: expected the first and the last rank, from 1, got {list(range)}. Correct the values.'
        )
    if seed < 0:
        raise OptionError(f'seed: expected at least 0, got {seed}. Correct the value.')
