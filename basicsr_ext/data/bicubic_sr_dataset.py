"""Clean images against their bicubic reduction."""

from dataclasses import dataclass

import numpy as np
from basicsr.utils.matlab_functions import imresize
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.degradation_base import DegradationDataset, DegradationOptions
from basicsr_ext.errors import OptionError
from basicsr_ext.images.pixels import to_8bit, to_unit


@dataclass(frozen=True)
class BicubicSROptions(DegradationOptions):
    """The options of every degradation, and nothing of its own: the scale stands at the top of the option file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale < 2:
            raise OptionError('scale', 'at least 2', self.scale, 'Set scale at the top of the option file.')


@DATASET_REGISTRY.register()
class BicubicSRDataset(DegradationDataset):
    """Super-resolution pairs: the low-resolution image is MATLAB's antialiased bicubic `imresize` of the clean one.

    The result is rounded to 8 bits, as in the benchmark folders that people save to disk. A training patch is reduced
    after cropping, so that its edge sees its own mirror image instead of its surroundings (a difference of at most two
    low-resolution pixels at the edge). In validation the clean image is cut to a multiple of the scale first.

    Args:
        opt: the block of the option file: the keys of `DegradationOptions`; `scale` comes from the top of the file.

    Example:

    .. code-block:: yaml

        scale: 2
        datasets:
          train:
            name: BSD400
            type: BicubicSRDataset
            dataroot_gt: datasets/BSD400
            color: rgb
            gt_size: 96
    """

    Options = BicubicSROptions

    def degrade(self, gt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        reduced = imresize(gt, 1 / self.options.scale).reshape(*(s // self.options.scale for s in gt.shape[:2]), -1)
        return to_unit(to_8bit(reduced))
