"""The page of a test."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from basicsr_ext.data.image_names import result_names
from basicsr_ext.data.read_item import read_item
from basicsr_ext.reports.asked import asked_of
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Paragraph, Part, Picture, Section, Table, write_page
from basicsr_ext.reports.thumbnails import as_picture, displayed, shown_at
from basicsr_ext.schedule.sample import SampleDataset

LISTED, SHOWN = 5, 3  # of the worst images of a data set, in the table and in pictures
SIDE = 160  # of the part of an image that is shown, in pixels

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Tested:
    """What was tested.

    Attributes:
        asked: the options as they stand in the option file.
        datasets: the test sets.
        saved_at: the file of a restored image, by the name of its data set and its own.
    """

    asked: Mapping[str, Any]
    datasets: Sequence[SampleDataset]
    saved_at: Callable[[str, str], Path]

    def __call__(self, result: Path, page: Path) -> None:
        """Write the means of each test set and its worst images.

        Args:
            result: `metrics.json`.
            page: the file.

        Raises:
            DataError: an image is no longer there.
        """
        content: dict[str, Any] = json.loads(result.read_text(encoding='utf-8'))
        images = content.pop('per_image')
        names = list(dict.fromkeys(metric for means in content.values() for metric in means))
        rows = [[name, *(_number(means.get(metric)) for metric in names)] for name, means in content.items()]
        first = [f'{name}: {_first(means)}' for name, means in content.items() if means]
        lead = f'{", ".join(first)}.' if first else 'The images are restored; nothing is measured.'
        sections = [Section('Means', [Table(['data set', *names], rows)])]
        sections += [self._worst(dataset, images[dataset.opt['name']]) for dataset in self.datasets]
        write_page(page, title_of('test', result.parent.name), lead, asked_of(self.asked), sections)

    def _worst(self, dataset: SampleDataset, images: Mapping[str, Values]) -> Section:
        name, metrics = dataset.opt['name'], (self.asked.get('val') or {}).get('metrics') or {}
        metric = next((metric for metric in metrics if metric in next(iter(images.values()), {})), None)
        if metric is None:
            return Section(name, [Paragraph('No values of single images.')])
        worst = worst_first(images, metric, metrics[metric].get('better') == 'lower')
        heads = list(images[worst[0]])
        rows = [[image, *(_number(images[image].get(head)) for head in heads)] for image in worst[:LISTED]]
        caption = f'The worst of {len(images)} images by {metric}.'
        pictures = self._pictures(dataset, {image: images[image].get(metric) for image in worst[:SHOWN]}, metric)
        return Section(name, [Table(['image', *heads], rows, caption), *pictures])

    def _pictures(self, dataset: SampleDataset, images: Values, metric: str) -> list[Part]:
        """Of the images that were saved, where each differs most from the truth."""
        saved = {image: self.saved_at(dataset.opt['name'], image) for image in images}
        names = result_names(dataset) if any(path.is_file() for path in saved.values()) else None
        index_of = {name: index for index, name in enumerate(names or ())}
        pictures = []
        for image, value in images.items():
            if image in index_of and saved[image].is_file():
                sample = read_item(dataset, index_of[image])
                text = f'{image}, {metric} {_number(value)}: input, result'
                picture = _strip(sample, shown_at(saved[image]), text)
                pictures += [] if picture is None else [picture]
        return list(pictures)


def _strip(sample: Mapping[str, Any], result: np.ndarray, text: str) -> Picture | None:
    """Input, result and truth of a part of an image side by side; None for what are no images (H, W)."""
    height, width = result.shape[:2]
    gt = sample.get('gt')
    if sample['lq'].ndim != 3 or (gt is not None and gt.shape[-2:] != (height, width)):
        return None
    lq = cv2.resize(displayed(sample['lq']), (width, height), interpolation=cv2.INTER_NEAREST)
    parts, top, left = [lq, result], max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    if gt is not None:
        parts, text = [*parts, displayed(gt)], f'{text} and truth where they differ most'
        top, left = where_they_differ(_in_colour(result), _in_colour(parts[-1]))
    cut = [_in_colour(part)[top : top + SIDE, left : left + SIDE] for part in parts]
    return as_picture(np.concatenate(cut, 1), text)


def _in_colour(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)


def where_they_differ(image: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Top and left of the square of `SIDE` pixels, or what the image has of it, with the largest squared error.

    Args:
        image, truth: (H, W, 3).
    """
    error = np.square(image - truth).sum(2)
    sums = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(SIDE, side) for side in error.shape)
    squares = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(squares.argmax(), squares.shape)
    return int(top), int(left)


def worst_first(images: Mapping[str, Values], metric: str, lower_is_better: bool) -> list[str]:
    """The names of the images by a metric, those without a number at the beginning."""

    def goodness(image: str) -> float:
        value = images[image].get(metric)
        return -math.inf if value is None else (-value if lower_is_better else value)

    return sorted(images, key=goodness)


def _first(means: Values) -> str:
    metric, value = next(iter(means.items()))
    return f'{metric} {_number(value)}'


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'
