"""The input of a pair whose clean image a tuner has changed."""

import numpy as np
from basicsr.utils.matlab_functions import imresize

from basicsr_ext.errors import DataError
from basicsr_ext.images.pixels import levels_to_8bit


def moved_input(lq: np.ndarray, before: np.ndarray, after: np.ndarray, where: str) -> np.ndarray:
    """LQ + D(T(x) - x): the change of the clean image, brought to the size of the input.

    A network that is trained on T(x) and an unchanged input learns to restore and to tune; with the input changed too,
    what is left to learn is the degradation. This is exact up to rounding for one that is added to the image, such as
    noise, and for a smaller input by MATLAB's bicubic interpolation, which D is then; JPEG, blur and rain are nearly so
    for changes of a few levels.

    Args:
        lq: (h, w, C), levels, uint8.
        before, after: x and T(x), (H, W, C'), levels, uint8, of a size that is a whole multiple of that of lq, up to a
            rest at the end; C' is C, or one of both is 1, which counts for all channels.
        where: names the input in errors.

    Returns:
        (h, w, max(C, C')), uint8: rounded and clipped.

    Raises:
        DataError: sizes that do not belong together.
    """
    change = after.astype(np.float32) - before.astype(np.float32)
    (height, width), (h, w) = change.shape[:2], lq.shape[:2]
    scale = max(1, height // h)
    if (height // scale, width // scale) != (h, w):
        expected = f'an input of which the clean image, {height} x {width}, is a whole multiple'
        raise DataError(where, expected, f'{h} x {w}', 'Correct the pair, or write align.input: kept.')
    if scale > 1:
        change = imresize(change[: h * scale, : w * scale], 1 / scale)
    return levels_to_8bit(lq + change)
