"""The table of the groups of a ranking: mean and spread of what was measured on their images."""

import csv
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from basicsr_ext.runtime.files import atomic_open

CRITERIA = ('IQA', 'HFAPI', 'LFAPI')  # of Table 6 of the influence paper

Values = dict[str, list[float]]  # criterion -> one value per image
Statistics = dict[str, dict[str, Any]]  # group -> `ranks`, and criterion -> `mean` and `std`


def mean_and_std(values: Values) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (of the group itself: divided by K) of each criterion."""
    return {name: {'mean': float(np.mean(v)), 'std': float(np.std(v))} for name, v in values.items()}


def write_csv(path: str | os.PathLike[str], statistics: Statistics) -> None:
    """Write one line per group, atomically."""
    with atomic_open(path, 'w') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(
            ['group', 'first_rank', 'last_rank', *(f'{c}_{part}' for c in CRITERIA for part in ('mean', 'std'))]
        )
        for name, row in statistics.items():
            writer.writerow([name, *row['ranks'], *(row[c][part] for c in CRITERIA for part in ('mean', 'std'))])


def as_text(statistics: Statistics) -> str:
    """The table as in the paper, with mean and standard deviation."""
    lines = [f'{"":<8}{"ranks":>14}' + ''.join(f'{criterion:>20}' for criterion in CRITERIA)]
    for name, row in statistics.items():
        ranks, *cells = cells_of(row)
        lines.append(f'{name:<8}{ranks:>14}' + ''.join(f'{cell:>20}' for cell in cells))
    return '\n'.join(lines)


def cells_of(row: Mapping[str, Any]) -> list[str]:
    """A group in words: its ranks, and mean and standard deviation of each criterion."""
    values = [
        f'{row[criterion]["mean"]:.{digits}f} ± {row[criterion]["std"]:.{digits}f}'
        for criterion, digits in zip(CRITERIA, (2, 4, 4), strict=True)
    ]
    return [f'{row["ranks"][0]} to {row["ranks"][1]}', *values]
