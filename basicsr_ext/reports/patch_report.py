"""Mined patches in, pictures and numbers of their criteria out: Fig. 2, 3 and 7 of Soh and Cho (2021), and more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ext.data.from_manifest import index_of_places
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.errors import DataError, OptionError, first_few, under
from basicsr_ext.images.pixels import for_display, swap_order, to_unit
from basicsr_ext.reports import patch_pictures as pictures
from basicsr_ext.reports.patch_captions import PatchCaptions, kept_in_words
from basicsr_ext.reports.score_words import PATCHES, explained
from basicsr_ext.runtime.files import write_json
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.correlation import pearson, rank_correlations
from basicsr_ext.selection.manifest import Manifest, read_manifest
from basicsr_ext.selection.patches.choice import Keep, criterion_of, keep_patches
from basicsr_ext.selection.patches.matching import rows_in_other


@dataclass(frozen=True)
class PatchView:
    """The choices of a look at patches.

    Attributes:
        size: patches of each group of the contact sheet.
        keep: the part of the patches that is kept, as in `keep_patches`.
        per_image: it is a part of each image's patches.
        criterion: the column that patches are sorted by; None takes the only one, or `grad`.
        other: a manifest of the same patches to compare with, by the criterion, or by `loss` where none is named.
    """

    size: int = 20
    keep: Keep = 0.5
    per_image: bool = False
    criterion: str | None = None
    other: str | None = None


def inspect_patches(manifest: Manifest, dataset: SampleDataset, where: str, folder: Path, view: PatchView) -> None:
    """Look at mined patches.

    Writes `histograms.png`, `contact_sheet.png`, `kept.png`, `summary.json`, with several criteria `correlations.png`
    and with another manifest `losses.png`; prints the numbers.

    Args:
        manifest: of patches.
        dataset: that was mined.
        where: the option that says where its images are, named in errors.
        folder: for the results.
        view: what is looked at.

    Raises:
        DataError, OptionError: the manifest, the images or the options do not fit together.
    """
    criterion = _criterion(manifest, view.criterion or ('grad' if 'grad' in manifest.criteria else None))
    columns = {name: manifest.array(name) for name in manifest.criteria}
    scores, images = columns[criterion], manifest.image_of_rows()
    groups, kept = choose_groups(scores, view.size), _kept(scores, images, view)
    place = half_kept(images, kept)
    reader = PatchReader(manifest, dataset, where)
    correlations = rank_correlations(list(columns.values()))
    listed = manifest.table.select(['path', 'y', 'x', criterion])
    summary = {
        **numbers_of(manifest, columns, correlations),
        'criterion': criterion,
        'groups': {name: listed.take(rows).to_pylist() for name, rows in groups.items()},
        'keep': view.keep,
        'kept': int(kept.sum()),
        'kept_image': manifest.items()[place].path,
    }
    if view.other is not None:
        summary['other'] = _compare(manifest, view.other, view.criterion or 'loss', folder)

    captions = PatchCaptions(manifest.table.num_rows, [(item.height, item.width) for item in manifest.items()])
    pictures.draw_histograms(columns, folder / 'histograms.png', captions.histograms(columns))
    if len(columns) > 1:
        pictures.draw_correlations(list(columns), correlations, folder / 'correlations.png')
    shown = reader.kept_image(place, np.flatnonzero(images == place), kept)
    pictures.draw_kept(
        replace(shown, rule=kept_in_words(view.keep, view.per_image, int(kept.sum()))), criterion, folder / 'kept.png'
    )
    sheet = [
        pictures.PatchGroup(name, scores[rows], reader.patches(rows), reader.sources(rows))
        for name, rows in groups.items()
    ]
    size = int(reader.size[0])
    pictures.draw_contact_sheet(sheet, criterion, folder / 'contact_sheet.png', captions.sheet(criterion, size))
    write_json(folder / 'summary.json', summary)
    print(as_text(summary))
    print(f'Pictures and numbers: {folder}')


def usual_criterion(manifest: Manifest) -> str:
    """What patches are looked at by where nothing else is asked for: `grad`, or the first criterion."""
    return 'grad' if 'grad' in manifest.criteria else manifest.criteria[0]


def _criterion(manifest: Manifest, name: str | None) -> str:
    with under('--'):
        return criterion_of(manifest, name)


# ---- which patches ----


def choose_groups(scores: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """The rows of the best, the middle and the worst patches, from the largest score to the smallest.

    Groups are made smaller rather than let overlap. Of equal scores the first one counts as the larger.

    Raises:
        OptionError: less than 1 patch per group.
        DataError: less than 3 patches in all.
    """
    largest = len(scores) // 3
    if size < 1:
        raise OptionError('--size', 'at least 1', size, 'Correct the value.')
    if largest < 1:
        raise DataError('manifest', 'at least 3 patches', len(scores), 'Mine a larger dataset.')
    if size > largest:
        get_root_logger().warning(f'Groups of {largest} patches instead of {size}: the manifest has {len(scores)}.')
    size = min(size, largest)
    order = np.argsort(-scores, kind='stable')
    firsts = {'Top': 0, 'Mid': (len(scores) - size) // 2, 'Bottom': len(scores) - size}
    return {name: order[first : first + size] for name, first in firsts.items()}


def _kept(scores: np.ndarray, images: np.ndarray, view: PatchView) -> np.ndarray:
    """Whether each patch is kept."""
    kept = np.zeros(len(scores), bool)
    with under('--'):
        kept[keep_patches(scores, images, view.keep, view.per_image)] = True
    return kept


def half_kept(images: np.ndarray, kept: np.ndarray) -> int:
    """The image whose kept share is closest to one half; the first of several.

    Args:
        images: (patches,), a number from 0 for the image of each; every image has patches.
        kept: (patches,), bool.
    """
    share = np.bincount(images, kept) / np.bincount(images)
    return int(np.argmin(np.abs(share - 0.5)))


# ---- their pixels ----


class PatchReader:
    """Cuts patches of a manifest out of the images of the dataset, in the order of colours that is shown.

    Args:
        manifest: of patches.
        dataset: that was mined; it may hold images that were skipped.
        where: the option that says where its images are, named in errors.

    Raises:
        DataError: the dataset does not hold the images of the manifest.
    """

    def __init__(self, manifest: Manifest, dataset: SampleDataset, where: str) -> None:
        self.index_of = index_of_places(manifest, dataset, where)
        self.items, self.images = manifest.items(), manifest.image_of_rows()
        self.y, self.x, self.size = (manifest.array(name) for name in ('y', 'x', 'size'))
        self.whole = WholeImages(dataset)

    def pixels(self, place: int) -> np.ndarray:
        """The image at a place of `items()`: (H, W, 3) RGB or (H, W) grey, float32, [0, 1]."""
        image = self.whole.clean(self.index_of[place])
        return for_display(to_unit(swap_order(image)).clip(0, 1))

    def patches(self, rows: np.ndarray) -> np.ndarray:
        """The patches of these rows, (rows, p, p, 3) RGB or (rows, p, p) grey, [0, 1]; every image is read once.

        Raises:
            DataError: a damaged image, or one that ends before a patch does.
        """
        patches: dict[int, np.ndarray] = {}
        places = np.unique(self.images[rows])
        for place in with_progress(places, 'Reading', len(places)):
            image = self.pixels(place)
            for row in rows[self.images[rows] == place]:
                y, x, size = self.y[row], self.x[row], self.size[row]
                patches[row] = image[y : y + size, x : x + size].copy()  # a view would keep the image
                if patches[row].shape[:2] != (size, size):
                    raise DataError(
                        self.items[place].path,
                        f'a patch of {size} x {size} pixels at y = {y}, x = {x}',
                        f'an image of {image.shape[0]} x {image.shape[1]}',
                        'Mine the dataset again.',
                    )
        return np.stack([patches[row] for row in rows])

    def sources(self, rows: np.ndarray) -> list[tuple[str, int, int]]:
        """The file of each patch, and its y and x."""
        return [(self.items[self.images[row]].path, int(self.y[row]), int(self.x[row])) for row in rows]

    def kept_image(self, place: int, rows: np.ndarray, kept: np.ndarray) -> pictures.KeptImage:
        """An image and its patches.

        Args:
            place: of the image in `items()`.
            rows: of its patches.
            kept: whether each patch of the manifest is kept.
        """
        size = int(self.size[rows[0]])
        return pictures.KeptImage(
            self.items[place].path, self.pixels(place), self.y[rows], self.x[rows], size, kept[rows]
        )


# ---- numbers ----


def _or_none(value: float) -> float | None:
    """JSON has no nan."""
    return None if np.isnan(value) else float(value)


def numbers_of(manifest: Manifest, columns: Mapping[str, np.ndarray], correlations: np.ndarray) -> dict[str, Any]:
    """How many patches there are, their criteria in numbers, and how these agree, as JSON values.

    Args:
        manifest: of patches.
        columns: criterion -> (patches,).
        correlations: of the ranks, (criteria, criteria).
    """
    measures: dict[str, Callable[[np.ndarray], Any]] = {
        'min': np.min, 'median': np.median, 'mean': np.mean, 'max': np.max
    }  # fmt: skip
    return {
        'manifest': manifest.source,
        'patches': manifest.table.num_rows,
        'images': len(manifest.items()),
        'patch_size': int(manifest.array('size')[0]),
        'skipped': manifest.header.get('skipped', {}),
        'criteria': {
            name: {measure: float(function(values)) for measure, function in measures.items()}
            for name, values in columns.items()
        },
        'spearman': {
            name: {other: _or_none(value) for other, value in zip(columns, row, strict=True)}
            for name, row in zip(columns, correlations, strict=True)
        },
    }


def as_text(summary: Mapping[str, Any]) -> str:
    """The numbers as tables."""
    size, skipped = summary['patch_size'], summary['skipped']
    lines = [f'{summary["patches"]:,} patches of {size} x {size} pixels in {summary["images"]:,} images']
    if skipped:
        names = [f'{path} ({why})' for path, why in skipped.items()]
        lines.append(f'{len(skipped):,} of {len(skipped) + summary["images"]:,} images skipped: {first_few(names)}')
    lines += ['', f'{"":<12}' + ''.join(f'{name:>12}' for name in ('min', 'median', 'mean', 'max'))]
    for name, row in summary['criteria'].items():
        lines.append(f'{name:<12}' + ''.join(f'{value:>12.4g}' for value in row.values()))
    lines += ['', *explained(PATCHES, summary['criteria'])]
    table = summary['spearman']
    if len(table) > 1:
        lines += ['', f'{"Spearman":<12}' + ''.join(f'{name:>12}' for name in table)]
        for name, row in table.items():
            lines.append(f'{name:<12}' + ''.join(f'{decimal(value):>12}' for value in row.values()))
    if 'other' in summary:
        other = summary['other']
        lines += ['', f'{other["criterion"]} here and in {other["manifest"]}: {_coefficients(other)}']
    return '\n'.join([*lines, ''])


def decimal(value: float | None) -> str:
    """A coefficient; `-` for none."""
    return '-' if value is None else f'{value:.4f}'


# ---- two manifests ----


def _compare(manifest: Manifest, source: str, name: str, folder: Path) -> dict[str, Any]:
    """Draw a criterion of the same patches in two manifests; how much the one says of the other."""
    other = read_manifest(source)
    if not other.holds_patches:
        raise DataError(
            '--other',
            'a manifest of patches',
            f'the ranking of images {source}',
            'Name a file that `basicsr-ext mine` wrote.',
        )
    own = manifest.array(_criterion(manifest, name))
    theirs = other.array(_criterion(other, name))[rows_in_other(manifest, other)]
    coefficients = {'pearson': pearson([own, theirs])[0, 1], 'spearman': rank_correlations([own, theirs])[0, 1]}
    found = {'manifest': source, 'criterion': name, **{key: _or_none(value) for key, value in coefficients.items()}}
    labels = [Path(one.source).resolve().parent.name for one in (manifest, other)]
    if labels[0] == labels[1]:
        labels = [manifest.source, other.source]
    pictures.draw_losses(own, theirs, name, labels, _coefficients(found), folder / 'losses.png')
    return found


def _coefficients(found: Mapping[str, Any]) -> str:
    return f'Pearson {decimal(found["pearson"])}, Spearman {decimal(found["spearman"])}'
