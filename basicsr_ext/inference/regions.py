"""Cut images into regions of one size and put them together again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

import torch
from torch import Tensor

Place = tuple[int, int, int]  # image of the batch, row and column of the grid


@dataclass(frozen=True)
class Partition:
    """Spans of equal size that cover a side, evenly spread.

    Attributes:
        length: of the side, in pixels.
        size: of a span.
        starts: of the spans, the first 0, the last `length - size`, neighbours without a gap between them.
    """

    length: int
    size: int
    starts: tuple[int, ...]

    @classmethod
    def by_number(cls, length: int, number: int, overlap: int) -> 'Partition':
        """The smallest spans, `number` of them, of which neighbours share `overlap` pixels or more.

        Where the side is too short for that, there are fewer.
        """
        number = min(number, length)
        return cls._spread(length, min(length, -(-(length + (number - 1) * overlap) // number)), number)

    @classmethod
    def by_size(cls, length: int, size: int, overlap: int) -> 'Partition':
        """The fewest spans of `size` pixels of which neighbours share `overlap` pixels or more.

        Where the side is shorter than a span, it is the span.
        """
        size = min(size, length)
        return cls._spread(length, size, 1 if size == length else -(-(length - overlap) // (size - overlap)))

    @classmethod
    def _spread(cls, length: int, size: int, number: int) -> 'Partition':
        if size == length:
            return cls(length, size, (0,))
        starts = (index * (length - size) // (number - 1) for index in range(number))
        return cls(length, size, tuple(dict.fromkeys(starts)))

    def scaled(self, scale: int) -> 'Partition':
        """The same of an enlarged image."""
        return Partition(self.length * scale, self.size * scale, tuple(start * scale for start in self.starts))

    def weights(self) -> Tensor:
        """The weight of each pixel of a span: spans x size, float64; the weights of a pixel of the side add up to 1.

        Where two spans overlap the first one fades out linearly and the second one fades in. A span counts as much as
        it has faded in and its successor has not, so that the sum is 1 for more than two as well.
        """
        starts = torch.tensor(self.starts, dtype=torch.float64)[:, None]
        ends, pixels = starts + self.size, starts + torch.arange(self.size) + 0.5
        faded_in, successor = torch.ones_like(pixels), torch.zeros_like(pixels)
        faded_in[1:] = ((pixels[1:] - starts[1:]) / (ends[:-1] - starts[1:])).clamp(0, 1)
        successor[:-1] = ((pixels[:-1] - starts[1:]) / (ends[:-1] - starts[1:])).clamp(0, 1)
        return faded_in - successor

    def borders(self) -> list[float]:
        """The places where a span begins to count more than the one before: 0, middles of overlaps, `length`."""
        middles = (
            (start + before + self.size) / 2 for before, start in zip(self.starts, self.starts[1:], strict=False)
        )
        return [0, *middles, self.length]


@dataclass(frozen=True)
class RegionGrid:
    """Regions of an image: one for each row and column.

    Attributes:
        rows: spans of the height.
        columns: spans of the width.
    """

    rows: Partition
    columns: Partition

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return len(self.rows.starts), len(self.columns.starts)

    @property
    def region_size(self) -> tuple[int, int]:
        """Height and width of a region, in pixels."""
        return self.rows.size, self.columns.size

    def scaled(self, scale: int) -> 'RegionGrid':
        """The same of an enlarged image."""
        return RegionGrid(self.rows.scaled(scale), self.columns.scaled(scale))

    def batches(self, images: int, limit: int) -> Iterator[list[Place]]:
        """All regions of a number of images, as many at a time as have `limit` pixels together, at least one."""
        height, width = self.region_size
        rows, columns = self.shape
        places = product(range(images), range(rows), range(columns))
        while batch := list(islice(places, max(1, limit // (height * width)))):
            yield batch

    def cut(self, images: Tensor, places: Sequence[Place]) -> Tensor:
        """Regions of N x C x H x W; returns places x C x h x w."""
        return torch.stack([self._at(images, place) for place in places])

    def add(self, total: Tensor, regions: Tensor, places: Sequence[Place]) -> None:
        """Add weighted regions to images in place; when all are added to zeros, the images are blended.

        Args:
            total: N x C x H x W.
            regions: places x C x h x w.
            places: of the regions.
        """
        down, across = (side.weights().to(total) for side in (self.rows, self.columns))
        for region, place in zip(regions, places, strict=True):
            _, row, column = place
            self._at(total, place).add_(region * down[row][:, None] * across[column])

    def _at(self, images: Tensor, place: Place) -> Tensor:
        image, row, column = place
        top, left = self.rows.starts[row], self.columns.starts[column]
        return images[image, :, top : top + self.rows.size, left : left + self.columns.size]
