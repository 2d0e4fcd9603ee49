"""Conversions of pixels: order, range and axes against plain NumPy, to the bit."""

import cv2
import numpy as np
import pytest
import torch

from basicsr_ext.images.pixels import (
    as_array,
    as_tensor,
    bgr_8bit,
    bgr_levels,
    bgr_to_grey,
    for_display,
    levels_to_8bit,
    resize_square,
    rgb_tensor,
    rgb_to_grey,
    rounded_to_8bit,
    swap_order,
    thumbnail,
    to_8bit,
    to_unit,
)

EVERY_LEVEL = np.arange(256, dtype=np.uint8)


def image(channels: int, height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (height, width, channels), dtype=np.uint8)


def unit(channels: int) -> np.ndarray:
    """Somewhat beyond [0, 1]."""
    return np.random.default_rng(channels).uniform(-0.2, 1.2, (6, 9, channels)).astype(np.float32)


def same(found: np.ndarray | torch.Tensor, expected: np.ndarray) -> None:
    assert np.asarray(found).dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


# ---- range ----


def test_every_level_survives_the_way_to_unit_values_and_back() -> None:
    same(to_unit(EVERY_LEVEL), np.array([np.float32(level) / np.float32(255) for level in range(256)]))
    same(to_8bit(to_unit(EVERY_LEVEL)), EVERY_LEVEL)
    same(to_8bit(EVERY_LEVEL / 255), EVERY_LEVEL)
    assert torch.equal(rounded_to_8bit(torch.from_numpy(to_unit(EVERY_LEVEL))), torch.from_numpy(to_unit(EVERY_LEVEL)))


def test_rounding_is_to_the_nearest_halves_to_even_and_clipped() -> None:
    levels = np.array([-3.0, -0.5, 0.5, 1.5, 2.5, 2.51, 254.5, 255.5, 300.0])
    expected = np.array([0, 0, 0, 2, 2, 3, 254, 255, 255], np.uint8)
    for kind in (np.float32, np.float64):
        same(levels_to_8bit(levels.astype(kind)), expected)
    assert levels_to_8bit(EVERY_LEVEL) is EVERY_LEVEL
    values = unit(3)
    same(to_8bit(values), np.clip(np.rint(values * np.float32(255)), 0, 255).astype(np.uint8))
    rounded = rounded_to_8bit(torch.from_numpy(values)).numpy()
    same(to_8bit(rounded), to_8bit(values))
    same(rounded, to_unit(to_8bit(values)))


def test_levels_that_are_no_integers_keep_their_fraction() -> None:
    same(to_unit(np.array([0.25, 254.75])), np.array([0.25, 254.75], np.float32) / np.float32(255))


# ---- axes ----


@pytest.mark.parametrize('channels', [1, 3])
def test_axes(channels: int) -> None:
    pixels = image(channels)
    tensor = as_tensor(pixels)
    assert tensor.shape == (channels, 6, 9) and tensor.is_contiguous()
    for channel in range(channels):
        same(tensor[channel], pixels[..., channel])
    same(as_array(tensor), pixels)
    assert as_array(tensor).base is not None  # a view
    same(as_tensor(pixels[::-1, ::-1]), pixels[::-1, ::-1].transpose(2, 0, 1))  # of any strides
    assert for_display(pixels).shape == ((6, 9) if channels == 1 else (6, 9, 3))
    same(for_display(pixels).reshape(pixels.shape), pixels)


# ---- order ----


def test_order() -> None:
    colour, grey = image(3), image(1)
    same(swap_order(colour), np.stack([colour[..., 2], colour[..., 1], colour[..., 0]], -1))
    same(swap_order(swap_order(colour)), colour)
    assert swap_order(grey) is grey
    flat = np.zeros((6, 3))  # three columns are not three channels
    assert swap_order(flat) is flat


@pytest.mark.parametrize('kind', [np.uint8, np.float32])
def test_grey(kind: type) -> None:
    pixels = image(3).astype(kind)
    b, g, r = pixels.astype(float).transpose(2, 0, 1)
    found = bgr_to_grey(pixels)
    assert found.dtype == kind and found.shape == (6, 9)
    assert np.abs(found - (0.299 * r + 0.587 * g + 0.114 * b)).max() <= (0.51 if kind is np.uint8 else 1e-3)
    same(found, cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    rgb = np.ascontiguousarray(swap_order(pixels))
    same(rgb_to_grey(rgb), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    np.testing.assert_allclose(rgb_to_grey(rgb), found, rtol=1e-6)
    for convert in (bgr_to_grey, rgb_to_grey):
        same(convert(pixels[..., :1]), pixels[..., 0])
        same(convert(pixels[..., 0]), pixels[..., 0])


# ---- all three ----


@pytest.mark.parametrize('channels', [1, 3])
def test_between_files_and_networks(channels: int) -> None:
    pixels = image(channels)
    swapped = pixels[..., ::-1].transpose(2, 0, 1)
    tensor = rgb_tensor(pixels)
    assert tensor.is_contiguous()
    same(tensor, swapped.astype(np.float32) / np.float32(255))
    same(bgr_8bit(tensor), pixels)
    levels = np.random.default_rng(0).uniform(0, 255, (6, 9, channels)).astype(np.float32)
    same(rgb_tensor(levels), levels[..., ::-1].transpose(2, 0, 1) / np.float32(255))
    values = torch.from_numpy(unit(channels)).permute(2, 0, 1)
    expected = values.permute(1, 2, 0).numpy()[..., ::-1] * np.float32(255)
    same(bgr_levels(values), expected)
    assert bgr_levels(values).flags.c_contiguous
    same(bgr_8bit(values), np.clip(np.rint(expected), 0, 255).astype(np.uint8))


def test_what_is_given_is_not_changed() -> None:
    levels = np.random.default_rng(0).uniform(0, 255, (1, 9, 1)).astype(np.float32)
    before = levels.copy()
    rgb_tensor(levels), to_unit(levels), levels_to_8bit(levels), bgr_to_grey(levels), thumbnail(levels, 4)
    same(levels, before)


@pytest.mark.parametrize('channels', [1, 3])
def test_a_thumbnail_is_the_reduced_rgb_image(channels: int) -> None:
    pixels = image(channels, 40, 52)
    rgb = torch.from_numpy(pixels[..., ::-1].astype(np.float32) / np.float32(255)).permute(2, 0, 1)
    assert torch.equal(thumbnail(pixels, 16), resize_square(rgb[None], 16)[0].expand(3, -1, -1))
    assert thumbnail(pixels, 16).shape == (3, 16, 16)
