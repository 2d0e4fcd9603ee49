"""Pixels in the forms that files, OpenCV and networks have them in."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def as_8bit(image: np.ndarray) -> np.ndarray:
    """Round and clip an image in 8-bit levels as if it were written to a file: noisy, restored and computed ones.

    Args:
        image: any shape, uint8 or floating-point.
    """
    return image if image.dtype == np.uint8 else np.clip(np.rint(image), 0, 255).astype(np.uint8)


def grey_of(image: np.ndarray) -> np.ndarray:
    """The grey image, (H, W), of a grey one or of one in OpenCV's order B, G, R.

    Args:
        image: (H, W, 1) or (H, W, 3), uint8.
    """
    return image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def resize_square(images: Tensor, side: int) -> Tensor:
    """Bilinear interpolation, antialiased, to `side` x `side` pixels; images of that size stay as they are.

    Args:
        images: N x C x H x W.
        side: in pixels.
    """
    if images.shape[-2:] == (side, side):
        return images
    return functional.interpolate(images, (side, side), mode='bilinear', antialias=True)


def image_of(tensor: Tensor) -> np.ndarray:
    """An image in OpenCV's order and 8-bit levels, (H, W, C) float32, of one in [0, 1], (C, H, W), RGB or grey."""
    return np.multiply(tensor.permute(1, 2, 0).numpy()[..., ::-1], np.float32(255), order='C')


def thumbnail(image: np.ndarray, side: int) -> Tensor:
    """What a scorer sees of an image: side x side pixels, bilinear with antialiasing.

    Args:
        image: (H, W, 1) or (H, W, 3) in OpenCV's order, uint8.
        side: in pixels.

    Returns:
        (3, side, side), RGB, [0, 1]; a grey image three times.
    """
    colours = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float().div_(255)
    return resize_square(colours[None], side)[0].expand(3, -1, -1)
