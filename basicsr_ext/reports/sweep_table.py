"""What a sweep of settings found, and its tables in the form of those of "FlexIR" (Tables 3 to 6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from basicsr_ext.networks.macs import PAPER_SIZE
from basicsr_ext.reports.page import Table

HEADS = {'pointers': 'pointer', 'thresholds': 'threshold', 'budgets': 'budget', 'weights': 'weights'}
COUNTED = (
    'Parameters and MACs [G]: as the paper of FlexIR counts them, for an image of '
    f'{PAPER_SIZE[0]} x {PAPER_SIZE[1]} pixels (height x width).'
)
COST = (
    'MACs [part]: multiply-accumulates in parts of those of the full network on whole images, overlaps of regions and '
    'images at exits passed included. Seconds: of the network for the whole set, reading and measuring not included.'
)
EXITS = 'Exits: the shares of the area that exits 1, 2, ... restored.'
AVERAGED = 'All values are means over the exits, regions leaving by one of them alone, as in Table 6 of FlexIR.'

Values = Mapping[str, float]


@dataclass(frozen=True)
class Swept:
    """What a sweep found.

    Attributes:
        name: of the run.
        kind: a key of `HEADS`.
        metrics: `val.metrics`.
        found: row -> data set -> image -> metric, `macs`, `seconds`, and with early exits `exit_mean`, `exit_1`, ... ->
            value; the rows in their order.
        counts: row -> parameters and MACs as the paper counts them, of a sweep of pointers; no MACs for early exits,
            whose number depends on the image.
        exits: over so many exits each value is a mean.
    """

    name: str
    kind: str
    metrics: Mapping[str, Mapping[str, Any]]
    found: Mapping[str, Mapping[str, Mapping[str, Values]]]
    counts: Mapping[str, tuple[int, int | None]]
    exits: int = 1

    @cached_property
    def means(self) -> dict[str, dict[str, dict[str, float]]]:
        """Data set -> row -> name of a value -> mean over the images; of seconds the sum."""
        sets = next(iter(self.found.values()))
        return {name: {row: _mean(found[name]) for row, found in self.found.items()} for name in sets}

    @property
    def notes(self) -> list[str]:
        """How the tables are to be read."""
        has_shares = any(_shares(values) for rows in self.means.values() for values in rows.values())
        told = {COUNTED: bool(self.counts), COST: True, EXITS: has_shares, AVERAGED: self.exits > 1}
        return [note for note, is_told in told.items() if is_told]


def _mean(images: Mapping[str, Values]) -> dict[str, float]:
    names = next(iter(images.values()), {})
    sums = {name: sum(values[name] for values in images.values()) for name in names}
    return {name: total if name == 'seconds' else total / len(images) for name, total in sums.items()}


def _shares(values: Values) -> list[float]:
    return [value for name, value in values.items() if name.removeprefix('exit_').isdecimal()]


def table_of(swept: Swept, data_set: str) -> Table:
    """The rows on a data set."""
    means = swept.means[data_set]
    columns: dict[str, list[str]] = {HEADS[swept.kind]: list(means)}
    if swept.counts:
        counts = [swept.counts[row] for row in means]
        columns['parameters [M]'] = [f'{params / 1e6:.2f}' for params, _ in counts]
        columns['MACs [G]'] = ['-' if macs is None else f'{macs / 1e9:.2f}' for _, macs in counts]
    for metric in swept.metrics:
        columns[metric] = [f'{values[metric]:.4f}' for values in means.values()]
    if swept.kind == 'weights':
        metric = next(iter(swept.metrics))
        first, *others = (values[metric] for values in means.values())
        columns[f'gain in {metric}'] = ['-', *(f'{value - first:+.4f}' for value in others)]
    columns['MACs [part]'] = [f'{values["macs"]:.3f}' for values in means.values()]
    columns['seconds'] = [f'{values["seconds"]:.2f}' for values in means.values()]
    shares = [_shares(values) for values in means.values()]
    if any(shares):
        columns['exits [%]'] = [' / '.join(f'{100 * share:.0f}' for share in each) or '-' for each in shares]
    images = len(next(iter(swept.found.values()))[data_set])
    caption = f'{data_set}, {images} image{"s" if images > 1 else ""}'
    return Table(list(columns), list(zip(*columns.values(), strict=True)), caption)


def lines_of(swept: Swept) -> list[str]:
    """The tables of all data sets in Markdown, and how to read them."""
    lines = []
    for data_set in swept.means:
        table = table_of(swept, data_set)
        cells = [table.heads, ['---'] * len(table.heads), *table.rows]
        lines += [f'{table.caption}:', '', *(f'| {" | ".join(row)} |' for row in cells), '']
    return lines + swept.notes


def records_of(swept: Swept) -> list[dict[str, Any]]:
    """A line for each row and data set: all numbers as they are, None for those that a row does not have."""
    names = list(dict.fromkeys(name for rows in swept.means.values() for values in rows.values() for name in values))
    records = []
    for row, sets in swept.found.items():
        params, macs = swept.counts.get(row, (None, None))
        for data_set in sets:
            values = swept.means[data_set][row]
            record = {'row': row, 'data_set': data_set, 'params_paper': params, 'macs_paper': macs}
            records.append({**record, **{name: values.get(name) for name in names}})
    return records


def best_in_words(swept: Swept, data_set: str) -> str:
    """What the cheapest and the best row reach on a data set, by the first metric."""
    means, metric = swept.means[data_set], next(iter(swept.metrics))
    sign = -1 if swept.metrics[metric].get('better') == 'lower' else 1
    ends = [
        min(means, key=lambda row: means[row]['macs']),
        max(means, key=lambda row: sign * means[row][metric]),
    ]
    told = [f'{row} {means[row][metric]:.4f} at {means[row]["macs"]:.3f} of the cost' for row in dict.fromkeys(ends)]
    return f'{data_set}, {metric}: {", ".join(told)}.'
