"""An audit in, a report in words, pictures of the worst images and histograms of the findings out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from basicsr_ext.data.from_manifest import index_of_places
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.errors import DataError, OptionError, under
from basicsr_ext.images.pixels import for_display, levels_to_8bit, reduced, swap_order, to_unit
from basicsr_ext.options.blocks import read_block
from basicsr_ext.reports.audit_pictures import Row, Tile, bounds_in_words, draw_histograms, draw_worst
from basicsr_ext.runtime.figures import Caption, short_name, sizes_in_words
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.audit.findings import FINDINGS
from basicsr_ext.selection.audit.outcome import FindingNote, with_unit
from basicsr_ext.selection.manifest import Manifest

NAMED = 3  # of the worst images in words
THUMBNAIL = 200  # longest side in pixels
OTHERS = ('duplicate', 'leak')  # findings whose column `NAME_of` names another image


@dataclass(frozen=True)
class Found:
    """A finding as the manifest of an audit holds it.

    Attributes:
        name: of the column.
        values: of the images, (n,).
        note: `says`, `unit`, `side`, `usual`, `low`, `high`, `widespread` (`selection.audit.outcome`).
        others: the other image of each, where there is one; else ''.
    """

    name: str
    values: np.ndarray
    note: FindingNote
    others: Sequence[str]

    @property
    def suspect(self) -> np.ndarray:
        """Whether each image is suspect for this, (n,)."""
        low, high = self.note.low, self.note.high
        suspect: np.ndarray = self.values < (-np.inf if low is None else low)
        return suspect | (self.values > (np.inf if high is None else high))

    @property
    def worst_first(self) -> np.ndarray:
        """The rows, from the value that is furthest on the suspect side, (n,)."""
        return np.argsort(-self.towards_suspect, kind='stable')

    @property
    def towards_suspect(self) -> np.ndarray:
        """How far each value lies from the usual one on the suspect side, (n,); negative on the other one."""
        away = self.values - self.note.usual
        return {'high': away, 'low': -away, 'both': np.abs(away)}[self.note.side]

    def text(self, value: float) -> str:
        """A value with its unit."""
        return with_unit(value, self.note.unit)

    @property
    def bounds_in_words(self) -> str:
        """What is usual, and from where on values are suspect."""
        return f'{bounds_in_words(self.note)} {self.note.unit}'.rstrip()


def findings_of(manifest: Manifest) -> list[Found]:
    """The findings of an audit.

    Raises:
        DataError, OptionError: its header does not tell them.
    """
    notes = manifest.header.get('findings')
    if not isinstance(notes, dict):
        raise DataError(f'manifest {manifest.source}', 'the findings in its header', 'none', 'Make the audit again.')
    empty = [''] * len(manifest.table)
    found = []
    for name, stored in notes.items():
        with under(f'manifest {manifest.source}, '):
            note = read_block(FindingNote, stored, f'findings.{name}')
        others = manifest.column(f'{name}_of') if name in OTHERS else empty
        found.append(Found(name, manifest.array(name), note, others))
    return found


def report_of(manifest: Manifest) -> str:
    """What an audit found, in words: the numbers of each finding and the names of the worst three."""
    paths, suspect = manifest.column('path'), manifest.column('suspect')
    number = sum(suspect)
    lines = [f'Suspect: {number} of {len(paths)} images.']
    every = findings_of(manifest)
    for found in every:
        count = int(found.suspect.sum())
        if found.note.widespread:
            lines.append(f'- {found.name}: most of the set is {found.note.says} ({found.text(found.note.usual)}).')
        if count:
            worst = [_named(found, paths, row) for row in found.worst_first[: min(NAMED, count)]]
            more = f' and {count - NAMED} more' if count > NAMED else ''
            lines.append(
                f'- {found.name}: {count} {found.note.says} ({found.bounds_in_words}): {", ".join(worst)}{more}.'
            )
    quiet = [found.name for found in every if not found.suspect.any()]
    if quiet:
        lines.append(f'- nothing: {", ".join(quiet)}.')
    if number:
        lines.append(
            f'Look at them with `basicsr-ext inspect {manifest.source}`; FitImagesDataset with `exclude: '
            f'{manifest.source}` leaves them out.'
        )
    return '\n'.join(lines)


def _named(found: Found, paths: Sequence[str], row: int) -> str:
    other = f' like {found.others[row]}' if found.others[row] else ''
    return f'{paths[row]}{other} ({with_unit(found.values[row])})'


def inspect_audit(manifest: Manifest, dataset: SampleDataset, where: str, folder: Path, size: int = 6) -> None:
    """Look at an audit: writes `gallery.png` and `histograms.png`, and prints the report.

    Args:
        manifest: of an audit.
        dataset: that was audited.
        where: the option that says where its images are, named in errors.
        folder: for the pictures.
        size: images of each finding in the gallery, the worst ones.

    Raises:
        OptionError: less than 1 image.
        DataError: the manifest and the images do not fit together.
    """
    if size < 1:
        raise OptionError('--size', 'at least 1', size, 'Correct the value.')
    every = findings_of(manifest)
    found = [each for each in every if np.ptp(each.values) > 0] or every  # the same everywhere: nothing to see
    rows = rows_of(manifest, found, dataset, where, size)
    worst, spread = _captions(manifest)
    draw_worst(rows, folder / 'gallery.png', worst)
    draw_histograms(rows, folder / 'histograms.png', spread)
    print(report_of(manifest))
    print(f'Pictures: {folder}')


def rows_of(manifest: Manifest, found: Sequence[Found], dataset: SampleDataset, where: str, size: int) -> list[Row]:
    """The worst images of findings, each with what it is a copy of or its input beside it.

    Args:
        manifest: of an audit.
        found: some of its findings.
        dataset: that was audited.
        where: the option that says where its images are, named in errors.
        size: images of each finding.

    Raises:
        DataError: the manifest and the images do not fit together.
    """
    index_of = index_of_places(manifest, dataset, where)
    images, paths = WholeImages(dataset), manifest.column('path')
    place_of = {path: row for row, path in enumerate(paths)}
    rows = []
    for each in with_progress(found, 'Reading', len(found), unit='finding'):
        tiles = []
        for row in each.worst_first[:size]:
            title = f'{short_name(paths[row], 28)}\n{each.text(each.values[row])}'
            tiles.append(Tile(_thumbnail(images, index_of[row]), title, bool(each.suspect[row])))
            other = each.others[row]
            if other in place_of:
                tiles.append(Tile(_thumbnail(images, index_of[place_of[other]]), f'of {short_name(other, 25)}', False))
            if each.name in FINDINGS and FINDINGS[each.name].pair:
                tiles.append(Tile(_input(images, index_of[row]), 'its input, in grey', False))
        rows.append(Row(each.name, each.note, tiles, each.values))
    return rows


def _captions(manifest: Manifest) -> tuple[Caption, Caption]:
    """The words around the images and around the histograms."""
    items = manifest.items()
    suspect = f'{sum(manifest.column("suspect"))} of {len(items)} images are suspect'
    images = (
        f'Whole images of {sizes_in_words([(item.height, item.width) for item in items])}, reduced to at most '
        f'{THUMBNAIL} pixels a side; the worst at the left. Above each: file and value, in orange where it is suspect.'
    )
    heights = 'A bar tells how many images have such a value; heights above 1 are logarithmic.'
    return (
        Caption(f'The worst images by each finding; {suspect}', [images]),
        Caption(f'How the values of each finding are distributed; {suspect}', [heights]),
    )


def _thumbnail(images: WholeImages, index: int) -> np.ndarray | None:
    """A reduced image, (H, W) or (H, W, 3) RGB, [0, 1]; None of a damaged one."""
    try:
        return _displayed(levels_to_8bit(images.clean(index)))
    except DataError:
        return None


def _input(images: WholeImages, index: int) -> np.ndarray | None:
    """The same of the input of a pair of files, in grey."""
    try:
        found = images.input_file(index)
    except DataError:
        return None
    return None if found is None else _displayed(found[0])


def _displayed(pixels: np.ndarray) -> np.ndarray:
    pixels = reduced(pixels, THUMBNAIL)
    return to_unit(for_display(swap_order(pixels if pixels.ndim == 3 else pixels[..., None])))
