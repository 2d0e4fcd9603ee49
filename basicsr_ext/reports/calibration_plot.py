"""The picture of a calibration."""

import os
from collections.abc import Sequence

from matplotlib.figure import Figure

from basicsr_ext.inference.calibration import Operation
from basicsr_ext.reports.calibration_words import advantage
from basicsr_ext.runtime.figures import Caption, save_figure, tidy

POINTER, THRESHOLD, CHOSEN = '#d55e00', '#0072b2', '#009e73'  # told apart by the colour-blind too


def draw_calibration(
    pointers: Sequence[Operation],
    thresholds: Sequence[Operation],
    chosen: Operation | None,
    path: str | os.PathLike[str],
) -> None:
    """Save agreement with the full network over MACs and over time, and MACs over the threshold.

    Args:
        pointers: in ascending order; what equals the full network has no point.
        thresholds: in ascending order.
        chosen: what a budget led to, if there is one.
        path: the PNG file.
    """
    figure = Figure(figsize=(13, 5.2), layout='constrained')
    _caption(pointers, thresholds, chosen).put(figure)
    left, middle, right = figure.subplots(1, 3)
    groups = [(pointers, POINTER, 'o--', 'pointer'), (thresholds, THRESHOLD, '.-', 'threshold')]
    if chosen is not None:
        groups.append(([chosen], CHOSEN, '*', 'chosen'))
    for axis, cost in ((left, 'macs'), (middle, 'ms_per_megapixel')):
        for rows, colour, style, label in groups:
            shown = [(getattr(row, cost), row.psnr) for row in rows if row.psnr is not None]
            size = 14 if label == 'chosen' else 6
            axis.plot([x for x, _ in shown], [y for _, y in shown], style, color=colour, markersize=size, label=label)
        axis.set_ylabel('PSNR to the full network [dB]')
    for row in pointers:
        if row.psnr is None:
            label = f'pointer {row.pointer}, equal to the full network'
            left.axvline(row.macs, color=POINTER, linestyle=':', linewidth=1)
            middle.axvline(row.ms_per_megapixel, color=POINTER, linestyle=':', linewidth=1, label=label)
    left.set_xlabel('MACs [parts of the full network on whole images]')
    middle.set_xlabel('time [ms per megapixel]')
    right.plot([row.threshold for row in thresholds], [row.macs for row in thresholds], '.-', color=THRESHOLD)
    if chosen is not None and chosen.threshold is not None:
        right.plot([chosen.threshold], [chosen.macs], '*', color=CHOSEN, markersize=14)
    right.set(xlabel='threshold [units of the score]', ylabel='MACs [parts of the full network on whole images]')
    right.legend(*middle.get_legend_handles_labels(), frameon=False, fontsize='small')
    tidy(left, middle, right, grid=True)
    save_figure(figure, path)


def _caption(pointers: Sequence[Operation], thresholds: Sequence[Operation], chosen: Operation | None) -> Caption:
    notes = [
        'PSNR: agreement with the full network in the same regions, not with ground truth; higher is better.',
        'Pointer: all regions leave at one exit. Threshold: each leaves at the first exit whose score is above it; the '
        'images at all exits passed are computed too. Overlaps of regions make costs above 1.',
    ]
    compared = advantage(pointers, thresholds).sentence
    if compared:
        notes.insert(0, compared)
    what = '' if chosen is None else f'; chosen: {_in_words(chosen)}'
    return Caption(f'What leaving at an exit costs and loses{what}', notes)


def _in_words(row: Operation) -> str:
    """A pointer or a threshold and its cost."""
    name = f'pointer {row.pointer}' if row.threshold is None else f'threshold {row.threshold:.4g}'
    return f'{name}, {row.macs:.0%} of the MACs of the full network'
