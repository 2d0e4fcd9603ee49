"""MGVG as a metric."""

from typing import Any

import numpy as np
import torch
from basicsr.utils.registry import METRIC_REGISTRY

from basicsr_ext.errors import DataError
from basicsr_ext.images.pixels import LUMA
from basicsr_ext.metrics.metric_util import prepare_pair
from basicsr_ext.metrics.mgvg import mgvg


@METRIC_REGISTRY.register()
def calculate_mgvg(img: np.ndarray, crop_border: int = 0, input_order: str = 'HWC', **kwargs: Any) -> float:
    """Measure sharpness without a reference by `mgvg` (Zhan and Zhang, IEEE TMM 2018); higher is sharper.

    Reading chosen: colour becomes BT.601 luma that is not rounded. Noise counts as sharpness.

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
        raise DataError('calculate_mgvg', f'an image, (H, W) or {tuple(input_order)}', img.shape, 'Pass one image.')
    image, _ = prepare_pair(img, img, crop_border, input_order, where='calculate_mgvg')
    height, width, channels = image.shape
    if channels not in (1, 3) or min(height, width) < 2:
        raise DataError(
            'calculate_mgvg',
            '1 or 3 channels and sides of at least 2 pixels after cropping',
            f'{height}x{width} with {channels} channels',
            'Use whole images, grey or BGR.',
        )
    grey = image @ LUMA[::-1] if channels == 3 else image[..., 0]
    return float(mgvg(torch.from_numpy(grey)[None]))
