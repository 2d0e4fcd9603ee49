"""Pairs whose brightness, contrast or size differs, and those that do not belong together."""

from basicsr_ext.selection.audit.findings import pair_finding
from basicsr_ext.selection.audit.measured_pair import MeasuredPair


@pair_finding('gain', 'of another contrast than its input', 'times', 'both', limit=0.08, step=0.08, absent=1)
def gain(pair: MeasuredPair) -> float:
    """The slope of the line from the levels of the clean image to those of the input; see `MeasuredPair.tone`."""
    return pair.tone[0]


@pair_finding('offset', 'of another brightness than its input', 'levels', 'both', limit=8, step=8)
def offset(pair: MeasuredPair) -> float:
    """How much brighter the input is where the clean image has its mean, in 8-bit levels; see `MeasuredPair.tone`."""
    return pair.tone[1]


@pair_finding('partner', 'another picture than its input', 'correlation', 'low', limit=0.7, step=0.15, absent=1)
def partner(pair: MeasuredPair) -> float:
    """Correlation of the descriptions of both images: 1 of equal pictures; see `MeasuredPair.likeness`."""
    return pair.likeness


@pair_finding('misfit', 'of another size than its input', 'pixels', 'high', limit=0.5, step=None)
def misfit(pair: MeasuredPair) -> float:
    """By how many pixels a side of the clean image differs from the input's times the scale; see `MeasuredPair`."""
    return float(pair.misfit)
