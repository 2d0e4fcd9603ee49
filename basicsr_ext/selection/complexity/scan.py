"""The complexity of the images of a dataset, one after another: in units that can be shared out, stopped, continued."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from basicsr_ext.errors import DataError, OptionError, first_line
from basicsr_ext.images.pixels import bgr_8bit, bgr_to_grey, levels_to_8bit, thumbnail
from basicsr_ext.runtime.unit_files import UnitFiles, in_units
from basicsr_ext.selection.complexity.criteria import CRITERIA
from basicsr_ext.selection.complexity.networks import SIDE, Restoration, Scorer
from basicsr_ext.selection.complexity.settings import ComplexitySettings

UNIT = 32  # images whose values are written down together

Measured = float | Tensor  # the value itself, or what a network has to see
Unit = list[Measured] | DataError


class Images(Protocol):
    """The source of the images, by their index."""

    def grey(self, index: int) -> np.ndarray:
        """The clean image in grey, (H, W), uint8."""

    def clean(self, index: int) -> np.ndarray:
        """The clean image, (H, W, C) in OpenCV's order, uint8, or float32 on the same scale."""

    def pair(self, index: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Input and clean image, (C, H, W) in [0, 1], and the clean image as in `clean`."""


class ComplexityReader(Dataset[Unit]):
    """Reads a unit of images and measures them as far as no network is needed.

    An image that cannot be used gives the error, whole and out of a worker too.

    Args:
        images: where they are read.
        number: of the images.
        settings: the block `rank`.
        side: pixels of a side of what the scorer sees.
    """

    def __init__(self, images: Images, number: int, settings: ComplexitySettings, side: int = SIDE) -> None:
        self.images, self.settings, self.side = images, settings, side
        step = settings.batch_size if settings.criterion == 'scorer' else UNIT
        if settings.source == 'restored':
            step = 1  # whole images wait for the network
        self.units = in_units(number, step)

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, unit: int) -> Unit:
        try:
            return [self._read(index) for index in self.units[unit]]
        except DataError as error:
            return error

    def _read(self, index: int) -> Measured:
        settings = self.settings
        if settings.source == 'gt':
            if settings.criterion == 'scorer':
                return thumbnail(levels_to_8bit(self.images.clean(index)), self.side)
            return CRITERIA[settings.criterion](self.images.grey(index))
        lq = self.images.pair(index)[0]
        return lq if settings.source == 'restored' else self.measure(lq)

    def measure(self, tensor: Tensor) -> Measured:
        """The criterion of a degraded or restored image, (C, H, W) in [0, 1]; what the scorer sees, if it does."""
        image = bgr_8bit(tensor)
        if self.settings.criterion == 'scorer':
            return thumbnail(image, self.side)
        return CRITERIA[self.settings.criterion](bgr_to_grey(image))


class ComplexityScan:
    """Measure all images; every unit becomes a file in a folder.

    Args:
        reader: of the units.
        folder: for the files of finished units.
        restoration: the network of the source `restored`; None with another one.
        scorer: the network of the criterion `scorer`; None with another one.
    """

    def __init__(
        self,
        reader: ComplexityReader,
        folder: Path,
        restoration: Restoration | None = None,
        scorer: Scorer | None = None,
    ) -> None:
        self.reader, self.restoration, self.scorer = reader, restoration, scorer
        self.files = UnitFiles(folder, reader.units)

    def run(self) -> None:
        """Compute what is missing of this rank's part.

        Raises:
            Interrupted: a stop was asked for; what is finished is written down.
            DataError: a damaged image, or values of a network that are not finite.
        """
        self.files.compute(self.reader, self._values, self.reader.settings.workers, 'rank')

    def values(self) -> np.ndarray:
        """The values of all images in their order, (n,), when all units are computed."""
        return np.concatenate([self.files.read(unit) for unit in range(len(self.reader))])

    def try_first(self) -> None:
        """Measure the first unit, and forget it.

        Raises:
            DataError, OptionError: images that cannot be used, a network that does not fit them.
        """
        try:
            self._values(self.reader[0])
        except RuntimeError as error:
            raise OptionError(
                'network_g, network_scorer',
                'networks that take the images',
                first_line(error),
                'Correct them or color of the dataset.',
            ) from error

    def _values(self, unit: Unit) -> np.ndarray:
        if isinstance(unit, DataError):
            raise unit
        if self.restoration is not None:
            unit = [self.reader.measure(self.restoration(lq)) for lq in unit if isinstance(lq, Tensor)]
        if self.scorer is None:
            return np.array(unit)
        values = self.scorer(torch.stack([seen for seen in unit if isinstance(seen, Tensor)]))
        if not np.isfinite(values).all():
            raise DataError('network_scorer', 'finite scores', 'others', 'Check the weights.')
        return values
