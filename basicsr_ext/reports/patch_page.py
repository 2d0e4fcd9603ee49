"""The page of mined patches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from basicsr_ext.data.from_manifest import dataset_of
from basicsr_ext.errors import first_few
from basicsr_ext.reports.asked import asked_of_result
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Paragraph, Part, Section, Table, write_page
from basicsr_ext.reports.patch_report import PatchReader, decimal, numbers_of, usual_criterion
from basicsr_ext.reports.thumbnails import as_picture, both_ends
from basicsr_ext.selection.correlation import rank_correlations
from basicsr_ext.selection.manifest import Manifest, read_manifest

SHOWN = 12  # patches at each end


def write_patch_page(result: Path, page: Path) -> None:
    """Write what mining found: the criteria in numbers, the best and the worst patches, the options.

    Args:
        result: `patches.parquet`.
        page: the file.

    Raises:
        DataError, OptionError: its images are no longer there.
    """
    manifest = read_manifest(result)
    columns = {name: manifest.array(name) for name in manifest.criteria}
    summary = numbers_of(manifest, columns, rank_correlations(list(columns.values())))
    criterion = usual_criterion(manifest)
    sections = [
        Section('Criteria', tables_of(summary)),
        Section(f'Patches by {criterion}', _patches(manifest, criterion, columns[criterion])),
    ]
    write_page(
        page,
        title_of('mine', result.parent.name),
        lead_of(summary),
        asked_of_result(manifest.header),
        sections,
    )


def lead_of(summary: Mapping[str, Any]) -> str:
    """How many patches there are, and what was skipped."""
    size, skipped = summary['patch_size'], summary['skipped']
    lead = f'{summary["patches"]:,} patches of {size} x {size} pixels in {summary["images"]:,} images.'
    names = [f'{path} ({why})' for path, why in skipped.items()]
    return f'{lead} {len(names):,} images skipped: {first_few(names)}.' if names else lead


def tables_of(summary: Mapping[str, Any]) -> list[Part]:
    """The numbers of the criteria, and how they agree."""
    criteria = summary['criteria']
    rows = [[name, *(f'{value:.4g}' for value in row.values())] for name, row in criteria.items()]
    tables: list[Part] = [Table(['criterion', 'min', 'median', 'mean', 'max'], rows)]
    if len(criteria) > 1:
        rows = [[name, *map(decimal, row.values())] for name, row in summary['spearman'].items()]
        tables.append(Table(['', *summary['spearman']], rows, 'Rank correlations (Spearman).'))
    return tables


def _patches(manifest: Manifest, criterion: str, scores: np.ndarray) -> list[Part]:
    best, worst = both_ends(np.argsort(-scores, kind='stable'), SHOWN)
    reader = PatchReader(manifest, dataset_of(manifest), 'datasets.train')
    parts: list[Part] = []
    for words, rows in (('The largest values.', best), ('The smallest values.', worst)):
        if not len(rows):
            continue
        parts.append(Paragraph(words))
        for row, pixels in zip(rows, reader.patches(rows), strict=True):
            place = f'{reader.items[reader.images[row]].path}, y {reader.y[row]}, x {reader.x[row]}'
            parts.append(as_picture(pixels, f'{scores[row]:.4g}: {place}'))
    return parts
