"""The images of a dataset in batches that do not depend on who works on them: units of work."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from basicsr_ext.errors import DataError
from basicsr_ext.runtime.workers import loader
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.selection.influence.drawn_tiles import draw


@dataclass(frozen=True)
class Batch:
    """Images, or tiles of them, of one size.

    Attributes:
        lq: (N, C, H, W), [0, 1].
        gt: (N, C', H' scale, W' scale), [0, 1]; of a tile with margins the part within.
        images: (N,), the index in the dataset of the image that each row shows.
        weights: (N,), 1 for a whole image, of a tile its part of the image.
        corner: where `gt` begins in what the network makes of `lq`, y and x.
    """

    lq: Tensor
    gt: Tensor
    images: Tensor
    weights: Tensor
    corner: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, tile: 'Tile') -> 'Batch':
        """One tile, with weight 1, of image 0."""
        return cls(tile.lq[None], tile.gt[None], torch.zeros(1, dtype=torch.long), torch.ones(1), tile.corner)

    def within(self, output: Tensor) -> Tensor:
        """The part of an output, (N, C', H scale, W scale), that `gt` stands for."""
        top, left = self.corner
        return output[..., top : top + self.gt.shape[-2], left : left + self.gt.shape[-1]]

    def to(self, device: torch.device | str) -> 'Batch':
        """The batch on a device; the indices stay where they are."""
        lq, gt, weights = (t.to(device, non_blocking=True) for t in (self.lq, self.gt, self.weights))
        return Batch(lq, gt, self.images, weights, self.corner)

    def row(self, number: int) -> 'Batch':
        """One row, with weight 1."""
        rows = slice(number, number + 1)
        weights = torch.ones_like(self.weights[rows])
        return Batch(self.lq[rows], self.gt[rows], self.images[rows], weights, self.corner)


@dataclass(frozen=True)
class Tiling:
    """How large images are cut, so that memory does not grow with them.

    Attributes:
        side: of a tile, in pixels of the input.
        margin: that the network sees around each tile, in pixels of the input: where it is as wide as the network
            looks, results are those of whole images. None cuts tiles without margins, which cover the image evenly and
            overlap where the side does not divide it.
        above: images of at most so many pixels of the input are not cut.
    """

    side: int
    margin: int | None = None
    above: int = 0


class ImageBatches:
    """Unit u of a dataset holds the images u * batch_size ... (u + 1) * batch_size - 1.

    The unit is what is computed, shared out between processes and repeated after a stop: its batches are the same
    whoever asks for it, so that results do not depend on that.

    Args:
        dataset: gives dicts with `lq` and `gt`, the same at every call.
        batch_size: images of a unit, and rows of a batch at most.
        tiling: how images are cut; a number is the side in pixels of `gt` of tiles without margins, None takes whole
            images.
        num_workers: processes that decode.
        tiles_per_image: how many tiles, drawn at random, stand for an image of more; None takes all.
        seed: of the draw, which depends on it, the image and the number of the draw alone.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        batch_size: int,
        tiling: Tiling | int | None = None,
        num_workers: int = 0,
        tiles_per_image: int | None = None,
        seed: int = 0,
    ) -> None:
        self.dataset, self.batch_size, self.tiling, self.num_workers = dataset, batch_size, tiling, num_workers
        self.tiles_per_image, self.seed, self.number = tiles_per_image, seed, 0
        self.images = len(dataset)

    def drawn_again(self, number: int) -> 'ImageBatches':
        """The same images with tiles of another draw, from 1 on; an image that `tiles_per_image` covers has none."""
        again = copy(self)
        again.number = number
        return again

    def units(self, images: Sequence[int] | None = None) -> list[list[int]]:
        """All units, or those of a selection of images."""
        chosen = range(self.images) if images is None else images
        return [list(chosen[start : start + self.batch_size]) for start in range(0, len(chosen), self.batch_size)]

    def load(self, units: Sequence[list[int]]) -> Iterator[list[Batch]]:
        """The batches of each unit, in the order given.

        Raises:
            DataError: a sample without `gt`, or of sizes that do not belong together.
        """
        read = loader(self.dataset, self.num_workers, batch_sampler=units, collate_fn=list)
        for unit, samples in zip(units, read, strict=True):
            yield self._batches(unit, samples)

    def _batches(self, unit: list[int], samples: list[Sample]) -> list[Batch]:
        rows: dict[tuple[int, ...], list[tuple[Tile, int]]] = {}
        for index, sample in zip(unit, samples, strict=True):
            for tile in self._tiles(index, sample):
                rows.setdefault((*tile.lq.shape, *tile.gt.shape, *tile.corner), []).append((tile, index))
        batches = []
        for group in rows.values():
            for start in range(0, len(group), self.batch_size):
                tiles, images = zip(*group[start : start + self.batch_size], strict=True)
                lq, gt = (torch.stack([getattr(tile, kind) for tile in tiles]) for kind in ('lq', 'gt'))
                weights = torch.tensor([tile.weight for tile in tiles])
                batches.append(Batch(lq, gt, torch.tensor(images), weights, tiles[0].corner))
        return batches

    def _tiles(self, index: int, sample: Sample) -> list['Tile']:
        tiles = list(tiles_of(*_pair(sample), self.tiling))
        if self.tiles_per_image is None or len(tiles) <= self.tiles_per_image:
            return [] if self.number else tiles
        generator = np.random.default_rng([self.seed, index, *([self.number] if self.number else [])])
        drawn = draw([tile.weight for tile in tiles], self.tiles_per_image, generator)
        return [tiles[place]._replace(weight=weight) for place, weight in drawn.items()]


class Tile(NamedTuple):
    """A part of a pair.

    Attributes:
        lq, gt, corner: as in a batch, without its first dimension.
        weight: its part of the image.
        place: where `gt` begins in the clean image, y and x.
    """

    lq: Tensor
    gt: Tensor
    weight: float
    corner: tuple[int, int]
    place: tuple[int, int]


def _pair(sample: Sample) -> tuple[Tensor, Tensor]:
    lq, gt = sample['lq'], sample.get('gt')
    where = sample.get('gt_path', sample.get('lq_path', 'a sample'))
    if gt is None:
        raise DataError(where, 'ground truth to rank with', 'none', 'Choose a dataset that gives gt.')
    if gt.shape[-2] % lq.shape[-2] or gt.shape[-2] * lq.shape[-1] != gt.shape[-1] * lq.shape[-2]:
        raise DataError(
            where,
            'gt a whole number of times as large as lq',
            f'{tuple(gt.shape)} and {tuple(lq.shape)}',
            'Correct the pair.',
        )
    return lq, gt


def tiles_of(lq: Tensor, gt: Tensor, tiling: Tiling | int | None) -> Iterator[Tile]:
    """Cut a pair.

    Args:
        lq: (C, H, W).
        gt: (C', H scale, W scale).
        tiling: as for `ImageBatches`.
    """
    scale = gt.shape[-1] // lq.shape[-1]
    height, width = lq.shape[-2:]
    if isinstance(tiling, int):
        tiling = Tiling(max(1, tiling // scale))
    if tiling is None or height * width <= tiling.above:
        tiling = Tiling(max(height, width))
    side, margin = tiling.side, tiling.margin
    if margin is None:
        starts = tile_starts(height, side), tile_starts(width, side)
    else:
        starts = list(range(0, height, side)), list(range(0, width, side))
    for top, left in product(*starts):
        bottom, right = min(top + side, height), min(left + side, width)
        above, before = (min(start, margin or 0) for start in (top, left))
        part = (bottom - top) * (right - left) / (height * width)
        yield Tile(
            lq[..., top - above : bottom + (margin or 0), left - before : right + (margin or 0)],
            gt[..., top * scale : bottom * scale, left * scale : right * scale],
            1 / (len(starts[0]) * len(starts[1])) if margin is None else part,
            (above * scale, before * scale),
            (top * scale, left * scale),
        )


def tile_starts(length: int, side: int) -> list[int]:
    """Offsets of the fewest tiles that cover a length, evenly spread."""
    number = -(-length // side)
    return [round(place * (length - side) / (number - 1)) for place in range(number)] if number > 1 else [0]
