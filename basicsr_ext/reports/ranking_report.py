"""A ranking of images in, pictures and a table of its Top, Mid and Bottom images out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import cv2
import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ext.data.from_manifest import index_of_places
from basicsr_ext.data.read_item import read_item
from basicsr_ext.errors import DataError, OptionError, nearest, shown, under
from basicsr_ext.images.pixels import as_array, for_display, reduced, rgb_to_grey
from basicsr_ext.metrics.mgvg_metric import calculate_mgvg
from basicsr_ext.reports.group_table import CRITERIA, Statistics, Values, as_text, mean_and_std, write_csv
from basicsr_ext.reports.ranking_captions import THUMBNAIL, RankingCaptions, Sizes
from basicsr_ext.reports.ranking_pictures import Group, Shown, draw_gallery, draw_histogram, draw_spectra
from basicsr_ext.reports.score_words import MEASURES, UNKNOWN, ScoreWords, explained, words_of_ranking
from basicsr_ext.reports.spectrum import hfapi, lfapi, spectrum_picture
from basicsr_ext.runtime.files import write_json
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.spread import spread_to_ends
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.coreset.stored import INFLUENCE
from basicsr_ext.selection.manifest import Item, Manifest
from basicsr_ext.selection.ranks import ranks_of
from basicsr_ext.selection.subsets.choose import choose

SHOWN = 10  # images of a group in the gallery
EXAMPLE, MEAN_SPECTRUM = 480, 256  # longest sides in pixels


@dataclass(frozen=True)
class Scored:
    """What images are looked at by.

    Attributes:
        column: of the manifest, that was asked for.
        name: of the scores.
        ranks: of the rows of the manifest, from 1.
        scores: of the same rows; NaN for an image without one.
        words: what they are.
    """

    column: str
    name: str
    ranks: list[int]
    scores: list[float]
    words: ScoreWords = UNKNOWN

    @property
    def ends(self) -> dict[str, str]:
        """What the images of each group have in common."""
        first, last = self.scores[self.ranks.index(1)], self.scores[self.ranks.index(len(self.ranks))]
        if self.words.together:
            return {'Top': 'chosen first', 'Mid': 'chosen later', 'Bottom': 'chosen last'}
        if isnan(last):
            return {'Top': f'first by {self.name}', 'Bottom': f'last, without {self.name}'}
        if first == last:
            return {}
        top, bottom = ('largest', 'smallest') if first > last else ('smallest', 'largest')
        return {'Top': f'{top} {self.name}', 'Mid': f'middle {self.name}', 'Bottom': f'{bottom} {self.name}'}


def by_column(manifest: Manifest, column: str) -> Scored:
    """A column of ranks and the scores that belong to it: `METHOD_x` to `rank_x`, or `x` where there is none."""
    method, suffix = str(manifest.header.get('method')), column.removeprefix('rank')
    names = [f'{method}{suffix}' if column.startswith('rank') else method, suffix.removeprefix('_')]
    name = next((each for each in names if each in manifest.names), names[0])
    words = words_of_ranking(manifest.header, name)
    return Scored(column, name, manifest.column(column), manifest.scores(name).tolist(), words)


def by_target(manifest: Manifest, name: str) -> tuple[str, Scored]:
    """The path of an image of the target, and the influence on it.

    Args:
        manifest: `per_target.parquet`.
        name: path of the image, its ending may be left out.

    Raises:
        OptionError: there is no such image.
    """
    paths = [column.removeprefix(INFLUENCE) for column in manifest.names if column.startswith(INFLUENCE)]
    found = [path for path in paths if name in (path, Item(path, 0, 0).name)]
    if not found:
        raise OptionError('--target', 'an image of the target', shown(name), nearest(name, paths))
    column = f'{INFLUENCE}{found[0]}'
    scores = manifest.array(column)
    words = words_of_ranking(manifest.header, column)
    return found[0], Scored(column, column, ranks_of(scores).tolist(), scores.tolist(), words)


def inspect_images(
    manifest: Manifest,
    dataset: SampleDataset,
    where: str,
    folder: Path,
    size: int,
    scored: Scored,
    aim: tuple[SampleDataset, int] | None = None,
) -> None:
    """Look at a ranking: Fig. 6 and Table 6 of the influence paper, and more.

    Writes `gallery.png`, `histogram.png`, `spectra.png`, `table.csv` and `table.json`, and prints the table.

    Args:
        manifest: a ranking.
        dataset: that was ranked.
        where: the option that says where its images are, named in errors.
        folder: for the results.
        size: images of a group.
        scored: the ranks to look at, and their scores.
        aim: the one image that the scores are for, by its dataset and index; None for a whole target.

    Raises:
        DataError, OptionError: the manifest, the images or the arguments do not fit together.
    """
    ranks, scores = scored.ranks, scored.scores
    rows = choose_groups(ranks, size)
    index_of, items = index_of_places(manifest, dataset, where), manifest.items()

    groups: list[Group] = []
    sizes: list[Sizes] = []
    statistics: Statistics = {}
    with Progress('Reading', sum(map(len, rows.values()))) as progress:
        for name, chosen in rows.items():
            images = [Place(index_of[row], items[row], int(ranks[row]), float(scores[row])) for row in chosen]
            group, values, own = _look_at(name, images, dataset, progress)
            groups.append(replace(group, says=scored.ends.get(name, '')))
            sizes += own
            statistics[name] = {'ranks': [group.ranks[0], group.ranks[-1]], **mean_and_std(values)}
    captions = RankingCaptions(scored.name, scored.words, len(ranks), len(groups[0].ranks), sizes)
    thumbnail = None if aim is None else reduced(read_clean(*aim), THUMBNAIL)
    draw_gallery(groups, folder / 'gallery.png', thumbnail, captions.gallery)
    draw_histogram(scores, ranks, captions.label, groups, folder / 'histogram.png', captions.histogram)
    draw_spectra(groups, folder / 'spectra.png', captions.spectra)
    write_json(folder / 'table.json', {'manifest': manifest.source, 'column': scored.column, 'groups': statistics})
    write_csv(folder / 'table.csv', statistics)
    print('\n'.join([as_text(statistics), '', *explained(MEASURES, CRITERIA)]))
    print(f'Pictures and table: {folder}')


def choose_groups(ranks: Sequence[int], size: int) -> dict[str, list[int]]:
    """The rows of each group, by rank; groups are made smaller rather than let overlap.

    Raises:
        OptionError: less than 1 image per group, or values that are no ranks.
        DataError: less than 3 images in all.
    """
    largest = len(ranks) // 3
    if largest < 1:
        raise DataError('manifest', 'at least 3 images', len(ranks), 'Rank a larger dataset.')
    if size > largest:
        get_root_logger().warning(f'Groups of {largest} images instead of {size}: the ranking has {len(ranks)}.')
    with under('--'):
        rows = {
            'Top': choose(ranks, 'top', size=min(size, largest)),
            'Mid': choose(ranks, 'mid', size=min(size, largest)),
            'Bottom': choose(ranks, 'bottom', size=min(size, largest)),
        }
    return {name: sorted(chosen, key=ranks.__getitem__) for name, chosen in rows.items()}


def read_clean(dataset: SampleDataset, index: int) -> np.ndarray:
    """The clean image of a sample: (H, W, 3) RGB or (H, W) grey, float32, [0, 1]."""
    sample = read_item(dataset, index)
    image = sample.get('gt')
    if image is None or image.ndim != 3 or image.shape[0] not in (1, 3):
        shape = None if image is None else tuple(image.shape)
        raise DataError(
            sample.get('gt_path', 'a sample'),
            'gt of 1 or 3 channels (C, H, W)',
            shape,
            'Choose a dataset that gives such images.',
        )
    return for_display(as_array(image))


# ---- what is looked at ----


@dataclass(frozen=True)
class Place:
    """Where an image stands.

    Attributes:
        index: in the dataset.
        item: of the manifest.
        rank: from 1.
        score: what it was ranked by.
    """

    index: int
    item: Item
    rank: int
    score: float


def _look_at(
    name: str, images: Sequence[Place], dataset: SampleDataset, progress: Progress
) -> tuple[Group, Values, list[Sizes]]:
    """Read the images of a group once, one at a time, by rank."""
    values: Values = {criterion: [] for criterion in CRITERIA}
    mean_spectrum = np.zeros((MEAN_SPECTRUM, MEAN_SPECTRUM))
    places = spread_to_ends(SHOWN, len(images))
    at_example = {'Top': 0, 'Mid': (len(images) - 1) // 2, 'Bottom': len(images) - 1}[name]
    shown, sizes = [], []
    for place, image in enumerate(images):
        pixels = read_clean(dataset, image.index)
        grey = rgb_to_grey(pixels)
        picture = spectrum_picture(grey)
        measured = (calculate_mgvg(255 * grey), hfapi(picture), lfapi(picture))
        for criterion, value in zip(CRITERIA, measured, strict=True):
            values[criterion].append(value)
        mean_spectrum += cv2.resize(picture, mean_spectrum.shape, interpolation=cv2.INTER_AREA) / len(images)
        if place in places:
            shown.append(Shown(reduced(pixels, THUMBNAIL), image.rank, image.score, image.item.path))
            sizes.append(((grey.shape[0], grey.shape[1]), (image.item.height, image.item.width)))
        if place == at_example:
            example = Shown(reduced(pixels, EXAMPLE), image.rank, image.score, image.item.path)
            spectrum = reduced(picture, EXAMPLE)
        progress.update()
    ranks, scores = [image.rank for image in images], [image.score for image in images]
    return Group(name, ranks, scores, shown, example, spectrum, mean_spectrum), values, sizes
