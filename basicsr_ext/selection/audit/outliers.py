"""Images unlike the rest of the set."""

import cv2
import numpy as np

from basicsr_ext.selection.audit.measured_image import MeasuredImage
from basicsr_ext.selection.audit.thresholds import usual_and_spread

BANDS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the Nyquist frequency
FEATURES = 2 + len(BANDS) - 1
LEAST_SPREAD = 0.05  # of a feature: of sets whose images hardly differ


def features(image: MeasuredImage) -> np.ndarray:
    """Six numbers that tell images apart: brightness, contrast and the detail in four octaves, (6,).

    The mean as a part of 255, and decimal logarithms of the standard deviation and of the mean power of the tiles
    in octaves. NaN of tiny images.
    """
    mean, std = (float(value[0, 0]) for value in cv2.meanStdDev(image.grey))
    if not len(image.tiles):
        return np.full(FEATURES, np.nan)
    rings, nyquist = image.rings, image.tiles.shape[1] // 4
    edges = [max(int(band * nyquist), number) for number, band in enumerate(BANDS)]
    powers = [rings[low : max(high, low + 1)].mean() for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return np.array([mean / 255, np.log10(std + 1), *np.log10(np.array(powers) + 1)])


def distances(table: np.ndarray) -> np.ndarray:
    """How far each image lies from what is usual: root mean square over the features of its distance in their spreads.

    Args:
        table: `features` of all images, (n, features).

    Returns:
        (n,), NaN where features are.
    """
    squares = np.zeros(len(table))
    for column in table.T:
        known = column[np.isfinite(column)]
        if len(known):
            usual, spread = usual_and_spread(known)
            squares += ((column - usual) / max(spread, LEAST_SPREAD)) ** 2
    return np.sqrt(squares / table.shape[1])
