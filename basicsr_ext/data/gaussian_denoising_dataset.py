"""Clean images with white Gaussian noise."""

from dataclasses import dataclass

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.degradation_base import DegradationDataset, DegradationOptions
from basicsr_ext.data.levels import Level


class Sigma(Level):
    """A standard deviation in 8-bit levels."""

    low, high = 0, 255


@dataclass(frozen=True)
class GaussianDenoisingOptions(DegradationOptions):
    """Options beyond those of `DegradationOptions`.

    Attributes:
        sigma: standard deviation of the noise in 8-bit levels; a number, `[low, high]` (uniform) or
            `{choices: [...]}`; the noise is neither clipped nor rounded, and fixed by the name of the image in
            validation.
    """

    sigma: Sigma = Sigma((25,))


@DATASET_REGISTRY.register()
class GaussianDenoisingDataset(DegradationDataset):
    """Additive white Gaussian noise on clean images: lq = gt + sigma / 255 * N(0, 1).

    The noisy image is neither clipped nor quantised, as in DnCNN (Zhang et al., 2017). While training each patch draws
    its own sigma and noise; in validation both are fixed by the name of the image.

    Args:
        opt: the block of the option file: the keys of `DegradationOptions` and `sigma`.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400
            type: GaussianDenoisingDataset
            dataroot_gt: datasets/BSD400_gray
            color: gray
            sigma: 25           # or [0, 55], or {choices: [15, 25, 50]}
            gt_size: 64
            use_hflip: true
            use_rot: true
            cache: true
    """

    Options = GaussianDenoisingOptions
    options: GaussianDenoisingOptions

    def degrade(self, gt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        sigma = self.options.sigma.draw(rng)
        noise = rng.standard_normal(gt.shape, dtype=np.float32)
        return gt + np.float32(sigma / 255) * noise
