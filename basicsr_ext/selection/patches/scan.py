"""The patches of a dataset, measured image by image: in parts that can be shared out, stopped and continued."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from basicsr_ext.errors import DataError, ImageError
from basicsr_ext.runtime.unit_files import UnitFiles
from basicsr_ext.selection.manifest import Item
from basicsr_ext.selection.patches.criteria import CRITERIA, PatchGrid, PatchImage
from basicsr_ext.selection.patches.settings import MineSettings

UNIT = 16  # images whose patches are written down together

POSITION = ('image', 'y', 'x', 'size')

Columns = dict[str, np.ndarray]  # the position and the criteria; one row per patch


class Images(Protocol):
    """The source of the images, by their index."""

    def clean(self, index: int) -> np.ndarray:
        """The clean image, (H, W, C), uint8, or float32 on the same scale."""

    def pair(self, index: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Input and clean image, (C, H, W) in [0, 1], and the clean image as in `clean`."""


class PairCriterion(Protocol):
    """What a network says of the patches of a pair of images."""

    def __call__(self, lq: Tensor, gt: Tensor, grid: PatchGrid) -> np.ndarray:
        """A value for each patch, (patches,) float64; lq and gt are (C, H, W) in [0, 1], the grid is of gt."""

    def check(self, lq: Tensor, gt: Tensor, grid: PatchGrid) -> None:
        """Raise OptionError where the network does not fit such a pair."""


@dataclass(frozen=True)
class Measured:
    """The measurements of an image, as a worker hands them over.

    Attributes:
        grid: of its patches.
        columns: all but those of networks.
        pair: input and clean image, where a network has to see them.
    """

    grid: PatchGrid
    columns: Columns
    pair: tuple[Tensor, Tensor] | None


class UnitReader(Dataset[list[Measured | DataError]]):
    """Reads and measures a unit of images; one that cannot be used gives the error, whole and out of a worker too.

    Args:
        images: where they are read.
        items: of the images.
        settings: the block `mine`.
        seed: of `random`.
        scale: of the input; clean images are cut to a multiple of it.

    Attributes:
        fit: the images that can have patches by their headers, ascending.
        units: these in the order of their names, in parts.
    """

    def __init__(self, images: Images, items: Sequence[Item], settings: MineSettings, seed: int, scale: int) -> None:
        self.images, self.items, self.settings, self.seed, self.scale = images, items, settings, seed, scale
        fit = [index for index, item in enumerate(items) if unfit(item.height, item.width, settings.patch_size) is None]
        self.fit, fit = fit, sorted(fit, key=lambda index: items[index].name)
        # Whole pairs wait for the network: one at a time.
        step = 1 if settings.of_networks else UNIT
        self.units = [fit[start : start + step] for start in range(0, len(fit), step)]

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, unit: int) -> list[Measured | DataError]:
        found: list[Measured | DataError] = []
        for index in self.units[unit]:
            try:
                found.append(self._measure(index))
            except DataError as error:
                found.append(error)
        return found

    def _measure(self, index: int) -> Measured:
        settings, pair = self.settings, None
        if settings.of_networks:
            lq, gt, image = self.images.pair(index)
            pair = lq, gt
            if tuple(gt.shape[1:]) != tuple(side * self.scale for side in lq.shape[1:]):
                raise ImageError(
                    self.items[index].path,
                    f'gt {self.scale} times as large as lq',
                    f'{tuple(gt.shape[1:])} and {tuple(lq.shape[1:])}',
                    'Make the pair again or correct scale.',
                )
        else:
            image = self.images.clean(index)
        height, width = (side - side % self.scale for side in image.shape[:2])
        problem = unfit(height, width, settings.patch_size)
        if problem is not None:
            raise ImageError(self.items[index].path, 'an image to cut patches from', problem, 'Replace or remove it.')
        grid = PatchGrid(height, width, settings.patch_size, settings.stride, settings.edge)
        patches = PatchImage(image[:height, :width], grid)
        y, x = grid.corners()
        columns = {'image': np.full(len(y), index), 'y': y, 'x': x, 'size': np.full(len(y), grid.size)}
        for name in settings.criteria:
            if name in CRITERIA:
                columns[name] = CRITERIA[name](patches)
        if 'random' in settings.criteria:
            columns['random'] = self._random(index, len(y))
        return Measured(grid, columns, pair)

    def _random(self, index: int, number: int) -> np.ndarray:
        return np.random.default_rng((self.seed, zlib.crc32(self.items[index].name.encode()))).random(number)


def unfit(height: int, width: int, patch_size: int) -> str | None:
    """The reason why no patch can be cut from an image; None if one can."""
    if not height:
        return 'damaged'
    return f'{height} x {width}, smaller than a patch' if min(height, width) < patch_size else None


class PatchScan:
    """Measure all patches; every unit of images becomes a file in a folder.

    Args:
        reader: of the units.
        folder: for the files of finished units.
        by_networks: the criteria that networks measure, by their columns.
    """

    def __init__(
        self, reader: UnitReader, folder: Path, by_networks: Mapping[str, PairCriterion] | None = None
    ) -> None:
        self.reader, self.by_networks = reader, by_networks or {}
        self.files = UnitFiles(folder, reader.units)
        self.names = [*POSITION, *reader.settings.criteria]

    def run(self) -> None:
        """Compute what is missing of this rank's part.

        Raises:
            Interrupted: a stop was asked for; what is finished is written down.
            DataError: a damaged image, where these are refused.
        """
        self.files.compute(self.reader, self._rows, self.reader.settings.workers, 'mine')

    def check_network(self) -> None:
        """Try the networks, if there are any, on the first unit.

        Raises:
            OptionError: one does not fit the images.
        """
        if not self.by_networks:
            return
        for image in self.reader[0]:
            if isinstance(image, Measured) and image.pair is not None:
                for criterion in self.by_networks.values():
                    criterion.check(*image.pair, image.grid)

    def try_first(self) -> None:
        """Measure the first unit, and forget it.

        Raises:
            DataError: images that cannot be used.
        """
        self._usable(self.reader[0])

    def _usable(self, images: Sequence[Measured | DataError]) -> list[Columns]:
        skipped = ImageError if self.reader.settings.bad_images == 'skip' else ()
        for image in images:
            if isinstance(image, DataError) and not isinstance(image, skipped):
                raise image
        return [self._by_networks(image) for image in images if isinstance(image, Measured)]

    def _by_networks(self, image: Measured) -> Columns:
        columns = dict(image.columns)
        if image.pair is not None:
            for name, criterion in self.by_networks.items():
                columns[name] = criterion(*image.pair, image.grid)
                if not np.isfinite(columns[name]).all():
                    path = self.reader.items[image.columns['image'][0]].path
                    raise DataError(path, f'finite values of {name} by the network', 'others', 'Check its weights.')
        return columns

    def _rows(self, images: Sequence[Measured | DataError]) -> np.ndarray:
        """The columns of a unit, (columns, patches)."""
        usable = self._usable(images)
        return np.stack([np.concatenate([np.empty(0), *(image[name] for image in usable)]) for name in self.names])

    def used(self) -> list[int]:
        """The images that have patches, when all units are computed, in the order of their patches."""
        return [index for part in self.parts() for index in dict.fromkeys(part['image'].tolist())]

    def parts(self) -> Iterator[Columns]:
        """The columns of all units, in the order of the images' paths, when all units are computed."""
        for unit in range(len(self.reader)):
            columns = dict(zip(self.names, self.files.read(unit), strict=True))
            yield {**columns, **{name: columns[name].astype(np.int64) for name in POSITION}}
