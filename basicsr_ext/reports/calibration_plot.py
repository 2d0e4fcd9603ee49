"""The picture of a calibration."""

import os
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from basicsr_ext.inference.calibration import Operation, name_of
from basicsr_ext.inference.calibration_tables import Tables
from basicsr_ext.inference.exit_rules import Judged
from basicsr_ext.reports.calibration_words import in_words
from basicsr_ext.runtime.figures import Caption, save_figure, tidy

POINTER, THRESHOLD, BUDGET, ORACLE, CHOSEN = (
    '#d55e00',
    '#0072b2',
    '#cc79a7',
    '0.4',
    '#009e73',
)  # for the colour-blind too
FULL, TRUTH = 'PSNR to the full network [dB]', 'PSNR to the ground truth [dB]'
MACS, TIME = 'MACs [parts of the full network on whole images]', 'time [ms per megapixel]'


def draw_calibration(tables: Tables, chosen: Operation | None, path: str | os.PathLike[str]) -> None:
    """Save agreement with the full network over MACs, with the ground truth or over time, and the shares of an oracle.

    Args:
        tables: what every choice does; what equals the full network has no point.
        chosen: what a budget led to, if there is one.
        path: the PNG file.
    """
    figure = Figure(figsize=(13, 5.6), layout='constrained')
    _caption(tables, chosen).put(figure)
    left, middle, right = figure.subplots(1, 3)
    _draw_costs(left, tables, chosen, lambda row: (row.macs, row.psnr), (MACS, FULL))
    if tables.pointers[0].truth is None:
        _draw_costs(middle, tables, chosen, lambda row: (row.ms_per_megapixel, row.psnr), (TIME, FULL))
    else:
        _draw_costs(middle, tables, chosen, lambda row: (row.macs, row.truth), (MACS, TRUTH))
    middle.legend(frameon=False, fontsize='small', loc='lower right')
    _draw_shares(right, tables.judged)
    tidy(left, middle, right, grid=True)
    save_figure(figure, path)


def _draw_costs(
    axis: Axes,
    tables: Tables,
    chosen: Operation | None,
    point: Callable[[Operation], tuple[float, float | None]],
    labels: tuple[str, str],
) -> None:
    """Draw what is got for what is paid."""
    groups: list[tuple[Sequence[Operation], str, str, str]] = [
        (tables.oracle, ORACLE, ':', 'oracle, with a budget'),
        (tables.pointers, POINTER, 'o--', 'pointer'),
        (tables.thresholds, THRESHOLD, '.', 'threshold'),
        (tables.budgets, BUDGET, '.-', 'budget'),
    ]
    if chosen is not None:
        groups.append(([chosen], CHOSEN, '*', f'chosen: {name_of(chosen)}'))
    for rows, colour, style, label in groups:
        shown = [(cost, value) for cost, value in map(point, rows) if value is not None]
        size = 14 if style == '*' else 6
        axis.plot([x for x, _ in shown], [y for _, y in shown], style, color=colour, markersize=size, label=label)
    for row in tables.pointers:
        cost, value = point(row)
        if value is None:
            label = f'pointer {row.pointer}, equal to the full network'
            axis.axvline(cost, color=POINTER, linestyle=':', linewidth=1, label=label)
    axis.set(xlabel=labels[0], ylabel=labels[1])


def _draw_shares(axis: Axes, judged: Judged) -> None:
    """Draw what each rule brings of an oracle's gain, the best above."""
    names = [rule.name if len(rule.scores) == 1 else 'all scores together' for rule in judged.rules]
    shares = [rule.share for rule in judged.rules]
    axis.plot(shares, names, 'o', color=BUDGET, label='rule')
    axis.axvline(judged.mixture, color=POINTER, linestyle='--', label='pointers mixed at random')
    axis.axvline(1, color=ORACLE, linestyle=':', label='oracle')
    axis.invert_yaxis()
    axis.set(xlabel="share of an oracle's gain over the first exit")
    axis.locator_params(axis='x', nbins=5)
    axis.legend(fontsize='small', loc='lower right')


def _caption(tables: Tables, chosen: Operation | None) -> Caption:
    notes = [
        *in_words(tables),
        'PSNR to the full network: agreement in the same regions, without ground truth; higher is better.',
        'Pointer: all regions leave at one exit. Threshold: each leaves at the first exit whose score is beyond it; '
        'the images at all exits passed are computed too. Budget: the regions of each image that have most to gain go '
        'on until it is used; shares are of images that the rule was not fitted on.',
    ]
    what = '' if chosen is None else f'; chosen: {name_of(chosen)}, {chosen.macs:.0%} of the MACs of the full network'
    return Caption(f'What leaving at an exit costs and loses{what}', notes)
