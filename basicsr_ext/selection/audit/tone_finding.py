"""Pairs whose brightness or contrast differs, and those that do not belong together."""

import numpy as np

from basicsr_ext.selection.audit.findings import pair_finding
from basicsr_ext.selection.audit.measured_pair import MeasuredPair

ROUNDS = 5  # of reweighting
EVEN = 1.0  # levels: a thumbnail of less contrast has no slope


@pair_finding('gain', 'of another contrast than its input', 'times', 'both', limit=0.1, step=0.1, absent=1)
def gain(pair: MeasuredPair) -> float:
    """The slope of the line from the levels of the clean image to those of the input; see `tone`."""
    return tone(pair)[0]


@pair_finding('offset', 'of another brightness than its input', 'levels', 'both', limit=8, step=8)
def offset(pair: MeasuredPair) -> float:
    """How much brighter the input is where the clean image has its mean, in 8-bit levels; see `tone`."""
    return tone(pair)[1]


def tone(pair: MeasuredPair) -> tuple[float, float]:
    """Slope of the line from the thumbnail of the clean image to that of the input, and its rise in the middle.

    Fitted with the weights of Cauchy, reweighted five times (Holland and Welsch 1977), so that a rain drop or a lamp
    does not count. Thumbnails know neither noise nor blur. NaN of images that are blank or have no input in common.
    """
    clean, degraded = (image.thumbnail.astype(np.float64).ravel() for image in (pair.gt, pair.lq))
    if clean.std() < EVEN or partner(pair) < 0.5:
        return np.nan, np.nan
    centre, weights = clean.mean(), np.ones(len(clean))
    slope = rise = 0.0
    for _ in range(ROUNDS + 1):
        total = weights.sum()
        x, y = weights @ clean / total, weights @ degraded / total
        slope = weights @ ((clean - x) * (degraded - y)) / max(weights @ (clean - x) ** 2, 1e-9)
        rise = y + slope * (centre - x) - centre
        residual = degraded - centre - rise - slope * (clean - centre)
        spread = max(float(np.median(np.abs(residual))) / 0.6745, 0.1)
        weights = 1 / (1 + (residual / (2.385 * spread)) ** 2)
    return float(slope), float(rise)


@pair_finding('partner', 'another picture than its input', 'correlation', 'low', limit=0.7, step=0.15, absent=1)
def partner(pair: MeasuredPair) -> float:
    """Correlation of the descriptions of both images (`MeasuredImage.description`): 1 of equal pictures."""
    lq, gt = (image.description.ravel() for image in (pair.lq, pair.gt))
    lengths = np.linalg.norm(lq) * np.linalg.norm(gt)
    return float(lq @ gt / lengths) if lengths else np.nan


@pair_finding('misfit', 'of another size than its input', 'pixels', 'high', limit=0.5, step=None)
def misfit(pair: MeasuredPair) -> float:
    """By how many pixels a side of the clean image differs from the input's times the scale; see `MeasuredPair`."""
    return float(pair.misfit)
