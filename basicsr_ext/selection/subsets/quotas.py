"""How many images of each group a part of a ranking holds."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval

from basicsr_ext.errors import OptionError

Size = Annotated[int, Ge(1)]  # images of a part
Ratio = Annotated[float, Interval(gt=0, le=1)]  # the same as a part of all images


def size_or_ratio(size: int | None, ratio: float | None, **others: object) -> None:
    """Check that exactly one of the numbers is given that say how large a part is, and that it can be.

    Args:
        size: of images, at least 1.
        ratio: the same as a part of all images, above 0 and up to 1.
        others: what may stand in their place, by name; None for what is not given.

    Raises:
        OptionError: the message starts with the name of an argument.
    """
    numbers = {'size': size, 'ratio': ratio, **others}
    given = [name for name, value in numbers.items() if value is not None]
    if len(given) != 1:
        *first, last = numbers
        raise OptionError(
            given[0] if given else 'size',
            f'exactly one of {", ".join(first)} and {last}',
            ' and '.join(given) or 'none',
            'Remove the others.' if given else 'Add one.',
        )
    if size is not None and size < 1:
        raise OptionError('size', 'at least 1', size, 'Correct the value.')
    if ratio is not None and not 0 < ratio <= 1:
        raise OptionError('ratio', 'a number above 0 and up to 1', ratio, 'Correct the value.')


def part_size(ratio: float, count: int, least: int = 1) -> int:
    """A part of `count` images as a number: ceil(ratio * count), as TripleD counts, but at least `least`.

    Noise of the product does not count as one more image: 0.07 * 100 gives 7.
    """
    return max(least, math.ceil(round(ratio * count, 6)))


def quotas(ranks: Sequence[int], groups: Sequence[str], size: int) -> dict[str, int]:
    """Share a number of images out among groups: equal quotas, at least one per group, the remainder by score.

    A group that has fewer images than its quota gives all, and the others share the rest. What cannot be shared equally
    goes, one image per group, to the groups whose next image ranks best. Quotas thus depend neither on which part of
    a group is taken nor on the order of the rows.

    Args:
        ranks: of the rows, 1 = first; each once.
        groups: of the rows.
        size: of images in all, at most as many as there are rows.

    Returns:
        group -> quota, in the order of the names.

    Raises:
        OptionError: fewer images than groups.
    """
    ranked: dict[str, list[int]] = {name: [] for name in sorted(set(groups))}
    for rank, name in sorted(zip(ranks, groups, strict=True)):
        ranked[name].append(rank)
    if size < len(ranked):
        raise OptionError('size', f'at least one image of each of the {len(ranked)} groups', size, 'Raise it.')

    def filled(level: int) -> int:
        return sum(min(level, len(own)) for own in ranked.values())

    level = bisect_right(range(size + 1), size, key=filled) - 1
    taken = {name: min(level, len(own)) for name, own in ranked.items()}
    unfilled = sorted((own[level], name) for name, own in ranked.items() if len(own) > level)
    for _, name in unfilled[: size - filled(level)]:
        taken[name] += 1
    return taken


def shared_out(
    order: np.ndarray,
    ranks: Sequence[int],
    groups: Sequence[str] | None,
    size: int | None = None,
    ratio: float | None = None,
) -> list[tuple[np.ndarray, int]]:
    """The rows of each group, in the order given, and how many of them a part of the ranking holds.

    Args:
        order: all rows, (n,).
        ranks, groups: as in `quotas`; without groups all rows are one.
        size: of the part; None with `ratio`.
        ratio: the same as a part of all rows, see `part_size`, with groups at least one a group.

    Raises:
        OptionError: more images than rows, or fewer than groups.
    """
    if ratio is not None:
        size = part_size(ratio, len(ranks), 1 if groups is None else len(set(groups)))
    if size is None or size > len(ranks):
        raise OptionError('size', f'at most the {len(ranks)} images of the ranking', size, 'Lower it.')
    if groups is None:
        return [(order, size)]
    name_of = np.asarray(groups, dtype=object)[order]
    return [(order[name_of == name], quota) for name, quota in quotas(ranks, groups, size).items()]
