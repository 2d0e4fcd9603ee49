"""What the trainings of a comparison measured on their way: pictures of the means, and of the paired differences."""

import numpy as np
from matplotlib.figure import Figure

from basicsr_ext.reports.comparison import Comparison, Curves
from basicsr_ext.reports.paired import Difference, differences_of


def draw_curves(comparison: Comparison, curves: Curves) -> Figure:
    """What the means of the seeds were on the way, and the differences with their intervals, which are of the seeds."""
    figure = Figure(figsize=(10, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    for row in comparison.rows:
        own = curves.rows[row.title]
        left.plot(list(own), [np.mean(values) for values in own.values()], 'o-', markersize=3, label=row.title)
    for title, reference, found in curve_differences(comparison, curves):
        places, means = list(found), [each.mean for each in found.values()]
        (line,) = right.plot(places, means, 'o-', markersize=3, label=f'{title} over {reference}')
        if all(np.isfinite(each.low) for each in found.values()):
            bounds = zip(*((each.low, each.high) for each in found.values()), strict=True)
            right.fill_between(places, *bounds, color=line.get_color(), alpha=0.15)
    unit = f' [{comparison.metric.unit}]' if comparison.metric.unit else ''
    left.set(xlabel='iterations', ylabel=f'{comparison.metric.name} on {curves.name}{unit}')
    right.set(xlabel='iterations', ylabel=f'gain{unit}')
    right.axhline(0, color='black', linewidth=0.8)
    for axis in (left, right):
        axis.grid(alpha=0.3)
        if axis.get_lines()[1:] or axis is left:
            axis.legend(fontsize=7)
    return figure


def curve_differences(comparison: Comparison, curves: Curves) -> list[tuple[str, str, dict[int, Difference]]]:
    """A row, what it is compared with, and the paired differences where both were measured."""
    found = []
    sign = 1 if comparison.metric.better == 'higher' else -1
    for judged in comparison.judged:
        if judged.reference:
            row, to = curves.rows[judged.row.title], curves.rows[judged.reference]
            gains = {at: sign * (np.array(row[at]) - np.array(to[at]))[:, None] for at in row if at in to}
            differences = {at: differences_of({'': gain})[''] for at, gain in gains.items()}
            found.append((judged.row.title, judged.reference, differences))
    return found


def curve_text(comparison: Comparison, curves: Curves) -> str:
    """What the picture of curves shows."""
    return (
        f'{comparison.metric.name} on {curves.name} along the trainings: the means of {comparison.seeds} seeds, and '
        'the mean differences with intervals over the seeds, each for itself.'
    )
