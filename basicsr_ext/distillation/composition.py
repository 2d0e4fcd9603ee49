"""The parts of a distilled dataset: how many images, which real ones are kept, from which the others start."""

import math
from collections import Counter
from collections.abc import Sequence

from basicsr_ext.errors import OptionError
from basicsr_ext.selection.subsets.quotas import part_size


def distilled_number(count: int, size: int | None, ratio: float | None, groups: int = 1) -> int:
    """The number M = `size`, or ceil(ratio N) of N images (TripleD, Sec. 3.2), at least one of each of some groups.

    Raises:
        OptionError: more than there are images, or fewer than groups; the message starts with `size`.
    """
    number = size if size is not None else part_size(ratio or 0, count, least=groups)
    if number > count:
        raise OptionError('size', f'at most the {count} images of the dataset', number, 'Lower it.')
    if number < groups:
        raise OptionError('size', f'at least one image of each of the {groups} groups', number, 'Raise it.')
    return number


def kept_number(number: int, kept: float) -> int:
    """The number of real ones among M images: the whole number nearest to kept M, halves upwards."""
    return math.floor(number * kept + 0.5)


def by_shares(ranks: Sequence[int], groups: Sequence[str]) -> list[int]:
    """Images in the order in which they are taken, so that any first M of them hold an equal share of each group.

    The first of every group come first, by rank, then the second ones, ...: the first M are those of `quotas`, so that
    the kept images and all images together both have equal shares. One group leaves the ranking as it is.

    Args:
        ranks: of the images, 1 = first.
        groups: the name of the group of each.
    """
    seen: Counter[str] = Counter()
    rounds = {}
    for index in sorted(range(len(ranks)), key=lambda index: ranks[index]):
        rounds[index] = seen[groups[index]]
        seen[groups[index]] += 1
    return sorted(rounds, key=lambda index: (rounds[index], ranks[index]))
