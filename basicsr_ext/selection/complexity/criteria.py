"""How complex a whole image is by classical measures; TripleD, a method of dataset distillation for image restoration,
trains its complexity scorer on the first of them.

All are measured on the grey image of 8 bits at full size. It is OpenCV's conversion of the colours (Y of BT.601 in full
range, rounded), but of a clean image that is a JPEG the luma as the file stores it: colours made of it and turned to
grey again are rounded twice, which moves the entropy by up to 0.15 bits and takes 1.4 times as long.
"""

from collections.abc import Callable

import cv2
import numpy as np

ComplexityCriterion = Callable[[np.ndarray], float]  # of a grey image, (H, W), uint8
CRITERIA: dict[str, ComplexityCriterion] = {}


def complexity_criterion(name: str) -> Callable[[ComplexityCriterion], ComplexityCriterion]:
    """Register a function under a name that `rank.criterion` can then have."""

    def enter(function: ComplexityCriterion) -> ComplexityCriterion:
        CRITERIA[name] = function
        return function

    return enter


@complexity_criterion('entropy')
def entropy(grey: np.ndarray) -> float:
    """Shannon entropy of the histogram of 256 levels in bits: 0 for a constant, 8 for equally frequent levels.

    Args:
        grey: (H, W), uint8.
    """
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).astype(np.float64)
    shares = counts[counts > 0] / counts.sum()
    return float(shares @ np.log2(1 / shares))


@complexity_criterion('std')
def std(grey: np.ndarray) -> float:
    """Standard deviation in 8-bit levels, divided by the number of pixels.

    Args:
        grey: (H, W), uint8.
    """
    return float(cv2.meanStdDev(grey)[1][0, 0])


@complexity_criterion('gradient')
def gradient(grey: np.ndarray) -> float:
    """Mean magnitude of the gradient, in 8-bit levels per pixel: forward differences, zero at the last column and row.

    It is 255 times what `patch_criteria.grad_mag` gives for a patch that is the whole image.

    Args:
        grey: (H, W), uint8.
    """
    levels = grey.astype(np.float32)
    dx = np.diff(levels, axis=1, append=levels[:, -1:])
    dy = np.diff(levels, axis=0, append=levels[-1:])
    return float(cv2.magnitude(dx, dy).mean(dtype=np.float64))
