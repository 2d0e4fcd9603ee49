"""The page of what `inspect` has drawn."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basicsr_ext.reports.asked import asked_of_result
from basicsr_ext.reports.audit_page import lead_of as lead_of_audit
from basicsr_ext.reports.audit_page import overview
from basicsr_ext.reports.audit_report import findings_of
from basicsr_ext.reports.beside import page_of, title_of
from basicsr_ext.reports.group_table import CRITERIA, cells_of
from basicsr_ext.reports.page import Part, Section, Table, picture_at, write_page
from basicsr_ext.reports.patch_page import lead_of as lead_of_patches
from basicsr_ext.reports.patch_page import tables_of
from basicsr_ext.selection.manifest import Manifest

OF_IMAGES = {
    'gallery.png': 'Images of each group, with rank and score',
    'histogram.png': 'How the scores are distributed, and the scores by rank',
    'spectra.png': 'An example of each group, its spectrum, and the mean spectrum of the group',
}
OF_PATCHES = {
    'histograms.png': 'How the criteria are distributed',
    'contact_sheet.png': 'The best, the middle and the worst patches',
    'kept.png': 'An image, and which of its patches are kept',
}
OF_AUDIT = {'gallery.png': 'The worst images of each finding', 'histograms.png': 'How the findings are distributed'}


def write_inspect_page(manifest: Manifest, folder: Path) -> None:
    """Write a page of the pictures and numbers in a folder, as they were drawn last.

    Args:
        manifest: that was looked at.
        folder: of the pictures.
    """
    if manifest.holds_audit:
        lead, sections = lead_of_audit(manifest), [overview(findings_of(manifest)), _pictures(folder, OF_AUDIT)]
    elif manifest.holds_patches:
        lead, sections = _of_patches(folder)
    else:
        lead, sections = _of_images(folder, len(manifest.table))
    title = title_of('inspect', manifest.source)
    write_page(page_of(folder, 'inspect'), title, lead, asked_of_result(manifest.header), sections)


def _pictures(folder: Path, names: Mapping[str, str]) -> Section:
    there = {folder / name: text for name, text in names.items() if (folder / name).is_file()}
    return Section('Pictures', [picture_at(path, text) for path, text in there.items()])


def _of_images(folder: Path, number: int) -> tuple[str, list[Section]]:
    content: dict[str, Any] = json.loads((folder / 'table.json').read_text(encoding='utf-8'))
    rows = [[name, *cells_of(row)] for name, row in content['groups'].items()]
    table = Table(['group', 'ranks', *CRITERIA], rows, 'Means and standard deviations of the images of each group.')
    lead = f'{number} images by the column {content["column"]}: the first, the middle and the last ones.'
    return lead, [Section('Groups', [table]), _pictures(folder, OF_IMAGES)]


def _of_patches(folder: Path) -> tuple[str, list[Section]]:
    summary: dict[str, Any] = json.loads((folder / 'summary.json').read_text(encoding='utf-8'))
    drawn = dict(OF_PATCHES)
    if len(summary['criteria']) > 1:
        drawn['correlations.png'] = 'Rank correlations of the criteria'
    if 'other' in summary:
        drawn['losses.png'] = f'{summary["other"]["criterion"]} of the same patches here and in another manifest'
    parts: list[Part] = tables_of(summary)
    return lead_of_patches(summary), [Section('Criteria', parts), _pictures(folder, drawn)]
