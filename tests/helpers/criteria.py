"""The criteria of patches and of images as plain formulas."""

from collections.abc import Callable

import numpy as np
from scipy.stats import entropy as scipy_entropy

Patch = np.ndarray  # H x W x C, float64, [0, 1]


def plain_grad(patch: Patch) -> float:
    return float(((patch[:, 1:] - patch[:, :-1]) ** 2).sum() + ((patch[1:] - patch[:-1]) ** 2).sum()) / patch.size


def plain_grad_mag(patch: Patch) -> float:
    dx, dy = np.zeros_like(patch), np.zeros_like(patch)
    dx[:, :-1], dy[:-1] = patch[:, 1:] - patch[:, :-1], patch[1:] - patch[:-1]
    return float(np.hypot(dx, dy).mean())


def plain_freq(patch: Patch, above: bool = True) -> float:
    """The power where both frequencies are at least pi / 2, or the rest of it."""
    size = len(patch)
    power = np.abs(np.fft.fft2(patch, axes=(0, 1), norm='ortho')) ** 2
    high = 4 * np.minimum(np.arange(size), size - np.arange(size)) >= size  # of the frequencies 2 pi k / size
    mask = high[:, None] & high[None, :]
    return float(power[mask if above else ~mask].sum()) / patch.size


PLAIN: dict[str, Callable[[Patch], float]] = {
    'grad': plain_grad, 'grad_mag': plain_grad_mag, 'std': lambda patch: float(patch.std()), 'freq': plain_freq
}  # fmt: skip


def plain_complexity(name: str, grey: np.ndarray) -> float:
    """By loops over pixels or by another library."""
    if name == 'entropy':
        return float(scipy_entropy(np.bincount(grey.ravel()), base=2))
    if name == 'std':
        return float(grey.astype(np.float64).std())
    levels, (height, width), total = grey.astype(float), grey.shape, 0.0
    for y in range(height):
        for x in range(width):
            dx = levels[y, x + 1] - levels[y, x] if x + 1 < width else 0
            dy = levels[y + 1, x] - levels[y, x] if y + 1 < height else 0
            total += (dx**2 + dy**2) ** 0.5
    return total / levels.size
