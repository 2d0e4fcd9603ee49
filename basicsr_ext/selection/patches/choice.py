"""Which patches to learn from."""

from collections.abc import Sequence

import numpy as np

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.selection.manifest import Manifest

Keep = float | int | Sequence[float]


def keep_patches(scores: np.ndarray, images: np.ndarray, keep: Keep, per_image: bool = False) -> np.ndarray:
    """Choose patches by a criterion: those where it is largest, or a band of its quantiles.

    Soh and Cho (2021, Sec. VI) discard the half of the patches with the smallest mean gradient: `keep=0.5`. A ratio r
    is the band [1 - r, 1]; of n patches, the band [a, b] leaves out the round(a n) smallest and the n - round(b n)
    largest.

    Args:
        scores: (n,), of patches in the order of their images and positions, which settles ties: of equal scores the
            first one counts as the larger.
        images: (n,), a number for the image of each patch.
        keep: a ratio in (0, 1] (float), a number of patches (int), or a band of quantiles [lo, hi].
        per_image: choose in every image on its own instead of in all together.

    Returns:
        Rows in ascending order.

    Raises:
        OptionError: a value out of bounds, or one that leaves no patch; the message starts with `keep`.
    """
    check_keep(keep)
    if isinstance(keep, int) and keep > len(scores) and not per_image:
        raise OptionError('keep', f'at most the {len(scores)} patches there are', keep, 'Lower it.')
    order = np.argsort(-scores, kind='stable')
    if not per_image:
        chosen = order[_part(len(order), keep)]
    else:
        order = order[np.argsort(images[order], kind='stable')]
        ends = np.flatnonzero(np.diff(images[order])) + 1
        chosen = np.concatenate([group[_part(len(group), keep)] for group in np.split(order, ends)])
    if not len(chosen):
        raise OptionError('keep', 'a part with patches in it', f'{shown(keep)} of {len(scores)}', 'Widen it.')
    return np.sort(chosen)


def _part(number: int, keep: Keep) -> slice:
    """The places, counted from the largest score, that are kept of so many patches."""
    if isinstance(keep, int):
        return slice(0, keep)
    low, high = keep if isinstance(keep, Sequence) else (1 - keep, 1.0)
    first, last = (number - round(round(quantile * number, 6)) for quantile in (high, low))  # 1 - 0.9 is not 0.1
    return slice(first, last)


def check_keep(keep: Keep) -> None:
    """Check what can be known about `keep` before there are patches.

    Raises:
        OptionError: as `keep_patches`.
    """
    if isinstance(keep, Sequence):
        good = len(keep) == 2 and 0 <= keep[0] < keep[1] <= 1
        expected = 'two quantiles, 0 <= lo < hi <= 1'
    elif isinstance(keep, int):
        good, expected = keep >= 1, 'at least one patch'
    else:
        good, expected = 0 < keep <= 1, 'a ratio above 0 and up to 1 (or a whole number of patches)'
    if not good:
        raise OptionError('keep', expected, shown(keep), 'Correct the value.')


def criterion_of(manifest: Manifest, name: str | None) -> str:
    """The column to choose by.

    Raises:
        OptionError: none is named and there are several, or there is none of that name.
    """
    known = manifest.criteria
    if name in known:
        return name
    if name is None and len(known) == 1:
        return known[0]
    raise OptionError('criterion', f'one of {", ".join(known)} of {manifest.source}', name or 'none', 'Name it.')
