"""Blocks of JPEG in clean images."""

import cv2
import numpy as np

from basicsr_ext.selection.audit.findings import image_finding
from basicsr_ext.selection.audit.measured_image import GRID, MeasuredImage

EDGE = 20  # levels: larger differences count as much, so that a few strong edges do not decide
ROUNDING = 1.0  # levels of difference that no block is seen in


@image_finding('blockiness', 'compressed with visible blocks', '', 'high', limit=0.15, step=0.18)
def blockiness(image: MeasuredImage) -> float:
    """By what part neighbours differ more across the borders of 8 x 8 blocks than elsewhere.

    It is the blocking effect factor of Yim and Bovik (2011, Eq. 8 to 10), D_B - D_BC, with three changes that make
    images comparable: divided by D_BC + 1 level, without the factor for the size of the image; magnitudes of
    differences, cut at 20 levels, in place of squares, of which a few strong edges make up the most; and the largest
    value of the eight places that the grid can have in each direction, as a cut-out has its grid anywhere. The result
    is the mean of both directions.
    """
    if not len(image.tiles):
        return np.nan
    return float(np.mean([_excess(differences) for differences in _differences(image.tiles)]))


def _differences(tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean magnitude of the difference of each row, and of each column, of the tiles to the next one."""
    upright, flat = tiles.transpose(1, 0, 2).reshape(tiles.shape[1], -1), tiles.reshape(-1, tiles.shape[2])
    down = np.minimum(cv2.absdiff(upright[1:], upright[:-1]), EDGE)
    right = np.minimum(cv2.absdiff(flat[:, 1:], flat[:, :-1]), EDGE)
    rows = cv2.reduce(down, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    columns = cv2.reduce(right, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    return rows.ravel(), columns.ravel()


def _excess(differences: np.ndarray) -> float:
    places = np.arange(len(differences)) % GRID
    means = np.bincount(places, differences) / np.bincount(places)
    others = (means.sum() - means) / (GRID - 1)
    return float(((means - others) / (others + ROUNDING)).max())
