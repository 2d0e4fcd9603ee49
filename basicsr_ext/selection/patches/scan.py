"""The patches of a dataset, measured image by image: in parts that can be shared out, stopped and continued."""

import zlib
from collections.abc import Iterator, Sequence
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
from basicsr_ext.selection.patches.losses import PatchLosses
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


@dataclass(frozen=True)
class Measured:
    """The measurements of an image, as a worker hands them over.

    Attributes:
        grid: of its patches.
        columns: all but `loss`.
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
    """

    def __init__(self, images: Images, items: Sequence[Item], settings: MineSettings, seed: int, scale: int) -> None:
        self.images, self.items, self.settings, self.seed, self.scale = images, items, settings, seed, scale
        fit = [index for index, item in enumerate(items) if unfit(item.height, item.width, settings.patch_size) is None]
        fit.sort(key=lambda index: items[index].name)
        # Whole pairs wait for the network of `loss`: one at a time.
        step = 1 if 'loss' in settings.criteria else UNIT
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
        if 'loss' in settings.criteria:
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
        losses: the network of `loss`; None where it is not asked for.
    """

    def __init__(self, reader: UnitReader, folder: Path, losses: PatchLosses | None = None) -> None:
        self.reader, self.losses = reader, losses
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
        """Try the network of `loss`, if there is one, on a patch of the first unit.

        Raises:
            OptionError: it does not fit the images.
        """
        if self.losses is None:
            return
        for image in self.reader[0]:
            if isinstance(image, Measured) and image.pair is not None:
                self.losses.check(*image.pair, image.grid)

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
        return [self._with_loss(image) for image in images if isinstance(image, Measured)]

    def _with_loss(self, image: Measured) -> Columns:
        if image.pair is None or self.losses is None:
            return image.columns
        losses = self.losses(*image.pair, image.grid)
        if not np.isfinite(losses).all():
            name = self.reader.items[image.columns['image'][0]].path
            raise DataError(name, 'finite losses of the network', 'others', 'Check its weights.')
        return {**image.columns, 'loss': losses}

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
