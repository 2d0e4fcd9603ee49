"""Noise of clean images."""

import numpy as np

from basicsr_ext.selection.audit.findings import image_finding
from basicsr_ext.selection.audit.measured_image import MeasuredImage

PART = 16  # pixels along a side of what gives one estimate
LOWEST = 0.02  # share of the estimates that may lie below the result
STEP = 4  # pixels between those whose mean tells how bright a part is
ENDS = 16  # levels next to black and white where noise is cut off
TEXTURE = 3.0  # how many times as much variance texture has an octave below


@image_finding('noise', 'noisy', 'levels', 'high', limit=3.4, step=3)
def noise(image: MeasuredImage) -> float:
    """Standard deviation of white noise of the grey image in 8-bit levels.

    Donoho and Johnstone (1994, Sec. 4.2): the median of the magnitudes of the finest diagonal wavelet coefficients,
    divided by 0.6745. The wavelet is Haar's: (a - b - c + d) / 2 of four neighbours. Detail of the picture has such
    coefficients too, but rarely everywhere, so the median is taken in parts of 16 x 16 pixels, and e is the 2 %
    quantile of these. What texture is left even there is known by the next octave, where the same quantile is f: white
    noise has the same variance in both, texture 3 times as much in the lower one (4 times by the law that power falls
    with the square of the frequency). So the variance of the noise is (3 e^2 - f^2) / 2, or 0. Parts near black or
    white, where noise is cut off, are left out unless all are.
    """
    if not len(image.tiles):
        return np.nan
    tiles = image.tiles.astype(np.int16)
    means = _parts(tiles[:, ::STEP, ::STEP], PART // STEP).mean(1)
    inside = (means >= ENDS) & (means <= 255 - ENDS)
    chosen = inside if inside.any() else np.ones(len(inside), bool)
    coarser = tiles[:, 0::2] + tiles[:, 1::2]
    coarser = coarser[:, :, 0::2] + coarser[:, :, 1::2]  # twice the coefficients of the low band
    fine = _lowest(_parts(_diagonal(tiles), PART // 2)[chosen]) / 2
    coarse = _lowest(_parts(_diagonal(coarser), PART // 4)[chosen]) / 4
    return float(np.sqrt(max(0.0, (TEXTURE * fine**2 - coarse**2) / (TEXTURE - 1))))


def _diagonal(images: np.ndarray) -> np.ndarray:
    """Magnitudes of twice the diagonal coefficients, (n, H / 2, W / 2)."""
    rows = images[:, 0::2] - images[:, 1::2]
    return np.abs(rows[:, :, 0::2] - rows[:, :, 1::2])


def _parts(images: np.ndarray, side: int) -> np.ndarray:
    """(n, H, W) as (parts, side * side)."""
    number, height, width = images.shape
    parts = images.reshape(number, height // side, side, width // side, side)
    return parts.swapaxes(2, 3).reshape(-1, side * side)


def _lowest(parts: np.ndarray) -> float:
    """The 2 % quantile of what the medians of parts tell of the standard deviation."""
    middle = parts.shape[1] // 2
    medians = np.partition(parts, middle, axis=1)[:, middle]
    return float(np.sort(medians)[int(LOWEST * len(medians))] / 0.6745)
