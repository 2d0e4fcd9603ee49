"""The picture of one or several trainings: losses and validations over the iterations."""

import os
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from basicsr_ext.runtime.figures import Caption, save_figure, short_name, tidy
from basicsr_ext.training.curves import TrainingCurves, Window, common_window, unit_of

WIDTH, HEIGHT, LINE = 4.4, 3.0, 0.19  # of a panel and of a line of the legend, in inches
STYLES = ('-', '--', ':', '-.')  # of ten runs each, which have the ten colours
LONGEST = 90  # characters of a name
DECADE = 10  # losses that span more have a logarithmic axis


def draw_curves(runs: Sequence[TrainingCurves], path: str | os.PathLike[str]) -> None:
    """Save a panel for each training loss, as means over windows, and for each metric of each validation set.

    Args:
        runs: at least one, with a logged loss in one of them.
        path: the PNG file.
    """
    window = common_window(runs)
    losses = list(dict.fromkeys(name for run in runs for name in run.losses))
    metrics = list(dict.fromkeys(key for run in runs for key in run.metrics))
    number = len(losses) + len(metrics)
    columns = number if number < 4 else 2 + number % 2
    rows, legend = -(-number // columns), LINE * len(runs) if len(runs) > 1 else 0.01
    figure = Figure(figsize=(max(WIDTH * columns, 7), HEIGHT * rows + legend + 1), layout='constrained')
    _caption(runs, window).put(figure)
    places = figure.add_gridspec(2, 1, height_ratios=[HEIGHT * rows, legend])
    grid = places[0].subgridspec(rows, columns)
    axes = [figure.add_subplot(grid[divmod(place, columns)]) for place in range(number)]
    for axis, name in zip(axes, losses, strict=False):
        _draw_loss(axis, runs, name, window.iterations)
    for axis, key in zip(axes[len(losses) :], metrics, strict=True):
        _draw_metric(axis, runs, *key)
    for axis in axes:
        axis.set_xlabel('iteration')
        axis.set_xlim(0, 1.02 * max(run.done for run in runs))
    if len(runs) > 1:
        _name(figure.add_subplot(places[1]), runs)
    else:
        _shade(axes, runs[0])
    tidy(*axes, grid=True)
    save_figure(figure, path)


def _caption(runs: Sequence[TrainingCurves], window: Window) -> Caption:
    title = short_name(runs[0].name, LONGEST) if len(runs) == 1 else f'{len(runs)} trainings'
    notes = [f'Training losses: {window.words}.']
    if any(run.metrics for run in runs):
        notes.append('Validation: means over the images of the data set, a point for each validation.')
    if len(runs) == 1 and runs[0].warmups:
        notes.append('Grey: the warm-up, in which pixels are shuffled; losses there do not compare with later ones.')
    return Caption(f'{title}: loss and validation', notes)


def _style(number: int) -> dict[str, Any]:
    return {'color': f'C{number % 10}', 'linestyle': STYLES[number // 10 % len(STYLES)]}


def _draw_loss(axis: Axes, runs: Sequence[TrainingCurves], name: str, window: int) -> None:
    drawn = []
    for number, run in enumerate(runs):
        if name in run.losses:
            iterations, values = run.losses[name].means(window)
            axis.plot(iterations, values, **_style(number), linewidth=1.5, marker='.' if len(values) < 20 else '')
            drawn += values.tolist()
    axis.set(ylabel=f'training loss {name}', yscale='log' if 0 < DECADE * min(drawn) < max(drawn) else 'linear')


def _draw_metric(axis: Axes, runs: Sequence[TrainingCurves], metric: str, dataset: str) -> None:
    for number, run in enumerate(runs):
        if (metric, dataset) in run.metrics:
            series = run.metrics[metric, dataset]
            axis.plot(series.iterations, series.values, **_style(number), linewidth=1.2, marker='.')
    unit = unit_of(metric)
    axis.set_ylabel(f'{metric} on {short_name(dataset, 30)}' + f' [{unit}]' * bool(unit), parse_math=False)
    axis.ticklabel_format(useOffset=False)


def _shade(axes: Sequence[Axes], run: TrainingCurves) -> None:
    for first, last in run.warmups:
        for axis in axes if first <= run.done else ():
            axis.axvspan(first, min(last, run.done), color='0.85', zorder=0)


def _name(place: Axes, runs: Sequence[TrainingCurves]) -> None:
    """Say which line is which run, in a place of its own."""
    place.axis('off')
    for number, run in enumerate(runs):
        shuffled = ', '.join(f'{first:,} to {min(last, run.done):,}' for first, last in run.warmups)
        label = short_name(run.name, LONGEST) + (f' (pixels shuffled in iterations {shuffled})' if shuffled else '')
        place.plot([], [], **_style(number), label=label)
    for text in place.legend(loc='upper left', frameon=False, fontsize='small', borderaxespad=0).get_texts():
        text.set_parse_math(False)
