"""Clean images compressed by JPEG."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.degradation_base import DegradationDataset, DegradationOptions
from basicsr_ext.data.levels import Level
from basicsr_ext.images.pixels import swap_order, to_8bit, to_unit


class Quality(Level):
    """A quality of OpenCV's JPEG, from 1, the worst, to 100."""

    low, high = 1, 100


@dataclass(frozen=True)
class JPEGCompressionOptions(DegradationOptions):
    """Options beyond those of `DegradationOptions`.

    Attributes:
        quality: 1 (worst) to 100; a number, `[low, high]` (uniform) or `{choices: [...]}`.
    """

    quality: Quality = Quality((10,))

    colors: ClassVar[tuple[str, ...]] = ('gray', 'y', 'rgb')


@DATASET_REGISTRY.register()
class JPEGCompressionDataset(DegradationDataset):
    """Clean images against their JPEG compression by OpenCV.

    With `color: y` the clean image is the BT.601 Y of a colour file, as BasicSR computes it, rounded to 8 bits; grey
    files are read as they are. A training patch is cropped before it is compressed, so that the blocks start at its
    corner; chroma of `rgb` is subsampled 4:2:0.

    Args:
        opt: the block of the option file: the keys of `DegradationOptions` and `quality`.

    Example:

    .. code-block:: yaml

        datasets:
          val:
            name: classic5
            type: JPEGCompressionDataset
            dataroot_gt: datasets/classic5
            color: y
            quality: 10         # or [5, 99], or {choices: [10, 20, 30, 40]}
    """

    Options = JPEGCompressionOptions
    options: JPEGCompressionOptions

    def degrade(self, gt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        quality = self.options.quality.draw_int(rng)
        pixels = swap_order(to_8bit(gt))
        is_color = pixels.shape[2] == 3
        _, encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR if is_color else cv2.IMREAD_GRAYSCALE))
        return to_unit(swap_order(decoded)).reshape(gt.shape)
