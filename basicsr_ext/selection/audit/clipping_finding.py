"""Over- and underexposed clean images, and those with nothing in them."""

import cv2
import numpy as np

from basicsr_ext.selection.audit.findings import image_finding
from basicsr_ext.selection.audit.measured_image import MeasuredImage

DARKEST, BRIGHTEST = 3, 252  # levels that are not yet black or white; compression leaves some beside 0 and 255
NEAR, GRADUAL = 48, 1.5  # levels next to the ends, and how many times their share can be clipped
EVEN = 2  # levels that an even neighbourhood spans at most
AROUND = np.ones((3, 3), np.uint8)


@image_finding('clipping', 'clipped to black or white', 'of the pixels', 'high', limit=0.2, step=0.2)
def clipping(image: MeasuredImage) -> float:
    """Share of the pixels that are black or white together with all their neighbours.

    It is 1.5 times the share of the pixels in the 48 levels next to these ends at most: a picture that is exposed
    wrongly comes to its ends gradually, one that is drawn on white does not.
    """
    inside = cv2.inRange(image.grey, DARKEST, BRIGHTEST)
    if cv2.countNonZero(inside) == image.grey.size:
        return 0.0
    clipped = 1 - cv2.countNonZero(cv2.dilate(inside, AROUND)) / image.grey.size
    levels = cv2.calcHist([image.grey], [0], None, [256], [0, 256]).ravel()
    near = levels[DARKEST : DARKEST + NEAR].sum() + levels[BRIGHTEST - NEAR + 1 : BRIGHTEST + 1].sum()
    return float(min(clipped, GRADUAL * near / image.grey.size))


@image_finding('flatness', 'nearly empty', 'of the pixels', 'high', limit=0.9, step=0.05)
def flatness(image: MeasuredImage) -> float:
    """Share of the pixels that differ by at most 2 levels from each other in their 3 x 3 neighbourhood."""
    span = cv2.morphologyEx(image.grey, cv2.MORPH_GRADIENT, AROUND)
    return cv2.countNonZero(cv2.inRange(span, 0, EVEN)) / image.grey.size
