"""Pairs whose images are not in register."""

import numpy as np
import scipy.fft

from basicsr_ext.selection.audit.findings import pair_finding
from basicsr_ext.selection.audit.measured_pair import MeasuredPair

PASSED = 0.35  # of the Nyquist frequency: where the Gaussian that weighs the phases has fallen to 1 / e
LEAST_PEAK = 0.3  # of the peak of equal images; pairs of photographs that have nothing in common reach 0.22


@pair_finding('shift', 'shifted against its input', 'pixels of the input', 'high', limit=0.35, step=0.3)
def shift(pair: MeasuredPair) -> float:
    """How far the input lies from the clean image reduced to its size, in pixels of the input, to about a tenth.

    Phase correlation (Kuglin and Hines 1975) of the tiles of both, whose cross power is added up before it is reduced
    to its phase. A Gaussian weighs the phases, as the highest frequencies of degraded images hold the least; so the
    peak is a Gaussian too, and the parabola through the logarithms of three points gives its place.
    NaN where images are too small, too flat or too different for a peak; shifts of a third of a tile are no longer
    found.
    """
    place = displacement(pair)
    return np.nan if place is None else float(np.hypot(*place))


def displacement(pair: MeasuredPair) -> tuple[float, float] | None:
    """How many rows down and columns right the input lies from the clean image; None where that cannot be told."""
    lq, gt = pair.lq, pair.small
    if not len(lq.tiles):
        return None
    cross = (lq.spectra * gt.spectra.conj()).sum(0)
    size = np.abs(cross)
    if not size.max() > 0:
        return None
    side = lq.tiles.shape[1]
    rows, columns = np.fft.fftfreq(side), np.fft.rfftfreq(side)
    weight = np.exp(-(4 * (rows[:, None] ** 2 + columns**2)) / PASSED**2)
    weight[np.ix_(np.abs(rows) < 2 / side, columns < 2 / side)] = 0  # the means, which never move
    phases = weight * cross / np.maximum(size, 1e-6 * size.max())
    correlation = scipy.fft.irfft2(phases, (side, side))
    whole = scipy.fft.irfft2(weight, (side, side))[0, 0]
    y, x = divmod(int(correlation.argmax()), side)
    if correlation[y, x] < LEAST_PEAK * whole:
        return None
    down = _centred(y, side) + _beyond(*(correlation[(y + step) % side, x] for step in (-1, 0, 1)))
    right = _centred(x, side) + _beyond(*(correlation[y, (x + step) % side] for step in (-1, 0, 1)))
    return down, right


def _centred(place: int, side: int) -> int:
    return (place + side // 2) % side - side // 2


def _beyond(before: float, at: float, behind: float) -> float:
    """How far from the middle one of three points the peak of the Gaussian through them lies."""
    if min(before, at, behind) <= 0:
        return 0.0
    left, centre, right = np.log(before), np.log(at), np.log(behind)
    bend = left - 2 * centre + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
