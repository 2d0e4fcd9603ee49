"""A comparison in; `compare.md .csv .json .png .html` out, and `compare_curves.png` where there are curves."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from basicsr_ext.reports.comparison import FULL, Comparison, Judged
from basicsr_ext.reports.comparison_curves import curve_text, draw_curves
from basicsr_ext.reports.page import Links, Paragraph, Picture, Section, Table, picture_of, write_page
from basicsr_ext.reports.paired import Difference
from basicsr_ext.reports.verdict import Verdict
from basicsr_ext.runtime.files import atomic_open, write_json

STEM = 'compare'
HEADS = ('choice', 'images', 'MB', '{metric}', '{over}', 'over all images', 'choosing', 'training', 'verdict')
STRIP = 1.8  # height of images side by side, in inches
READING = (
    'Every row was trained from the same initial weights, with the same noise and schedule for the same number of '
    'iterations; random images are drawn anew for each seed. Differences are paired, by seed and by image. The '
    'intervals come from a bootstrap over seeds and images and are widened for the number of rows, so that of 100 '
    'tables without any difference 95 show none.'
)


def write_comparison(
    comparison: Comparison,
    verdict: Verdict,
    folder: Path,
    asked: Mapping[str, str],
    pictures: Sequence[Picture],
    winner: str,
) -> None:
    """Write what a comparison says, the JSON file last.

    Args:
        comparison: its rows.
        verdict: its answer.
        folder: where the files come.
        asked: what was asked for, option -> value.
        pictures: further ones for the page.
        winner: the option file of the row to train on, relative to the folder.
    """
    lines = [
        *verdict.sentences,
        '',
        *table_lines(comparison),
        '',
        *comparison.notes,
        cost_sentence(comparison),
        reading(comparison),
    ]
    with atomic_open(folder / f'{STEM}.md', 'w') as file:
        file.write(f'# {comparison.name}\n\n' + '\n'.join(lines) + '\n')
    records = comparison.records()
    with atomic_open(folder / f'{STEM}.csv', 'w') as file:
        flat = [_flat(record) for record in records]
        writer = csv.DictWriter(file, list(flat[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(flat)
    figure = draw(comparison)
    with atomic_open(folder / f'{STEM}.png') as file:
        figure.savefig(file, format='png', dpi=120)
    drawn = [picture_of(figure, picture_text(comparison))]
    if comparison.curves is not None:
        curves = draw_curves(comparison, comparison.curves)
        with atomic_open(folder / f'{STEM}_curves.png') as file:
            curves.savefig(file, format='png', dpi=120)
        drawn.append(picture_of(curves, curve_text(comparison, comparison.curves)))
    _write_page(comparison, verdict, folder, asked, [*drawn, *pictures], winner)
    content = {
        'name': comparison.name,
        'verdict': list(verdict.sentences),
        'winner': verdict.winner,
        'option_file': winner,
        'metric': vars(comparison.metric),
        'report': comparison.report,
        'seeds': comparison.seeds,
        'iterations': comparison.iterations,
        'asked': dict(asked),
        'notes': list(comparison.notes),
        'rows': records,
        **({} if comparison.curves is None else {'curves': asdict(comparison.curves)}),
    }
    write_json(folder / f'{STEM}.json', content)


def heads(comparison: Comparison) -> list[str]:
    """The heads of the table."""
    metric = f'{comparison.metric.name} on {comparison.report}'
    over = 'over the row that is named' if comparison.references_vary else 'over random'
    return [head.format(metric=metric, over=over) for head in HEADS]


def cells(each: Judged, comparison: Comparison) -> list[str]:
    """A row of the table."""
    row, metric = each.row, comparison.metric
    means = row.values[comparison.report].mean(1)
    spread = f' ± {means.std(ddof=1):.{metric.digits}f}' if len(means) > 1 else ''
    return [
        row.title,
        f'{row.images}' if row.items == row.images else f'{row.images}, {row.items} samples',
        f'{row.bytes / 1e6:.1f}',
        f'{means.mean():.{metric.digits}f}{spread}',
        _over(each, comparison),
        '' if each.over_full is None else metric.interval(each.over_full),
        f'{row.choosing:.0f} s' if row.choosing else '',
        f'{row.training:.0f} s' + (f', {row.memory / 1e9:.2f} GB' if row.memory else ''),
        each.word,
    ]


def _over(each: Judged, comparison: Comparison) -> str:
    """The difference of a row to its reference."""
    if each.over is None:
        return ''
    found = comparison.metric.interval(each.over)
    if comparison.references_vary:
        return f'{each.reference}: {found}'
    return '' if each.usual == FULL else found


def table_lines(comparison: Comparison) -> list[str]:
    """The table in Markdown."""
    titles = heads(comparison)
    rows = [cells(each, comparison) for each in comparison.judged]
    return [f'| {" | ".join(line)} |' for line in (titles, ['---'] * len(titles), *rows)]


def reading(comparison: Comparison) -> str:
    """How the table is to be read."""
    seen = [each.over.visible for each in comparison.judged if each.over is not None and np.isfinite(each.over.visible)]
    if not seen:
        return READING
    visible = comparison.metric.text(max(seen))
    return f'{READING} With {comparison.seeds} seeds a true difference of {visible} is seen nine times out of ten.'


def cost_sentence(comparison: Comparison) -> str:
    """What each training saw, and what choosing counts."""
    iterations = _range([row.iterations or comparison.iterations for row in comparison.rows], '{}')
    pixels = _range([(row.pixels or comparison.pixels) / 1e6 for row in comparison.rows], '{:.1f}')
    return (
        f'Every training: {iterations} iterations, {pixels} million pixels seen. '
        'Choosing counts the training of the network that is asked, where one was trained for it.'
    )


def _range(values: Sequence[float], form: str) -> str:
    """The least and the largest of some values, once if they are the same."""
    return ' to '.join(dict.fromkeys(form.format(value) for value in (min(values), max(values))))


def draw(comparison: Comparison) -> Figure:
    """What each training reached, and the differences with their intervals."""
    judged, metric = comparison.judged, comparison.metric
    figure = Figure(figsize=(10, 1.3 + 0.42 * len(judged)), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(judged))
    for place, each in zip(places, judged, strict=True):
        means = each.row.values[comparison.report].mean(1)
        left.plot(means, np.full(len(means), place), 'o', color='tab:gray', alpha=0.5, markersize=4)
        left.plot(means.mean(), place, 'D', color='tab:blue')
        for difference, color, shift in ((each.over, 'tab:blue', -0.1), (each.over_full, 'tab:orange', 0.1)):
            if difference is not None:
                _draw_interval(right, difference, place + shift, color)
    unit = f' [{metric.unit}]' if metric.unit else ''
    left.set(
        xlabel=f'{metric.name} on {comparison.report}{unit}', title='a dot for each seed, a diamond for their mean'
    )
    right.set(xlabel=f'gain{unit}', title='over the reference (blue), over all images (orange)')
    right.axvline(0, color='black', linewidth=0.8)
    left.set_yticks(places, [each.row.title for each in judged])
    left.invert_yaxis()
    for axis in (left, right):
        axis.grid(axis='x', alpha=0.3)
    return figure


def _draw_interval(axis: Any, difference: Difference, place: float, color: str) -> None:
    half = [[difference.mean - difference.low], [difference.high - difference.mean]]
    known = half if np.isfinite(half).all() else None
    axis.errorbar(difference.mean, place, xerr=known, fmt='o', color=color, capsize=3, markersize=5)


def picture_text(comparison: Comparison) -> str:
    """What the picture shows."""
    return (
        f'{comparison.metric.name} of {comparison.seeds} trainings a row on {comparison.report}, and the mean '
        'differences with their intervals. An interval that crosses zero tells no difference.'
    )


def strip_picture(images: Sequence[np.ndarray], titles: Sequence[str], text: str) -> Picture:
    """Images side by side.

    Args:
        images: H x W x 3 BGR or H x W grey, uint8.
        titles: above each.
        text: what is seen.
    """
    widths = [image.shape[1] / image.shape[0] for image in images]
    figure = Figure(figsize=(STRIP * sum(widths), STRIP + 0.3 * any(titles)), layout='constrained')
    columns = np.atleast_1d(figure.subplots(1, len(images), width_ratios=widths))
    for axis, title, image in zip(columns, titles, images, strict=True):
        colours = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image
        axis.imshow(colours, cmap='gray', vmin=0, vmax=255, interpolation='nearest')
        axis.set_title(title, fontsize=9)
        axis.axis('off')
    return picture_of(figure, text)


def _write_page(
    comparison: Comparison,
    verdict: Verdict,
    folder: Path,
    asked: Mapping[str, str],
    pictures: Sequence[Picture],
    winner: str,
) -> None:
    titles = heads(comparison)
    marked = next((number for number, each in enumerate(comparison.judged) if each.row.title == verdict.winner), None)
    first, *further = verdict.sentences
    table = Table(
        titles,
        [cells(each, comparison) for each in comparison.judged],
        'The marked row is the one to train on.',
        marked,
    )
    links = Links(
        {f'{STEM}.{end}': f'{STEM}.{end}' for end in ('md', 'csv', 'json', 'png')}
        | {'option file of the winner': winner}
    )
    sections = [
        Section(
            'What was reached',
            [*(Paragraph(sentence) for sentence in further), table, pictures[0], Paragraph(cost_sentence(comparison))],
        ),
        *([Section('What that looks like', pictures[1:])] if pictures[1:] else []),
        Section('How to read it', [Paragraph(reading(comparison)), *(Paragraph(note) for note in comparison.notes)]),
        Section('Files', [links]),
    ]
    write_page(folder / f'{STEM}.html', f'{comparison.name}: which images to train on', first, asked, sections)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without blocks and lists, for a table of numbers."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if key == 'values':
            continue
        if key in ('over_reference', 'over_full'):
            value = value or dict.fromkeys(('mean', 'low', 'high', 'visible'))
            flat.update({f'{key}_{part}': value[part] for part in ('mean', 'low', 'high', 'visible')})
        elif isinstance(value, Mapping):
            flat.update({f'{key}_{name}': each for name, each in value.items()})
        else:
            flat[key] = value
    return flat
