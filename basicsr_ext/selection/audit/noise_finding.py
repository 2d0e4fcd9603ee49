"""Noise of clean images."""

import numpy as np

from basicsr_ext.selection.audit.findings import image_finding
from basicsr_ext.selection.audit.measured_image import MeasuredImage

BLOCK = 8  # coefficients along a side of the part that gives one estimate; twice as many pixels
LOWEST = 0.05  # share of the estimates that may lie below the result
ENDS = 16  # levels next to black and white where noise is cut off


@image_finding('noise', 'noisy', 'levels', 'high', limit=7.8, step=4)
def noise(image: MeasuredImage) -> float:
    """Standard deviation of white noise in 8-bit levels.

    Donoho and Johnstone (1994, Sec. 4.2): the median of the magnitudes of the finest diagonal wavelet coefficients,
    divided by 0.6745. The wavelet is Haar's: (a - b - c + d) / 2 of four neighbours. Detail of the picture has such
    coefficients too, but rarely everywhere, so the median is taken in parts of 16 x 16 pixels, and the result is
    the 5 % quantile of them. Parts near black or white, where noise is cut off, are left out unless all are.
    """
    tiles = image.tiles
    if not len(tiles):
        return np.nan
    rows = tiles[:, 0::2].astype(np.int16) - tiles[:, 1::2]
    twice = np.abs(rows[:, :, 0::2] - rows[:, :, 1::2])
    middle = BLOCK * BLOCK // 2
    medians = np.partition(_blocks(twice, BLOCK), middle, axis=1)[:, middle]
    means = _blocks(tiles[:, ::2, ::2], BLOCK).mean(1)
    inside = (means >= ENDS) & (means <= 255 - ENDS)
    estimates = np.sort(medians[inside] if inside.any() else medians)
    return float(estimates[int(LOWEST * len(estimates))] / 2 / 0.6745)


def _blocks(images: np.ndarray, side: int) -> np.ndarray:
    """(n, H, W) as (blocks, side * side)."""
    number, height, width = images.shape
    parts = images.reshape(number, height // side, side, width // side, side)
    return parts.swapaxes(2, 3).reshape(-1, side * side)
