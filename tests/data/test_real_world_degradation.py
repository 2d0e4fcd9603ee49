"""The degradation of Real-ESRGAN: its steps by closed forms, the whole against BasicSR's model."""

import random
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.data.degradations import circular_lowpass_kernel
from basicsr.models.realesrnet_model import RealESRNetModel
from basicsr.utils import USMSharp
from basicsr.utils.img_process_util import filter2D, usm_sharp

from basicsr_ext.data import real_world_degradation
from basicsr_ext.data.real_world_degradation import (
    Kernels,
    Round,
    add_noise,
    blur,
    compress,
    degrade,
    draw_factor,
    gaussian_noise,
    poisson_noise,
    resize,
)
from basicsr_ext.images.pixels import as_array, as_tensor

PULSE = np.zeros((21, 21), np.float32)
PULSE[10, 10] = 1
QUIET = Round(0, (0, 0, 1), (0.5, 1.5), 1, (0, 0), (0, 0), 0, (50, 50))


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).random((height // 4, width // 4, 3), np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize('scale', [2, 4])
def test_without_blur_resizing_and_noise_it_is_a_reduction(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_world_degradation, 'compress', lambda image, _: image)
    image, kernels = picture(), Kernels(PULSE, PULSE, PULSE)
    height, width = 48 // scale, 64 // scale
    blocks = image.reshape(height, scale, width, scale, 3).mean((1, 3))
    bicubic = torch.nn.functional.interpolate(as_tensor(image)[None], (height, width), mode='bicubic')[0]
    for mode, expected in (('area', blocks), ('bicubic', as_array(bicubic).clip(0, 1))):
        monkeypatch.setattr(real_world_degradation, 'MODES', (mode,))
        found = degrade(image, kernels, (QUIET, QUIET), scale, rng())
        assert found.shape == (height, width, 3) and found.dtype == np.float32
        assert np.abs(found - expected).max() <= 0.5 / 255 + 1e-6
        assert np.abs(found * 255 - np.rint(found * 255)).max() < 1e-4


class Fixed:
    """A generator whose every share is one number, which reduces by half, and whose noise is none."""

    def __init__(self, share: float) -> None:
        self.share = share

    def random(self, size: int | None = None) -> Any:
        return self.share if size is None else np.full(size, self.share)

    def choice(self, number: int, p: np.ndarray) -> int:
        return 1  # reduce

    def integers(self, high: int) -> int:
        return high - 1  # bicubic

    def uniform(self, low: float, high: float) -> float:
        return 0.5 if high == 1 else low

    def standard_normal(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return np.zeros(shape, dtype)

    def poisson(self, mean: np.ndarray) -> np.ndarray:
        return np.zeros(mean.shape)


@pytest.mark.parametrize('share', [0.3, 0.7])  # Gaussian noise, the last filter before JPEG; Poisson's, behind it
def test_it_is_that_of_basicsrs_model(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def uniform(*ends: float) -> float:
        return 0.5 if len(ends) == 2 else share

    monkeypatch.setattr(random, 'choices', lambda *_: ['down'])
    monkeypatch.setattr(random, 'choice', lambda modes: modes[-1])
    monkeypatch.setattr(np.random, 'uniform', uniform)
    kernels = [circular_lowpass_kernel(cutoff, 21, pad_to=21).astype(np.float32) for cutoff in (1.0, 1.5, 2.5)]
    drawn = {
        'scale': 2, 'gt_usm': True, 'gt_size': 64, 'resize_prob': [0, 1, 0], 'resize_range': [0.3, 1.2],
        'gaussian_noise_prob': 0.5, 'noise_range': [0, 0], 'poisson_scale_range': [0, 0], 'gray_noise_prob': 0,
        'jpeg_range': [50, 50], 'second_blur_prob': 0.8, 'resize_prob2': [0, 1, 0], 'resize_range2': [0.3, 1.2],
        'gaussian_noise_prob2': 0.5, 'noise_range2': [0, 0], 'poisson_scale_range2': [0, 0], 'gray_noise_prob2': 0,
        'jpeg_range2': [50, 50],
    }  # fmt: skip

    def jpeg(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        return as_tensor(compress(np.ascontiguousarray(as_array(images[0])), float(quality)))[None]

    model = SimpleNamespace(
        is_train=True, opt=drawn, device='cpu', jpeger=jpeg, usm_sharpener=USMSharp(), _dequeue_and_enqueue=lambda: None
    )
    image = picture(64, 64)
    first, second, last = (torch.from_numpy(kernel)[None] for kernel in kernels)
    batch = {'gt': as_tensor(image)[None], 'kernel1': first, 'kernel2': second, 'sinc_kernel': last}
    RealESRNetModel.feed_data(model, batch)

    rounds = [Round(part, (0, 1, 0), (0.3, 1.2), 0.5, (0, 0), (0, 0), 0, (50, 50)) for part in (1, 0.8)]
    sharp = usm_sharp(image)
    assert np.abs(sharp - as_array(model.gt[0])).max() < 1e-5
    found = degrade(sharp, Kernels(*kernels), tuple(rounds), 2, Fixed(share))  # type: ignore[arg-type]
    difference = np.abs(found - as_array(model.lq[0]))
    assert difference.max() <= 2.01 / 255 and difference.mean() < 0.05 / 255
    assert np.abs(found - image[::2, ::2]).mean() > 10 / 255  # it did something


def test_blur_is_that_of_basicsr() -> None:
    image, kernel = picture(12, 16), rng().random((21, 21), np.float32) / 200
    expected = filter2D(as_tensor(image)[None], torch.from_numpy(kernel)[None])[0]
    assert np.abs(blur(image, kernel) - as_array(expected)).max() < 1e-5


def test_area_is_the_mean_of_areas_and_the_same_size_changes_nothing() -> None:
    image = picture(12, 16)
    assert np.allclose(resize(image, (3, 4), 'area'), image.reshape(3, 4, 4, 4, 3).mean((1, 3)), atol=1e-6)
    for mode in real_world_degradation.MODES:
        assert np.allclose(resize(image, (12, 16), mode), image, atol=1e-6)


def test_factors_lie_where_they_should() -> None:
    drawn = Round(1, (2, 5, 3), (0.2, 1.5), 1, (0, 0), (0, 0), 0, (50, 50))
    generator = rng()
    factors = np.array([draw_factor(drawn, generator) for _ in range(4000)])
    shares = [(factors > 1).mean(), (factors < 1).mean(), (factors == 1).mean()]
    assert np.allclose(shares, (0.2, 0.5, 0.3), atol=0.03)
    assert 0.2 <= factors.min() < 0.22 and 1.47 < factors.max() <= 1.5
    assert abs(factors[factors < 1].mean() - 0.6) < 0.02


@pytest.mark.parametrize('is_grey', [False, True])
def test_gaussian_noise_has_its_size(is_grey: bool) -> None:
    noise = gaussian_noise(picture(200, 200), 20, is_grey, rng())
    assert noise.shape == (200, 200, 1 if is_grey else 3) and noise.dtype == np.float32
    assert abs(noise.std() * 255 - 20) < 0.3 and abs(noise.mean() * 255) < 0.3


@pytest.mark.parametrize('is_grey', [False, True])
def test_poisson_noise_has_the_variance_of_counted_photons(is_grey: bool) -> None:
    """An image of all 256 levels has 256 photons at white: at level v the variance is v / 256."""
    levels = np.repeat(np.arange(256, dtype=np.float32) / 255, 3000).reshape(-1, 1000, 1).repeat(3, axis=2)
    noise = poisson_noise(levels, 0.5, is_grey, rng())
    assert noise.shape == (*levels.shape[:2], 1 if is_grey else 3)
    for level in (16, 128, 255):
        part = noise[levels[..., 0] == np.float32(level / 255)]
        assert abs(part.var() / (level / 255 / 256 * 0.25) - 1) < 0.1
        assert abs(part.mean()) < 0.003
    few = np.where(levels < 0.5, 0, levels.max()).astype(np.float32)  # two levels, two photons at white
    assert abs(poisson_noise(few, 1, is_grey, rng())[few[..., 0] > 0].var() - 0.5) < 0.02


def test_noise_is_added_clipped_and_of_the_kind_that_is_drawn() -> None:
    image = np.full((64, 64, 3), 0.6, np.float32)
    image[0] = 1
    gaussian = Round(1, (0, 0, 1), (1, 1), 1, (30, 30), (0, 0), 0, (50, 50))
    grey = Round(1, (0, 0, 1), (1, 1), 1, (30, 30), (0, 0), 1, (50, 50))
    poisson = Round(1, (0, 0, 1), (1, 1), 0, (0, 0), (1, 1), 0, (50, 50))
    found = [add_noise(image, drawn, rng()) - image for drawn in (gaussian, grey, poisson)]
    assert abs(found[0][1:].std() * 255 - 30) < 1 and found[0][0].max() <= 0
    assert (found[1] == found[1][..., :1]).all() and not (found[0] == found[0][..., :1]).all()
    photons = np.round((found[2] + image)[1:] * 2, 4)  # two levels, so that white has two of them
    assert set(np.unique(photons)) == {0, 1, 2}


def test_jpeg_is_opencvs() -> None:
    image = picture()
    levels = np.rint(image * 255).astype(np.uint8)
    _, encoded = cv2.imencode('.jpg', levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 37])
    expected = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1] / 255
    assert np.abs(compress(image, 37.9) - expected).max() < 1e-6
    assert np.abs(compress(image, 95) - image).mean() < np.abs(expected - image).mean()
