"""Pixels in the forms that files, OpenCV, networks and pictures have them in; all conversions between them.

Three words tell the forms apart. *Order*: files and OpenCV have colours as B, G, R, samples, networks and pictures as
R, G, B; grey has one channel. *Range*: levels are in [0, 255], unit values in [0, 1]. *Axes*: arrays are (H, W, C),
tensors (C, H, W).
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601

# ---- range ----


def to_unit(image: np.ndarray) -> np.ndarray:
    """Levels, of any shape and type, as unit values, float32."""
    return image.astype(np.float32) / np.float32(255)


def to_8bit(image: np.ndarray) -> np.ndarray:
    """Unit values, of any shape, rounded and clipped to levels as if they were written to a file, uint8."""
    return levels_to_8bit(image * np.float32(255))


def levels_to_8bit(image: np.ndarray) -> np.ndarray:
    """Levels, of any shape and type, rounded and clipped as if they were written to a file, uint8."""
    return image if image.dtype == np.uint8 else np.rint(image).clip(0, 255).astype(np.uint8)


def rounded_to_8bit(image: Tensor) -> Tensor:
    """Unit values, of any shape, at the nearest that a file of 8 bits holds."""
    return (image.clamp(0, 1) * 255).round() / 255


# ---- axes ----


def as_tensor(image: np.ndarray) -> Tensor:
    """(H, W, C) as (C, H, W), contiguous; order, range and type stay."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def as_array(image: Tensor) -> np.ndarray:
    """(C, H, W) on the CPU as a view (H, W, C); order, range and type stay."""
    array: np.ndarray = image.permute(1, 2, 0).numpy()
    return array


def for_display(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) as it is, (H, W, 1) as (H, W), which is how matplotlib takes grey."""
    return image[..., 0] if image.shape[2] == 1 else image


# ---- order ----


def swap_order(image: np.ndarray) -> np.ndarray:
    """R, G, B as B, G, R or back, a view (H, W, 3); grey, (H, W, 1) or (H, W), as it is."""
    return image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image


def bgr_to_grey(image: np.ndarray) -> np.ndarray:
    """OpenCV's grey image, (H, W), of (H, W, 3) B, G, R; (H, W, 1) and (H, W) are grey already. The type stays."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.shape[2:] == (3,) else image.reshape(image.shape[:2])


def rgb_to_grey(image: np.ndarray) -> np.ndarray:
    """OpenCV's grey image, (H, W), of (H, W, 3) R, G, B; (H, W, 1) and (H, W) are grey already. The type stays."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2:] == (3,) else image.reshape(image.shape[:2])


# ---- all three ----


def rgb_tensor(image: np.ndarray) -> Tensor:
    """(H, W, C) levels, B, G, R or grey, as (C, H, W) unit values, R, G, B or grey, float32."""
    return as_tensor(swap_order(image)).float() / 255


def bgr_levels(image: Tensor) -> np.ndarray:
    """(C, H, W) unit values, R, G, B or grey, as (H, W, C) levels, B, G, R or grey, float32, not rounded."""
    return np.multiply(swap_order(as_array(image)), np.float32(255), order='C')


def bgr_8bit(image: Tensor) -> np.ndarray:
    """(C, H, W) unit values, R, G, B or grey, as (H, W, C) levels, B, G, R or grey, rounded and clipped, uint8."""
    return levels_to_8bit(bgr_levels(image))


# ---- sizes ----


def reduced(image: np.ndarray, side: int) -> np.ndarray:
    """An image, (H, W) or (H, W, C), whose longest side is `side` pixels at most, by the mean of areas."""
    factor = side / max(image.shape[:2])
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else image


def resize_square(images: Tensor, side: int) -> Tensor:
    """Bilinear interpolation, antialiased, to `side` x `side` pixels; images of that size stay as they are.

    Args:
        images: N x C x H x W.
        side: in pixels.
    """
    if images.shape[-2:] == (side, side):
        return images
    return functional.interpolate(images, (side, side), mode='bilinear', antialias=True)


def thumbnail(image: np.ndarray, side: int) -> Tensor:
    """The thumbnail that a scorer sees of an image: side x side pixels, bilinear with antialiasing.

    Args:
        image: (H, W, C) levels, B, G, R or grey, uint8.
        side: in pixels.

    Returns:
        (3, side, side) unit values, R, G, B; a grey image three times.
    """
    return resize_square(rgb_tensor(image)[None], side)[0].expand(3, -1, -1)
