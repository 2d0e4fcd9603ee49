"""The page of an audit."""

from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.data.from_manifest import dataset_of
from basicsr_ext.reports.asked import asked_of_result
from basicsr_ext.reports.audit_pictures import Row, Tile
from basicsr_ext.reports.audit_report import Found, findings_of, rows_of
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Paragraph, Part, Section, Table, write_page
from basicsr_ext.reports.thumbnails import thumbnail_of
from basicsr_ext.selection.manifest import Manifest, read_manifest

SHOWN = 6  # images of each finding


def write_audit_page(result: Path, page: Path) -> None:
    """Write what an audit found: each finding in numbers, its worst images, the options.

    Args:
        result: `audit.parquet`.
        page: the file.

    Raises:
        DataError, OptionError: its images are no longer there.
    """
    manifest = read_manifest(result)
    every = findings_of(manifest)
    found = [each for each in every if each.suspect.any()]
    rows = rows_of(manifest, found, dataset_of(manifest), 'datasets.train', SHOWN) if found else []
    sections = [overview(every), *(_section(each, row) for each, row in zip(found, rows, strict=True))]
    write_page(
        page, title_of('audit', result.parent.name), lead_of(manifest), asked_of_result(manifest.header), sections
    )


def lead_of(manifest: Manifest) -> str:
    """How many images are suspect, and how to leave them out."""
    suspect = manifest.column('suspect')
    lead = f'{sum(suspect)} of {len(suspect)} images are suspect.'
    return f'{lead} FitImagesDataset with exclude: {manifest.source} leaves them out.' if any(suspect) else lead


def overview(every: Sequence[Found]) -> Section:
    """All findings in a table."""
    heads = ['finding', 'suspect images', 'says', 'bounds']
    rows = [[each.name, str(each.suspect.sum()), each.note.says, each.bounds_in_words] for each in every]
    widespread = [
        Paragraph(f'{each.name}: most of the set is {each.note.says} ({each.text(each.note.usual)}).')
        for each in every
        if each.note.widespread
    ]
    return Section('Findings', [Table(heads, rows), *widespread])


def _section(found: Found, row: Row) -> Section:
    words = f'{found.suspect.sum()} images: {found.note.says}; {found.bounds_in_words}. The worst ones:'
    return Section(found.name, [Paragraph(words), *(_part(tile) for tile in row.tiles)])


def _part(tile: Tile) -> Part:
    text = tile.title.replace('\n', ', ')
    return Paragraph(f'{text}: cannot be decoded.') if tile.pixels is None else thumbnail_of(tile.pixels, text)
