"""MGVG: sharpness from the largest gradient and the spread of the gradients."""

import math
from typing import Any

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

from basicsr_ext.errors import DataError
from basicsr_ext.metrics.metric_util import Image, prepare_pair

BALANCE = 0.61  # b
TRIMMED = 1 / 16  # of the shorter side, at each edge of the gradient map
LUMA = (0.114, 0.587, 0.299)  # of B, G, R: ITU-R BT.601 as OpenCV converts to grey


@METRIC_REGISTRY.register()
def calculate_mgvg(img: np.ndarray, crop_border: int = 0, input_order: str = 'HWC', **kwargs: Any) -> float:
    """Measure sharpness without a reference: Omega = MG^b VG^(1 - b) with b = 0.61, higher is sharper.

    Zhan and Zhang, "No-Reference Image Sharpness Assessment Based on Maximum Gradient and Variability of Gradients",
    IEEE TMM 2018: MG is the largest gradient, VG = (largest - smallest) / mean of the gradients. A gradient is the
    magnitude of the two forward differences of the grey image; round(min(H, W) / 16) of them are left out at each edge.
    Omega(c I) = c^0.61 Omega(I). Noise counts as sharpness.

    Readings chosen: gradients exist where both differences do, so that their map is (H - 1, W - 1); halves are rounded
    up; colour becomes BT.601 luma that is not rounded; an image without any gradient has Omega = 0.

    .. code-block:: yaml

        val:
          metrics:
            mgvg:
              type: calculate_mgvg
              crop_border: 0
              better: higher

    Args:
        img: (H, W), (H, W, C) or (C, H, W), grey or BGR, range [0, 255].
        crop_border: pixels removed at each edge first.
        input_order: `HWC` or `CHW`.
        kwargs: not used here; BasicSR passes `img2` and `better` to every metric.

    Returns:
        Omega, at least 0.

    Raises:
        DataError: not an image of 1 or 3 channels, or a side of less than 2 pixels after cropping. It is a ValueError.
        OptionError: an unknown `input_order` or a negative border. It is a ValueError.
    """
    if img.ndim not in (2, 3):
        raise DataError(
            f'calculate_mgvg: expected an image, (H, W) or {tuple(input_order)}, got {img.shape}. Pass one image.'
        )
    image, _ = prepare_pair(img, img, crop_border, input_order, where='calculate_mgvg')
    height, width, channels = image.shape
    if channels not in (1, 3) or min(height, width) < 2:
        raise DataError(
            'calculate_mgvg: expected 1 or 3 channels and sides of at least 2 pixels after cropping, got '
            f'{height}x{width} with {channels} channels. Use whole images, grey or BGR.'
        )
    gradients = _trimmed_gradients(image @ LUMA if channels == 3 else image[..., 0])
    largest = float(gradients.max())
    if largest == 0:
        return 0.0
    variability = (largest - float(gradients.min())) / float(gradients.mean())
    return float(largest**BALANCE * variability ** (1 - BALANCE))


def _trimmed_gradients(grey: Image) -> Image:
    """Magnitudes of the forward differences of an (H, W) image without those near the edges."""
    horizontal, vertical = np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1]
    border = math.floor(min(grey.shape) * TRIMMED + 0.5)
    height, width = horizontal.shape
    return np.hypot(horizontal, vertical)[border : height - border, border : width - border]
