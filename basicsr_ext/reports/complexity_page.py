"""The page of the counts of a network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basicsr_ext.reports.asked import asked_of
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Section, Table, write_page

HEADS = ['pointer', 'parameters [M]', 'MACs [G]', 'all parameters [M]', 'all MACs [G]']
CAPTION = (
    'Parameters and MACs as the paper of FlexIR counts them, then all parameters that a file of weights holds and all '
    'MACs, products of attention included.'
)


def write_complexity_page(noted: Mapping[str, Any], result: Path, page: Path) -> None:
    """Write the parameters and MACs of each pointer.

    Args:
        noted: `name`, `network_g` and `complexity` as in the option file.
        result: `complexity.json`.
        page: the file.
    """
    rows = json.loads(result.read_text(encoding='utf-8'))
    table = Table(HEADS, [_cells(row) for row in rows], CAPTION)
    height, width = noted['complexity']['input_size']
    last = rows[-1]
    lead = (
        f'{noted["network_g"]["type"]}: {last["params_stored"] / 1e6:.2f} million parameters, '
        f'{last["macs_full"] / 1e9:.2f} G multiply-accumulates (MACs) for an input of {height} x {width} pixels.'
    )
    write_page(page, title_of('complexity', noted['name']), lead, asked_of(noted), [Section('Counts', [table])])


def _cells(row: Mapping[str, Any]) -> list[str]:
    figures = (
        row['params_paper'] / 1e6, row['macs_paper'] / 1e9, row['params_stored'] / 1e6, row['macs_full'] / 1e9
    )  # fmt: skip
    return [str(row['pointer'] or '-'), *(f'{figure:.2f}' for figure in figures)]
