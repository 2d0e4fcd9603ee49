"""PSNR-B: PSNR that also counts the edges between blocks."""

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

from basicsr_ext.errors import DataError
from basicsr_ext.metrics.metric_util import prepare_pair

BLOCK = 8


@METRIC_REGISTRY.register()
def calculate_psnrb(
    img: np.ndarray,
    img2: np.ndarray,
    crop_border: int,
    input_order: str = 'HWC',
    test_y_channel: bool = False,
    better: str = 'higher',
) -> float:
    """Measure fidelity and blocking together: 10 log10(255^2 / (MSE + BEF)), in dB, higher is better.

    Yim and Bovik, "Quality Assessment of Deblocked Images", IEEE TIP 2011, their PSNR-B; the blocking effect factor
    BEF is that of `img` alone, on the 8x8 grid of JPEG (see `blocking_effect_factor`).

    Readings chosen: an image of several channels scores the mean over its channels of their values in dB, as the common
    PyTorch implementations have it (so without blocking it is not the PSNR of BasicSR, which averages the squared
    errors first). The grid stays that of the image before cropping.

    .. code-block:: yaml

        val:
          metrics:
            psnrb:
              type: calculate_psnrb
              crop_border: 0
              test_y_channel: false
              better: higher

    Args:
        img: restored image, (H, W), (H, W, C) or (C, H, W), grey or BGR, range [0, 255].
        img2: ground truth, same shape and range.
        crop_border: pixels removed at each edge.
        input_order: `HWC` or `CHW`.
        test_y_channel: compare the Y of YCbCr alone.
        better: not used here; BasicSR passes it to every metric and reads it itself.

    Returns:
        PSNR-B in dB; infinite if a channel has no error and no blocking.

    Raises:
        DataError: shapes differ, or a side has no more than 8 pixels after cropping. It is a ValueError.
        OptionError: an unknown `input_order` or a negative border. It is a ValueError.
    """
    restored, truth = prepare_pair(img, img2, crop_border, input_order, test_y_channel, 'calculate_psnrb')
    values = []
    for channel in range(restored.shape[2]):
        mse = np.mean((restored[..., channel] - truth[..., channel]) ** 2)
        error = mse + blocking_effect_factor(restored[..., channel], crop_border)
        values.append(10 * np.log10(255**2 / error) if error > 0 else np.inf)
    return float(np.mean(values))


def blocking_effect_factor(img: np.ndarray, offset: int = 0) -> float:
    """Measure how much more neighbours differ across block borders than inside blocks (Yim and Bovik 2011).

    BEF = eta (D_B - D_BC) if D_B > D_BC, else 0, with eta = log2(8) / log2(min(H, W)). D_B is the mean squared
    difference of all horizontal and vertical neighbours on two sides of a border, taken together, D_BC that of all
    others. The pairs are counted, so sides need not be multiples of 8.

    Args:
        img: one channel, (H, W), range [0, 255].
        offset: rows and columns of the grid that were cropped away at the top and at the left.

    Raises:
        DataError: a side has no more than 8 pixels, so that there may be no border.
    """
    if min(img.shape) <= BLOCK:
        raise DataError(
            'calculate_psnrb',
            f'sides of more than {BLOCK} pixels after cropping',
            f'{img.shape[0]}x{img.shape[1]}',
            'Use whole images.',
        )
    differences, at_border = [], []
    for axis in (0, 1):
        differences.append(np.diff(img, axis=axis) ** 2)
        crosses = (np.arange(1, img.shape[axis]) + offset) % BLOCK == 0
        at_border.append(np.broadcast_to(np.expand_dims(crosses, 1 - axis), differences[-1].shape))
    squares = np.concatenate([d.ravel() for d in differences])
    border = np.concatenate([b.ravel() for b in at_border])
    excess = squares[border].mean() - squares[~border].mean()
    return float(max(excess, 0) * np.log2(BLOCK) / np.log2(min(img.shape)))
