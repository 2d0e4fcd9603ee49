"""What can be found about an image of a training set: names, measures, and when a value is worth a look."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from basicsr_ext.selection.audit.measured_image import MeasuredImage
from basicsr_ext.selection.audit.measured_pair import MeasuredPair

OfImage = Callable[[MeasuredImage], float]
OfPair = Callable[[MeasuredPair], float]
Side = Literal['high', 'low', 'both']


@dataclass(frozen=True)
class Finding:
    """A value of each image, and when it makes the image suspect.

    An image is suspect whose value lies both beyond `limit`, from where on the fault can be seen at all, and further
    from what is usual in the set than its spread explains (`selection.audit.thresholds`), which is `step` at least.

    Attributes:
        name: of the column.
        says: what is wrong with a suspect image.
        unit: of the value; '' for none.
        side: where suspect values lie: above the usual ones, below them or on both sides.
        limit: values up to it, or from it on below, are never suspect; with `both` the distance from `absent`.
        step: least distance of a suspect value from the usual one; None where `limit` alone decides.
        absent: stands in the column where there is nothing to measure.
        image: measures a clean image; NaN where it cannot.
        pair: measures a pair of files.
    """

    name: str
    says: str
    unit: str
    side: Side
    limit: float
    step: float | None
    absent: float = 0.0
    image: OfImage | None = None
    pair: OfPair | None = None


# Those of the set are made from all images together (`selection.audit.outcome`).
FINDINGS: dict[str, Finding] = {
    finding.name: finding
    for finding in (
        Finding('damaged', 'cannot be decoded', '', 'high', 0.5, None),
        Finding('duplicate', 'nearly the same as an earlier image', 'apart', 'low', 0.03, None, absent=1),
        Finding('leak', 'nearly the same as a test image', 'apart', 'low', 0.03, None, absent=1),
        Finding('outlier', 'unlike the rest', 'spreads away', 'high', 4.0, 2.0),
    )
}


def image_finding(
    name: str, says: str, unit: str, side: Side, limit: float, step: float | None, absent: float = 0.0
) -> Callable[[OfImage], OfImage]:
    """Register a measure of clean images under a name that `audit.findings` can then have; see `Finding`."""

    def enter(measure: OfImage) -> OfImage:
        FINDINGS[name] = Finding(name, says, unit, side, limit, step, absent, image=measure)
        return measure

    return enter


def pair_finding(
    name: str, says: str, unit: str, side: Side, limit: float, step: float | None, absent: float = 0.0
) -> Callable[[OfPair], OfPair]:
    """Register a measure of pairs of files; see `Finding`."""

    def enter(measure: OfPair) -> OfPair:
        FINDINGS[name] = Finding(name, says, unit, side, limit, step, absent, pair=measure)
        return measure

    return enter
