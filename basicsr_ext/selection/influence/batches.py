"""The images of a dataset in batches that do not depend on who works on them: units of work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from basicsr_ext.errors import DataError
from basicsr_ext.runtime.workers import loader
from basicsr_ext.schedule.sample import Sample, SampleDataset


@dataclass(frozen=True)
class Batch:
    """Images, or tiles of them, of one size.

    Attributes:
        lq: (N, C, H, W), [0, 1].
        gt: (N, C', H scale, W scale), [0, 1].
        images: (N,), the index in the dataset of the image that each row shows.
        weights: (N,), 1 for a whole image, 1 / T for each of T tiles.
    """

    lq: Tensor
    gt: Tensor
    images: Tensor
    weights: Tensor

    def to(self, device: torch.device | str) -> 'Batch':
        """The batch on a device; the indices stay where they are."""
        lq, gt, weights = (t.to(device, non_blocking=True) for t in (self.lq, self.gt, self.weights))
        return Batch(lq, gt, self.images, weights)

    def row(self, number: int) -> 'Batch':
        """One row, with weight 1."""
        rows = slice(number, number + 1)
        return Batch(self.lq[rows], self.gt[rows], self.images[rows], torch.ones_like(self.weights[rows]))


class ImageBatches:
    """Unit u of a dataset holds the images u * batch_size ... (u + 1) * batch_size - 1.

    The unit is what is computed, shared out between processes and repeated after a stop: its batches are the same
    whoever asks for it, so that results do not depend on that.

    Args:
        dataset: gives dicts with `lq` and `gt`, the same at every call.
        batch_size: images of a unit, and rows of a batch at most.
        tile_size: side in pixels of `gt` of the tiles that large images are cut into; None takes whole images. Tiles
            cover the image evenly and overlap where the tile does not divide it; sides shorter than a tile are not cut.
        num_workers: processes that decode.
    """

    def __init__(
        self, dataset: SampleDataset, batch_size: int, tile_size: int | None = None, num_workers: int = 0
    ) -> None:
        self.dataset, self.batch_size, self.tile_size, self.num_workers = dataset, batch_size, tile_size, num_workers
        self.images = len(dataset)

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
        rows: dict[tuple[int, ...], list[tuple[Tensor, Tensor, int, float]]] = {}
        for index, sample in zip(unit, samples, strict=True):
            lq, gt = _pair(sample)
            tiles = list(_tiles(lq, gt, self.tile_size))
            for lq_tile, gt_tile in tiles:
                rows.setdefault(tuple(gt_tile.shape), []).append((lq_tile, gt_tile, index, 1 / len(tiles)))
        batches = []
        for group in rows.values():
            for start in range(0, len(group), self.batch_size):
                lqs, gts, images, weights = zip(*group[start : start + self.batch_size], strict=True)
                batch = Batch(torch.stack(lqs), torch.stack(gts), torch.tensor(images), torch.tensor(weights))
                batches.append(batch)
        return batches


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


def _tiles(lq: Tensor, gt: Tensor, size: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    scale = gt.shape[-1] // lq.shape[-1]
    height, width = lq.shape[-2:]
    side = max(height, width) if size is None else max(1, size // scale)
    for top in tile_starts(height, side):
        for left in tile_starts(width, side):
            low = lq[..., top : top + side, left : left + side]
            high = gt[..., top * scale : (top + side) * scale, left * scale : (left + side) * scale]
            yield low, high


def tile_starts(length: int, side: int) -> list[int]:
    """Offsets of the fewest tiles that cover a length, evenly spread."""
    number = -(-length // side)
    return [round(place * (length - side) / (number - 1)) for place in range(number)] if number > 1 else [0]
