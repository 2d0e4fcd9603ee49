"""Scores of regions against closed forms, the NumPy metric and plain loops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from basicsr_ext.inference.exit_scores import change, mean_gradient, sharpness
from basicsr_ext.metrics.mgvg_metric import calculate_mgvg


def step_image(height: float = 100) -> Tensor:
    """64 x 64, a vertical step in the middle."""
    image = torch.zeros(1, 1, 64, 64)
    image[..., 32:] = height / 255
    return image


def score(images: Tensor, **arguments) -> Tensor:
    return sharpness(images, images, **arguments)


def test_step() -> None:
    # MG = 100; one of 64 - 1 - 2 * 4 = 55 columns of the trimmed map has a gradient, so that VG = 55
    assert score(step_image()).item() == pytest.approx(100**0.61 * 55**0.39, rel=1e-5)
    assert score(step_image()).item() == pytest.approx(79.203, abs=1e-3)


def test_step_with_the_mean_of_the_whole_map() -> None:
    assert score(step_image(), mean='whole').item() == pytest.approx(100**0.61 * 63**0.39, rel=1e-5)


def test_step_by_roberts() -> None:
    expected = (100 * math.sqrt(2)) ** 0.61 * 55**0.39  # both diagonals cross the step
    assert score(step_image(), operator='roberts').item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('channels', [1, 3])
def test_equals_the_metric(channels: int) -> None:
    for size in [(64, 64), (40, 56), (23, 9), (8, 8), (2, 3)]:
        images = torch.rand(3, channels, *size)
        expected = [
            calculate_mgvg(255 * image.permute(1, 2, 0).numpy()[..., ::-1].astype(np.float64)) for image in images
        ]
        np.testing.assert_allclose(score(images).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize('factor', [0.01, 0.3, 0.9])
def test_scales_with_the_power_of_the_contrast(factor: float) -> None:
    images = torch.rand(2, 3, 20, 24)
    torch.testing.assert_close(score(factor * images), factor**0.61 * score(images), rtol=1e-4, atol=0)


@pytest.mark.parametrize('operator', ['forward', 'roberts'])
@pytest.mark.parametrize('size', [(16, 16), (1, 7), (1, 1)])
def test_without_gradients_it_is_zero(operator: str, size: tuple[int, int]) -> None:
    images = torch.full((2, 1, *size), 0.5)
    assert score(images, operator=operator).tolist() == [0, 0]
    assert mean_gradient(images, images, operator=operator).tolist() == [0, 0]


def test_values_beyond_the_range_are_clipped() -> None:
    images = 3 * torch.rand(2, 3, 16, 16) - 1
    torch.testing.assert_close(score(images), score(images.clamp(0, 1)), rtol=0, atol=0)


def test_border_does_not_count() -> None:
    inner = torch.rand(1, 1, 32, 32)
    framed = inner.clone()
    framed[..., 0, :] = framed[..., :, 0] = 0
    assert score(framed).item() == score(inner).item()
    assert score(framed, mean='whole').item() != score(inner, mean='whole').item()


def test_mean_gradient_equals_a_plain_loop() -> None:
    image = torch.rand(1, 3, 6, 5)
    grey = 255 * (0.299 * image[0, 0] + 0.587 * image[0, 1] + 0.114 * image[0, 2])
    forward, roberts = [], []
    for y in range(5):
        for x in range(4):
            a, b, c, d = (float(grey[y + j, x + i]) for j in (0, 1) for i in (0, 1))
            forward.append(math.hypot(b - a, c - a))
            roberts.append(math.hypot(d - a, c - b))
    assert mean_gradient(image, image).item() == pytest.approx(sum(forward) / 20, rel=1e-4)
    assert mean_gradient(image, image, operator='roberts').item() == pytest.approx(sum(roberts) / 20, rel=1e-4)


def test_change_is_the_psnr_to_the_exit_before() -> None:
    before = torch.full((3, 3, 8, 8), 0.5)
    after = before.clone()
    after[1] += 0.1
    after[2, :, :4] -= 0.1
    values = change(after, before).tolist()
    assert values[0] == math.inf
    assert values[1:] == pytest.approx([20, 20 + 10 * math.log10(2)], abs=1e-4)


def test_change_takes_a_smaller_input() -> None:
    small = torch.full((2, 1, 4, 4), 0.5)
    assert change(torch.full((2, 1, 8, 8), 0.6), small).tolist() == pytest.approx([20, 20], abs=1e-4)


@pytest.mark.parametrize('function', [sharpness, mean_gradient, change])
def test_a_batch_is_scored_one_by_one(function) -> None:
    images, before = torch.rand(5, 3, 18, 33), torch.rand(5, 3, 18, 33)
    single = torch.cat([function(images[i : i + 1], before[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(function(images, before), single, rtol=1e-6, atol=0)


@pytest.mark.parametrize('function', [sharpness, mean_gradient, change])
def test_bfloat16_is_scored_in_float32(function) -> None:
    images = torch.rand(2, 1, 16, 16).bfloat16()
    assert function(images, images.flip(3)).dtype == torch.float32
