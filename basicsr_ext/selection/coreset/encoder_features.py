"""Features of whole images by an encoder, in units that can be shared out, stopped and continued."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.networks.encoder import Images, encode
from basicsr_ext.networks.fits import try_network
from basicsr_ext.runtime.unit_files import UnitFiles, in_units

UNIT = 8  # images whose features are written down together


def standardised(features: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Features less the mean of a pool, in units of its spread; those that do not vary in it are left out.

    Args:
        features: (m, d).
        pool: (n, d).
    """
    mean, spread = pool.mean(0), pool.std(0)
    kept = spread > 0
    scaled: np.ndarray = (features - mean)[:, kept] / spread[kept]
    return scaled


class _Units(Dataset[list[Tensor] | DataError]):
    def __init__(self, images: Images) -> None:
        self.images = images
        self.units = in_units(len(images), UNIT)

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, unit: int) -> list[Tensor] | DataError:
        try:
            return [self.images[index] for index in self.units[unit]]
        except DataError as error:
            return error


class EncoderScan:
    """Mean and standard deviation over the places of each channel of an encoder, for every image.

    Args:
        images: C x H x W, RGB or grey, [0, 1].
        encoder: has `features`; on its device.
        folder: for the files of finished units.
        title: of the progress bar.
        device: of the encoder.
        workers: processes that read.
    """

    def __init__(
        self, images: Images, encoder: nn.Module, folder: Path, title: str, device: torch.device, workers: int = 0
    ) -> None:
        self.reader, self.encoder, self.device, self.workers = _Units(images), encoder, device, workers
        self.files, self.title = UnitFiles(folder, self.reader.units), title

    def values(self) -> np.ndarray:
        """The features of all images, (n, 2 C) float64.

        Raises:
            Interrupted: a stop was asked for; what is finished is written down.
            DataError: a damaged image.
        """
        self.files.compute(self.reader, self._values, self.workers, self.title)
        return np.concatenate([self.files.read(unit) for unit in range(len(self.reader))])

    def try_first(self) -> None:
        """Encode the first image.

        Raises:
            OptionError: the encoder does not take it, or gives no maps.
        """
        image = self.reader.images[0]
        name, advice = type(self.encoder).__name__, 'Choose another one.'
        maps = try_network(lambda: self._maps(image), name, str(tuple(image.shape)), 'network_encoder', advice)
        if maps.ndim != 4:
            raise OptionError('network_encoder', 'feature maps (N, C, h, w)', tuple(maps.shape), advice)

    @torch.no_grad()
    def _maps(self, image: Tensor) -> Tensor:
        return encode(self.encoder, image[None].to(self.device))

    def _values(self, images: list[Tensor] | DataError) -> np.ndarray:
        if isinstance(images, DataError):
            raise images
        maps = [self._maps(image)[0].flatten(1).double() for image in images]
        return torch.stack([torch.cat([each.mean(1), each.std(1, correction=0)]) for each in maps]).cpu().numpy()
