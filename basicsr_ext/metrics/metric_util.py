"""What full-reference metrics do to a pair of images before they compare them."""

import numpy as np
from basicsr.metrics.metric_util import to_y_channel
from numpy.typing import NDArray

from basicsr_ext.errors import DataError, OptionError, shown

Image = NDArray[np.float64]


def prepare_pair(
    img: np.ndarray,
    img2: np.ndarray,
    crop_border: int,
    input_order: str = 'HWC',
    test_y_channel: bool = False,
    where: str = 'metric',
) -> tuple[Image, Image]:
    """Bring two images to HWC, crop their borders and, if asked, keep the Y channel alone, as BasicSR's metrics do.

    Args:
        img: restored image, (H, W), (H, W, C) or (C, H, W), grey or BGR, range [0, 255].
        img2: ground truth, same shape and range.
        crop_border: pixels removed at each edge.
        input_order: `HWC` or `CHW`; an image of two dimensions is (H, W) in either case.
        test_y_channel: replace three BGR channels by the Y of YCbCr (ITU-R BT.601, range [16, 235]), not rounded.
        where: name of the metric, for errors.

    Returns:
        Both images, (H, W, C).

    Raises:
        DataError: shapes differ or are not those of an image, the border takes the whole image, or the Y channel is
            asked of an image that has neither one nor three channels. It is a ValueError.
        OptionError: an unknown `input_order` or a negative border. It is a ValueError.
    """
    if input_order not in ('HWC', 'CHW'):
        raise OptionError(f'{where}.input_order', 'HWC or CHW', shown(input_order), 'Correct the name.')
    if crop_border < 0:
        raise OptionError(f'{where}.crop_border', '0 or more pixels', crop_border, 'Write 0 to keep all.')
    if img.shape != img2.shape or img.ndim not in (2, 3):
        raise DataError(
            where,
            f'two images of one shape, (H, W) or {tuple(input_order)}',
            f'{img.shape} and {img2.shape}',
            'Check that the ground truth belongs to the image and is cropped to its size.',
        )
    if img.ndim == 2:
        img, img2 = img[..., None], img2[..., None]
    elif input_order == 'CHW':
        img, img2 = img.transpose(1, 2, 0), img2.transpose(1, 2, 0)
    height, width, channels = img.shape
    if 2 * crop_border >= min(height, width):
        raise DataError(
            where,
            f'sides longer than twice the crop_border of {crop_border}',
            f'{height}x{width}',
            'Lower crop_border.',
        )
    inside = np.s_[crop_border : height - crop_border, crop_border : width - crop_border]
    img, img2 = img[inside], img2[inside]
    if test_y_channel:
        if channels not in (1, 3):
            raise DataError(where, '1 or 3 channels for the Y channel', channels, 'Set test_y_channel: false.')
        img, img2 = to_y_channel(img), to_y_channel(img2)
    return img.astype(np.float64), img2.astype(np.float64)
