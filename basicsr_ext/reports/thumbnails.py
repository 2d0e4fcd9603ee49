"""Small pictures of a page, and which rows of a result they show."""

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from basicsr_ext.images.file_io import LEVELS, read_image_file
from basicsr_ext.images.pixels import as_array, for_display, reduced, swap_order, to_8bit
from basicsr_ext.reports.page import Picture

SIDE = 176  # the longest side in pixels; two stand side by side on a phone


def thumbnail_of(image: np.ndarray, text: str, side: int = SIDE) -> Picture:
    """An image at a size that fits a page.

    Args:
        image: (H, W, 3) RGB or (H, W) grey, [0, 1].
        text: what is seen.
        side: the longest one, in pixels.
    """
    return as_picture(reduced(image, side), text)


def as_picture(image: np.ndarray, text: str) -> Picture:
    """An image, as in `thumbnail_of`, at its own size."""
    _, file = cv2.imencode('.png', swap_order(to_8bit(image)))
    return Picture(file.tobytes(), text)


def shown_at(path: Path) -> np.ndarray:
    """An image file as `thumbnail_of` takes it.

    Raises:
        ImageError: it is missing or damaged.
    """
    image = read_image_file(path)
    colours = image if image.ndim == 2 else image[..., :3]
    return colours.astype(np.float32) / LEVELS[image.dtype.name]


def displayed(image: Tensor) -> np.ndarray:
    """(C, H, W) as (H, W, 3) RGB or (H, W) grey, clipped to [0, 1]; of other numbers of channels the first."""
    return for_display(as_array(image[: 3 if len(image) >= 3 else 1].detach().clamp(0, 1).float().cpu()))


def both_ends(order: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `number` rows from the beginning of an order, and from its end without those."""
    return order[:number], order[max(number, len(order) - number) :]
