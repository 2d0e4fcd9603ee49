"""What trainings on different choices reached: means, intervals of differences, a table and a picture."""

import csv
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.stats import t as student

REFERENCES = ('random', 'all')  # the choices that the others are compared with


@dataclass(frozen=True)
class Row:
    """The trainings of one network on one choice.

    Attributes:
        setting: task and pool.
        network: its name.
        choice: how the images were chosen.
        images: how many.
        values: reported set -> PSNR of each seed in dB.
    """

    setting: str
    network: str
    choice: str
    images: int
    values: dict[str, list[float]]


def paired_interval(ours: Sequence[float], others: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean of the differences of pairs and half the width of its confidence interval.

    The interval is d +- t(n - 1) s / sqrt(n) (Student, 1908), with s the standard deviation of the n differences.

    Args:
        ours, others: a value for each seed, in the same order.
        level: of confidence.

    Returns:
        The mean of `ours - others`, and half the width: infinite for a single pair.
    """
    differences = [one - other for one, other in zip(ours, others, strict=True)]
    mean, number = statistics.mean(differences), len(differences)
    if number < 2:
        return mean, math.inf
    quantile = float(student.ppf((1 + level) / 2, number - 1))
    return mean, quantile * statistics.stdev(differences) / math.sqrt(number)


def differences(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A flat record of each row and reported set: mean, deviation, and the intervals against `REFERENCES`."""
    by_name = {(row.setting, row.network, row.choice): row for row in rows}
    records = []
    for row in rows:
        for report, values in row.values.items():
            record: dict[str, Any] = {
                'setting': row.setting,
                'network': row.network,
                'choice': row.choice,
                'images': row.images,
                'set': report,
                'seeds': len(values),
                'mean': statistics.mean(values),
                'deviation': statistics.stdev(values) if len(values) > 1 else None,
            }
            for name in REFERENCES:
                other = by_name.get((row.setting, row.network, name))
                compared = other is not None and other is not row
                mean, half = paired_interval(values, other.values[report]) if compared and other else (None, None)
                record[f'minus_{name}'] = mean
                record[f'half_width_{name}'] = half if half is not None and math.isfinite(half) else None
            records.append(record)
    return records


def table(rows: Sequence[Row]) -> list[str]:
    """The rows in Markdown; a difference stands with half its 95 % interval."""
    reports = list(dict.fromkeys(report for row in rows for report in row.values))
    heads = ['task and pool', 'network', 'choice', 'images']
    for report in reports:
        heads += [f'{report} [dB]', *(f'against {name}' for name in REFERENCES)]
    records = {(each['setting'], each['network'], each['choice'], each['set']): each for each in differences(rows)}
    lines = [_line(heads), '|' + '---|' * len(heads)]
    for row in rows:
        cells = [row.setting, row.network, row.choice, str(row.images)]
        for report in reports:
            record = records.get((row.setting, row.network, row.choice, report))
            cells += _cells(record) if record else [''] * (1 + len(REFERENCES))
        lines.append(_line(cells))
    return lines


def _cells(record: dict[str, Any]) -> list[str]:
    spread = f' ({record["deviation"]:.2f})' if record['deviation'] is not None else ''
    cells = [f'{record["mean"]:.2f}{spread}']
    for name in REFERENCES:
        mean, half = record[f'minus_{name}'], record[f'half_width_{name}']
        cells.append(
            '' if mean is None else f'{round(mean, 2) + 0:+.2f}' + (f' ± {half:.2f}' if half is not None else '')
        )
    return cells


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def report(name: str, rows: Sequence[Row], folder: Path, facts: dict[str, Any], further: Sequence[str] = ()) -> None:
    """Print the table and write `NAME.md`, `NAME.csv`, `NAME.json` and `NAME.png`.

    Args:
        name: of the experiment.
        rows: in the order of the table.
        folder: where the files come.
        facts: what else was measured; stands in the JSON file.
        further: lines below the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*table(rows), '', *further]
    (folder / f'{name}.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))
    records = differences(rows)
    with open(folder / f'{name}.csv', 'w', encoding='utf-8', newline='') as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    content = {'rows': [asdict(row) for row in rows], 'differences': records, **facts}
    (folder / f'{name}.json').write_text(json.dumps(content, indent=1), encoding='utf-8')
    draw(rows).savefig(folder / f'{name}.png', dpi=120)


def draw(rows: Sequence[Row]) -> Figure:
    """Bars of the first reported set over the choices, with 95 % intervals of the means; one panel for each setting and
    network."""
    panels = list(dict.fromkeys((row.setting, row.network) for row in rows))
    columns = min(3, len(panels))
    figure = Figure(figsize=(5 * columns, 3.5 * math.ceil(len(panels) / columns)), layout='constrained')
    axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).flat
    for axis, panel in zip(axes, panels, strict=False):
        own = [row for row in rows if (row.setting, row.network) == panel]
        first = next(iter(own[0].values))
        values = [row.values[first] for row in own]
        means = [statistics.mean(each) for each in values]
        halves = [paired_interval(each, [0.0] * len(each))[1] for each in values]
        finite = [half if math.isfinite(half) else 0.0 for half in halves]
        axis.barh([row.choice for row in own], means, xerr=finite, capsize=3, color='tab:blue')
        lowest, highest = min(means), max(means)
        margin = max(finite) + 0.1 * (highest - lowest) + 0.05
        axis.set(title=', '.join(panel), xlabel=f'{first} [dB]', xlim=(lowest - margin, highest + margin))
        axis.invert_yaxis()
    for axis in list(axes):  # panels that nothing is drawn in
        axis.remove()
    return figure
