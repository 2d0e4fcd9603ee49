"""The page of a ranking of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from basicsr_ext.data.from_manifest import dataset_of, index_of_places
from basicsr_ext.reports.asked import asked_of, asked_of_result
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Paragraph, Part, Section, Table, write_page
from basicsr_ext.reports.ranking_report import Scored, by_column, read_clean
from basicsr_ext.reports.score_words import shown_score
from basicsr_ext.reports.thumbnails import both_ends, thumbnail_of
from basicsr_ext.selection.coreset.carry_over import CarryOver
from basicsr_ext.selection.manifest import Manifest, read_manifest

LISTED, SHOWN = 10, 6  # images at each end, in the table and in pictures


def write_ranking_page(result: Path, page: Path) -> None:
    """Write what a ranking says: its first and last images, the target, the options.

    Args:
        result: `ranking.parquet`.
        page: the file.

    Raises:
        DataError, OptionError: its images are no longer there.
    """
    manifest = read_manifest(result)
    scored = by_column(manifest, 'rank')
    order, paths = np.argsort(scored.ranks, kind='stable'), manifest.column('path')
    first, last = (
        f'{paths[row]} ({scored.name} {shown_score(scored.scores[row], 4)})' for row in (order[0], order[-1])
    )
    scores = len(paths) - np.count_nonzero(np.isnan(scored.scores))
    some = f', {scores} of them scored' if scores < len(paths) else ''
    lead = f'{len(paths)} images ranked by {manifest.header["method"]}{some}. First: {first}. Last: {last}.'
    sections = [
        Section('First and last images', [*_pictures(manifest, scored, order), _table(scored, order, paths)]),
        *_target(manifest),
        *_found(manifest),
    ]
    write_page(page, title_of('rank', result.parent.name), lead, asked_of_result(manifest.header), sections)


def _pictures(manifest: Manifest, scored: Scored, order: np.ndarray) -> list[Part]:
    dataset = dataset_of(manifest)
    index_of, paths = index_of_places(manifest, dataset, 'datasets.train'), manifest.column('path')
    pictures: list[Part] = []
    for words, rows in zip(('The first ones.', 'The last ones.'), both_ends(order, SHOWN), strict=True):
        pictures += [Paragraph(words)] if len(rows) else []
        for row in rows.tolist():
            text = f'#{scored.ranks[row]} {paths[row]}, {shown_score(scored.scores[row], 4)}'
            pictures.append(thumbnail_of(read_clean(dataset, index_of[row]), text))
    return pictures


def _table(scored: Scored, order: np.ndarray, paths: Sequence[str]) -> Table:
    first, last = both_ends(order, LISTED)
    rows = [[str(scored.ranks[row]), shown_score(scored.scores[row], 6), paths[row]] for row in [*first, *last]]
    left_out = len(order) - len(rows)
    note = f'; {left_out} between the first {len(first)} and the last {len(last)} are left out' if left_out else ''
    return Table(['rank', scored.name, 'image'], rows, f'By rank{note}.')


def _target(manifest: Manifest) -> list[Section]:
    target = manifest.header.get('target')
    if not isinstance(target, dict):
        return []
    name, files = target.get('name') or 'without a name', target.get('files')
    number = f' of {len(files)} images' if isinstance(files, dict) else ''
    return [Section('Target', [Paragraph(f'The data set {name}{number}: what training shall be good at.')])]


def _found(manifest: Manifest) -> list[Section]:
    """What the job decided by itself, and whether the choice carries over to other images."""
    parts: list[Part] = []
    if 'carry_over' in manifest.header:
        parts.append(Paragraph(CarryOver(**manifest.header['carry_over']).sentence(str(manifest.header['method']))))
    chosen = asked_of(manifest.header.get('chosen') or {})
    if chosen:
        parts.append(Table(['what', 'value'], [list(row) for row in chosen.items()], 'Chosen by the job.'))
    return [Section('Found on the way', parts)] if parts else []
