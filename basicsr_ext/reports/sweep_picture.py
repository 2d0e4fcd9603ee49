"""The picture of a sweep: what each row reaches, over what it costs."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from basicsr_ext.reports.sweep_table import AVERAGED, HEADS, Swept
from basicsr_ext.runtime.figures import Caption, short_name, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.6, 4.6  # of a panel, in inches
LINE, OTHER = '#0072b2', '#d55e00'  # told apart by the colour-blind too


def draw_sweep(swept: Swept) -> Figure:
    """The first metric over the cost of each row, or for weights, which all cost the same, by their names."""
    sets = list(swept.means)
    figure = Figure(figsize=(max(WIDTH * len(sets), 6.4), HEIGHT), layout='constrained')
    _caption(swept).put(figure)
    axes = figure.subplots(1, len(sets), squeeze=False)[0]
    for axis, data_set in zip(axes, sets, strict=True):
        (_draw_weights if swept.kind == 'weights' else _draw_costs)(axis, swept, data_set)
        axis.set(title=data_set, ylabel=next(iter(swept.metrics)))
    tidy(*axes, grid=True)
    return figure


def _draw_costs(axis: 'Axes', swept: Swept, data_set: str) -> None:
    metric, means = next(iter(swept.metrics)), swept.means[data_set]
    row_name = HEADS[swept.kind]
    points = {row: (values['macs'], values[metric]) for row, values in means.items()}
    line = sorted(point for row, point in points.items() if row.startswith(row_name))
    axis.plot([x for x, _ in line], [y for _, y in line], 'o-', color=LINE)
    for row, (x, y) in points.items():
        if not row.startswith(row_name):
            axis.plot(x, y, 'D', color=OTHER)
        axis.annotate(row, (x, y), (4, -9), textcoords='offset points', fontsize=7)
    axis.set_xlabel('MACs [parts of the full network]')
    axis.margins(x=0.15)


def _draw_weights(axis: 'Axes', swept: Swept, data_set: str) -> None:
    metric, means = next(iter(swept.metrics)), swept.means[data_set]
    axis.plot([values[metric] for values in means.values()], 'o', color=LINE)
    axis.set_xticks(range(len(means)), [short_name(row) for row in means], rotation=20, ha='right')
    axis.margins(x=0.15)


def _caption(swept: Swept) -> Caption:
    metric = next(iter(swept.metrics))
    if swept.kind == 'weights':
        return Caption(f'{metric} of each file of weights', [AVERAGED] if swept.exits > 1 else [])
    better = swept.metrics[metric].get('better', 'higher')
    notes = [
        f'Each point is a row of the table, a mean over the images of a set; {better} is better.',
        'MACs: multiply-accumulates against those of the full network on whole images, overlaps of regions and images '
        'at exits passed included.',
    ]
    return Caption(f'What each {HEADS[swept.kind]} reaches in {metric}, and costs', notes)
