"""From which value on an image is suspect: statistics of the set itself that hold while most of it is sound."""

from dataclasses import dataclass

import numpy as np

from basicsr_ext.selection.audit.findings import Finding

SPREADS = 5.0  # distance from the usual value in standard deviations, at sensitivity 1
FEW = 8  # images, which say little about the tails: of n, 1 + 8 / n times the distance is asked
OF_HALF = 2 * 0.6745  # standard deviations that the shortest half of a normal distribution is wide


@dataclass(frozen=True)
class Bounds:
    """What is usual in a set, and where suspect values begin.

    Attributes:
        usual: the value in the middle of the shortest half.
        low, high: values below or above are suspect; None where there is no such bound.
    """

    usual: float
    low: float | None = None
    high: float | None = None

    def exceeded(self, values: np.ndarray) -> np.ndarray:
        """Whether each value is suspect; NaN is not."""
        below = values < self.low if self.low is not None else np.zeros(len(values), bool)
        above = values > self.high if self.high is not None else np.zeros(len(values), bool)
        return below | above


def usual_and_spread(values: np.ndarray) -> tuple[float, float]:
    """The middle of the shortest interval that holds half of the values, and the standard deviation it tells of.

    The least median of squares in one dimension (Rousseeuw 1984): unlike the median it does not move while a few values
    are far off on one side, and it holds until half of them are. Beyond that the faulty half is what is usual.

    Args:
        values: (n,), finite, at least one.
    """
    ordered = np.sort(values)
    half = len(ordered) // 2 + 1
    widths = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
    start = int(widths.argmin())
    return float(np.median(ordered[start : start + half])), float(widths[start] / OF_HALF)


def bounds_of(values: np.ndarray, finding: Finding, sensitivity: float = 1.0) -> Bounds:
    """Where suspect values of a finding begin; see `Finding`.

    Args:
        values: of all images, (n,), NaN where there is nothing to measure.
        finding: what they are.
        sensitivity: divides the distance from the usual value that the spread asks for.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return Bounds(finding.absent)
    usual, spread = usual_and_spread(known)
    if finding.step is None:
        return Bounds(usual, finding.limit, None) if finding.side == 'low' else Bounds(usual, None, finding.limit)
    distance = max(SPREADS * spread, finding.step) * (1 + FEW / len(known)) / sensitivity
    low, high = usual - distance, usual + distance
    if finding.side == 'low':
        return Bounds(usual, min(low, finding.limit), None)
    if finding.side == 'high':
        return Bounds(usual, None, max(high, finding.limit))
    return Bounds(usual, min(low, finding.absent - finding.limit), max(high, finding.absent + finding.limit))
