"""Datasets that degrade clean images, their wrappers, their files and their loaders."""

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils import bgr2ycbcr
from basicsr.utils.matlab_functions import imresize
from PIL import Image
from torch import Tensor

from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.mean_blur_dataset import mean_filter
from basicsr_ext.data.nesting import innermost
from basicsr_ext.data.wrapper_base import StockDataset, scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.images.lmdb_env import open_lmdb
from basicsr_ext.schedule.sampling import ScheduledIndex, ScheduledSampler
from basicsr_ext.training.loader import build_train_loader, build_validation_sets, samples_per_rank
from tests.helpers.images import pack_lmdb
from tests.helpers.real_world import real_world

Options = dict[str, Any]
Files = dict[str, np.ndarray]
STILL = {'use_hflip': False, 'use_rot': False}


def write_images(folder: Path, count: int = 4, size: tuple[int, ...] = (20, 24, 3), seed: int = 0) -> Files:
    """Random PNGs a.png, b.png, ...; returns their pixels, RGB or grey."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    files = {chr(ord('a') + number): rng.integers(0, 256, size, dtype=np.uint8) for number in range(count)}
    for name, pixels in files.items():
        cv2.imwrite(str(folder / f'{name}.png'), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return files


def block(kind: str, folder: Path, **keys: Any) -> Options:
    return {'name': 'tiny', 'type': kind, 'phase': 'train', 'scale': 1, 'dataroot_gt': str(folder), **keys}


def gaussian(folder: Path, **keys: Any) -> Any:
    return build_dataset(block('GaussianDenoisingDataset', folder, **keys))


def jpeg(folder: Path, **keys: Any) -> Any:
    return build_dataset(block('JPEGCompressionDataset', folder, **keys))


def bicubic(folder: Path, **keys: Any) -> Any:
    return build_dataset(block('BicubicSRDataset', folder, **{'scale': 2, **keys}))


def blur(size: int, inner: Options, **keys: Any) -> Options:
    outer = {key: inner[key] for key in ('name', 'phase', 'scale')}
    dataset = {key: value for key, value in inner.items() if key not in outer}
    return {**outer, 'type': 'MeanBlurDataset', 'kernel_size': size, 'dataset': dataset, **keys}


def paired(gt: Path, lq: Path, **keys: Any) -> Options:
    return block(
        'PairedImageDataset',
        gt,
        **{'dataroot_lq': str(lq), 'io_backend': {'type': 'disk'}, 'gt_size': 8, **STILL, **keys},
    )


def moment(value: int, iteration: int = 1, position: int = 0, seed: int = 0) -> ScheduledIndex:
    return ScheduledIndex(value, seed, iteration, position)


def pixels_of(image: Tensor) -> np.ndarray:
    """H x W x C in 8-bit levels, not rounded."""
    return image.permute(1, 2, 0).double().numpy() * 255


def symmetries(image: np.ndarray) -> Iterator[tuple[tuple[bool, bool, bool], np.ndarray]]:
    for hflip in (False, True):
        for vflip in (False, True):
            for transpose in (False, True):
                moved = image[:, ::-1] if hflip else image
                moved = moved[::-1] if vflip else moved
                yield (hflip, vflip, transpose), moved.transpose(1, 0, 2) if transpose else moved


def find(patch: np.ndarray, image: np.ndarray) -> tuple[tuple[bool, bool, bool], int, int]:
    """The symmetry of the image and the corner at which a patch lies, by trying all of them."""
    size = patch.shape[0]
    found = [
        (symmetry, top, left)
        for symmetry, moved in symmetries(image)
        for top in range(moved.shape[0] - size + 1)
        for left in range(moved.shape[1] - size + 1)
        if np.array_equal(moved[top : top + size, left : left + size], patch)
    ]
    assert len(found) == 1
    return found[0]


def plain_mean(image: np.ndarray, size: int) -> np.ndarray:
    """The mean over rows y - size // 2 ... y - size // 2 + size - 1 and columns alike; the border mirrors the image."""
    before = size // 2
    after = size - 1 - before
    padded = np.pad(image.astype(np.float64), ((before, after), (before, after), (0, 0)), mode='reflect')
    result = np.empty(image.shape)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            result[y, x] = padded[y : y + size, x : x + size].mean(axis=(0, 1))
    return result


def plain_bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's antialiased imresize to 1 / scale: Keys' cubic stretched by the scale, mirrored border with the edge."""

    def cubic(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, inner, np.where(x <= 2, outer, 0))

    for axis in (0, 1):
        length = image.shape[axis]
        centres = (np.arange(length // scale) + 0.5) * scale - 0.5
        taps = np.arange(-3 * scale, length + 3 * scale)
        weights = cubic((taps[None] - centres[:, None]) / scale)
        weights /= weights.sum(1, keepdims=True)
        mirrored = np.pad(np.arange(length), 3 * scale, mode='symmetric')
        image = np.moveaxis(np.tensordot(weights, image.take(mirrored, axis).astype(np.float64), (1, axis)), 0, axis)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / 'rgb')
    return tmp_path / 'rgb'


# What every dataset reads: crops, flips, colours


@pytest.mark.parametrize(
    ('hflip', 'rot', 'count'), [(True, True, 8), (True, False, 2), (False, True, 4), (False, False, 1)]
)
def test_patches_are_crops_of_the_file(tmp_path: Path, hflip: bool, rot: bool, count: int) -> None:
    image = write_images(tmp_path, 1, (10, 11, 3))['a']
    dataset = gaussian(tmp_path, gt_size=8, use_hflip=hflip, use_rot=rot)
    seen, corners = set(), set()
    for position in range(120):
        sample = dataset[moment(0, position=position)]
        assert sample['gt'].shape == sample['lq'].shape == (3, 8, 8)
        assert sample['gt'].dtype == sample['lq'].dtype == torch.float32
        symmetry, top, left = find(np.rint(pixels_of(sample['gt'])).astype(np.uint8), image)
        seen.add(symmetry)
        corners.add((top, left))
    assert len(seen) == count
    assert all((hflip or not h) and (rot or not (v or t)) for h, v, t in seen)
    if count == 1:
        assert corners == {(top, left) for top in range(3) for left in range(4)}


def test_a_sample_depends_on_its_moment(folder: Path) -> None:
    dataset = gaussian(folder, gt_size=8)
    first = dataset[moment(2, iteration=4, position=1, seed=9)]
    random.seed(1)
    again = gaussian(folder, gt_size=8)[moment(2, iteration=4, position=1, seed=9)]
    assert torch.equal(first['gt'], again['gt']) and torch.equal(first['lq'], again['lq'])
    assert first['gt_path'] == first['lq_path'] == str(folder / 'c.png')
    for other in (moment(2, 5, 1, 9), moment(2, 4, 0, 9), moment(2, 4, 1, 8)):
        assert not torch.equal(dataset[other]['lq'] - dataset[other]['gt'], first['lq'] - first['gt'])


def test_flips_and_crops_do_not_depend_on_the_degradation(folder: Path) -> None:
    index = moment(1, iteration=3)
    expected = gaussian(folder, gt_size=8)[index]['gt']
    assert torch.equal(gaussian(folder, gt_size=8, sigma=[0, 50])[index]['gt'], expected)
    assert torch.equal(jpeg(folder, gt_size=8)[index]['gt'], expected)
    assert torch.equal(bicubic(folder, gt_size=8)[index]['gt'], expected)


def test_clean_pixels_are_those_of_the_file_in_rgb(folder: Path) -> None:
    files = write_images(folder)
    dataset = gaussian(folder, phase='val')
    assert len(dataset) == 4
    for number, image in enumerate(files.values()):
        gt = dataset[number]['gt']
        assert torch.equal(gt, torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)))


@pytest.mark.parametrize('phase', ['train', 'val'])
def test_colours_of_a_colour_file(folder: Path, phase: str) -> None:
    red, green, blue = np.moveaxis(write_images(folder)['a'].astype(np.float64), 2, 0)
    gray = pixels_of(jpeg(folder, color='gray', phase=phase, **STILL)[moment(0)]['gt'])
    assert gray.shape == (20, 24, 1)
    np.testing.assert_allclose(gray[..., 0], 0.299 * red + 0.587 * green + 0.114 * blue, atol=1)
    y = pixels_of(jpeg(folder, color='y', phase=phase, **STILL)[moment(0)]['gt'])
    np.testing.assert_allclose(y[..., 0], 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255, atol=0.501)
    np.testing.assert_allclose(y, np.rint(y), atol=1e-4)
    stock = bgr2ycbcr(cv2.imread(str(folder / 'a.png')), y_only=True)
    np.testing.assert_array_equal(np.rint(y[..., 0]), stock)


@pytest.mark.parametrize('color', ['gray', 'y', 'rgb'])
def test_colours_of_a_grey_file(tmp_path: Path, color: str) -> None:
    image = write_images(tmp_path, 1, (20, 24))['a']
    gt = pixels_of(jpeg(tmp_path, color=color, phase='val')[0]['gt'])
    assert gt.shape == (20, 24, 3 if color == 'rgb' else 1)
    np.testing.assert_array_equal(np.rint(gt), np.broadcast_to(image[..., None], gt.shape))


def test_only_jpeg_takes_y(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"dataset tiny\.color: expected gray or rgb, got 'y'"):
        gaussian(folder, color='y')
    with pytest.raises(OptionError, match=r"color: expected gray or y or rgb, got 'lab'"):
        jpeg(folder, color='lab')


# Gaussian noise


@pytest.mark.parametrize(
    ('sigma', 'color', 'phase'), [(25, 'rgb', 'train'), (5.5, 'gray', 'train'), (50, 'rgb', 'val')]
)
def test_noise_has_the_standard_deviation(tmp_path: Path, sigma: float, color: str, phase: str) -> None:
    write_images(tmp_path, 4, (400, 400, 3))  # enough pixels to tell 1 / 255 from 1 / 256
    dataset = gaussian(tmp_path, sigma=sigma, color=color, phase=phase)
    samples = [dataset[moment(value, position=value)] for value in range(4)]
    noise = np.concatenate([pixels_of(s['lq'])[None] - pixels_of(s['gt'])[None] for s in samples])
    assert noise.shape[-1] == (3 if color == 'rgb' else 1)
    assert abs(noise.std() / sigma - 1) < 4 / np.sqrt(2 * noise.size)
    assert abs(noise.mean() / sigma) < 4 / np.sqrt(noise.size)
    assert abs((noise**4).mean() / noise.var() ** 2 - 3) < 4 * np.sqrt(24 / noise.size)  # kurtosis of a normal one
    pairs = [(noise[:, 1:], noise[:, :-1]), (noise[:, :, 1:], noise[:, :, :-1]), (noise[1:], noise[:-1])]
    if color == 'rgb':
        pairs.append((noise[..., 1:], noise[..., :-1]))
    for one, other in pairs:  # white: neighbours in space, channel and batch do not correlate
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)


def test_noisy_values_are_neither_clipped_nor_quantised(folder: Path) -> None:
    lq = pixels_of(gaussian(folder, sigma=50)[moment(0)]['lq'])
    assert lq.min() < -10 and lq.max() > 265
    assert (np.abs(lq - np.rint(lq)) < 0.01).mean() < 0.1


def test_sigma_zero_is_the_clean_image(folder: Path) -> None:
    sample = gaussian(folder, sigma=0)[moment(0)]
    assert torch.equal(sample['lq'], sample['gt'])


def measured_sigmas(folder: Path, sigma: object) -> np.ndarray:
    write_images(folder, 1, (48, 48, 3))
    dataset = gaussian(folder, sigma=sigma)
    samples = [dataset[moment(0, position=position)] for position in range(80)]
    return np.array([(s['lq'] - s['gt']).std().item() * 255 for s in samples])


def test_sigma_from_a_range(tmp_path: Path) -> None:
    found = measured_sigmas(tmp_path, [10, 50])
    assert 9.6 < found.min() < 15 and 45 < found.max() < 52
    assert abs(found.mean() - 30) < 4 * 40 / np.sqrt(12 * 80)


def test_sigma_from_choices(tmp_path: Path) -> None:
    found = measured_sigmas(tmp_path, {'choices': [15, 25, 50]})
    nearest = np.array([15, 25, 50])[np.abs(found[:, None] - [15, 25, 50]).argmin(1)]
    np.testing.assert_allclose(found, nearest, rtol=0.04)
    assert all((nearest == choice).sum() > 10 for choice in (15, 25, 50))


@pytest.mark.parametrize(
    'sigma', [-1, 256, [50, 10], [10], [1, 2, 3], {'choices': []}, {'choice': [15]}, {'choices': 15}]
)
def test_sigma_that_is_none(folder: Path, sigma: object) -> None:
    with pytest.raises(
        OptionError, match=r'dataset tiny\.sigma: expected a number, \[low, high\] or .* between 0 and 255'
    ):
        gaussian(folder, sigma=sigma)


def validation_noise(dataset: Any, index: int) -> Tensor:
    return dataset[index]['lq'] - dataset[index]['gt']


def test_validation_noise_is_fixed_by_the_name(folder: Path) -> None:
    dataset = gaussian(folder, phase='val', sigma=[10, 50])
    expected = [dataset[index]['lq'] for index in range(4)]
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    again = gaussian(folder, phase='val', sigma=[10, 50])
    assert all(torch.equal(again[moment(index, seed=5)]['lq'], expected[index]) for index in range(4))
    (folder / 'a.png').unlink()
    assert torch.equal(gaussian(folder, phase='val', sigma=[10, 50])[0]['lq'], expected[1])  # b, now the first one
    shutil.copy(folder / 'b.png', folder / 'e.png')
    copied = gaussian(folder, phase='val', sigma=25)
    assert torch.equal(copied[0]['gt'], copied[3]['gt'])
    assert not torch.equal(validation_noise(copied, 0), validation_noise(copied, 3))


@pytest.mark.parametrize('color', ['gray', 'rgb'])
@pytest.mark.parametrize('cache', [False, True])
def test_lmdb_equals_disk(folder: Path, color: str, cache: bool) -> None:
    root = pack_lmdb(folder)
    for phase, index in (('val', 2), ('train', moment(2))):
        disk = gaussian(folder, phase=phase, color=color, gt_size=8)
        other = gaussian(root, phase=phase, color=color, gt_size=8, cache=cache, io_backend={'type': 'lmdb'})
        assert len(other) == 4
        assert torch.equal(other[index]['gt'], disk[index]['gt'])
        assert torch.equal(other[index]['lq'], disk[index]['lq'])
        assert other[index]['gt_path'] == 'c'


# JPEG


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """H x W x C, RGB or grey."""
    is_color = image.shape[2] == 3
    bgr = np.ascontiguousarray(image[..., ::-1] if is_color else image)
    encoded = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    return decoded[..., ::-1] if is_color else decoded[..., None]


@pytest.mark.parametrize(
    ('color', 'phase', 'quality'), [('gray', 'train', 10), ('y', 'val', 85), ('rgb', 'train', 85), ('rgb', 'val', 10)]
)
def test_jpeg_is_opencvs(folder: Path, color: str, phase: str, quality: int) -> None:
    dataset = jpeg(folder, color=color, phase=phase, quality=quality, gt_size=16)
    for value in range(4):
        sample = dataset[moment(value)]
        gt, lq = pixels_of(sample['gt']), pixels_of(sample['lq'])
        np.testing.assert_allclose(lq, np.rint(lq), atol=1e-4)
        np.testing.assert_array_equal(np.rint(lq), compressed(np.rint(gt).astype(np.uint8), quality))
        assert np.abs(lq - gt).max() > 1


def test_jpeg_keeps_the_channel_order(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'red.png'), np.full((16, 16, 3), (0, 40, 220), np.uint8))  # B, G, R
    sample = jpeg(tmp_path, phase='val', quality=90)[0]
    for image in (sample['gt'], sample['lq']):
        np.testing.assert_allclose(pixels_of(image).mean(axis=(0, 1)), [220, 40, 0], atol=4)


@pytest.mark.parametrize(
    ('option', 'expected'), [([30, 32], {30, 31, 32}), ({'choices': [10, 40]}, {10, 40}), ([7, 7], {7})]
)
def test_jpeg_quality_ends_are_included(folder: Path, option: object, expected: set[int]) -> None:
    dataset = jpeg(folder, color='gray', quality=option)
    found = set()
    for position in range(40):
        sample = dataset[moment(0, position=position)]
        gt, lq = (np.rint(pixels_of(sample[key])).astype(np.uint8) for key in ('gt', 'lq'))
        matches = [quality for quality in range(1, 101) if np.array_equal(compressed(gt, quality), lq)]
        assert len(matches) == 1
        found.update(matches)
    assert found == expected


@pytest.mark.parametrize('quality', [0, 101, [10, 101]])
def test_jpeg_quality_that_is_none(folder: Path, quality: object) -> None:
    with pytest.raises(OptionError, match=r'dataset tiny\.quality: expected a number, .* between 1 and 100'):
        jpeg(folder, quality=quality)


# Bicubic reduction


@pytest.mark.parametrize(('scale', 'color', 'phase'), [(2, 'gray', 'train'), (3, 'rgb', 'val'), (4, 'rgb', 'train')])
def test_bicubic_is_matlabs(tmp_path: Path, scale: int, color: str, phase: str) -> None:
    write_images(tmp_path, 1, (24, 36, 3))
    sample = bicubic(tmp_path, scale=scale, color=color, phase=phase, gt_size=24)[moment(0)]
    gt, lq = pixels_of(sample['gt']), pixels_of(sample['lq'])
    assert gt.shape[:2] == ((24, 24) if phase == 'train' else (24, 36))
    assert lq.shape == (gt.shape[0] // scale, gt.shape[1] // scale, gt.shape[2])
    np.testing.assert_allclose(lq, np.rint(lq), atol=1e-4)
    np.testing.assert_allclose(lq, plain_bicubic(gt, scale).clip(0, 255), atol=0.501)
    stock = imresize(sample['gt'].permute(1, 2, 0).numpy(), 1 / scale)
    np.testing.assert_array_equal(np.rint(lq), (stock * 255).round().clip(0, 255))


@pytest.mark.parametrize(('phase', 'gt_size'), [('val', None), ('val', 8), ('train', None)])
@pytest.mark.parametrize(
    ('size', 'scale', 'cut'), [((25, 19, 3), 2, (24, 18)), ((26, 19), 4, (24, 16)), ((20, 9), 3, (18, 9))]
)
def test_bicubic_cuts_odd_sizes(
    tmp_path: Path, phase: str, gt_size: int | None, size: tuple[int, ...], scale: int, cut: tuple[int, int]
) -> None:
    image = write_images(tmp_path, 1, size)['a']
    color = 'rgb' if len(size) == 3 else 'gray'
    gt_size = gt_size and gt_size * scale
    dataset = bicubic(tmp_path, scale=scale, phase=phase, gt_size=gt_size, color=color, **STILL)
    sample = dataset[moment(0)]
    assert sample['gt'].shape[1:] == cut and sample['lq'].shape[1:] == (cut[0] // scale, cut[1] // scale)
    expected = image[: cut[0], : cut[1]].reshape(*cut, -1)
    np.testing.assert_array_equal(np.rint(pixels_of(sample['gt'])), expected)


def test_bicubic_refuses_sizes_that_do_not_fit(folder: Path) -> None:
    with pytest.raises(
        OptionError, match=r'dataset tiny\.gt_size: expected a positive multiple of the scale 4, got 10'
    ):
        bicubic(folder, scale=4, gt_size=10)
    with pytest.raises(OptionError, match=r'gt_size: expected at least 1, got 0'):
        bicubic(folder, gt_size=0)
    with pytest.raises(OptionError, match='scale: expected at least 2, got 1. Set scale at the top'):
        bicubic(folder, scale=1)


# Mean blur


@pytest.mark.parametrize('size', [1, 2, 3, 5, 10, 20])
def test_mean_filter_equals_a_loop(size: int) -> None:
    for shape in [(31, 23, 3), (31, 23, 1), (22, 40, 1), (3, 4, 3)]:
        image = np.random.default_rng(0).random(shape, dtype=np.float32)
        found = mean_filter(image, size)
        assert found.shape == shape and found.dtype == np.float32
        np.testing.assert_allclose(found, plain_mean(image, size), atol=1e-6)


def test_mean_filter_of_a_point_shows_its_window() -> None:
    image = np.zeros((40, 40, 1), np.float32)
    image[20, 20] = 1
    for size, first, last in ((3, 19, 21), (5, 18, 22), (10, 16, 25), (20, 11, 30)):
        rows, columns = np.nonzero(mean_filter(image, size)[..., 0] > 0.5 / size**2)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (first, last, first, last)


@pytest.mark.parametrize('phase', ['train', 'val'])
@pytest.mark.parametrize('size', [3, 10])
def test_blur_of_ours_leaves_the_noise_white(folder: Path, size: int, phase: str) -> None:
    files = write_images(folder)
    plain = block('GaussianDenoisingDataset', folder, phase=phase, **STILL)
    sharp, blurred = build_dataset(plain), build_dataset(blur(size, plain))
    for value, image in enumerate(files.values()):
        one, other = sharp[moment(value)], blurred[moment(value)]
        np.testing.assert_allclose(pixels_of(other['gt']), plain_mean(image, size), atol=1e-4)
        noise = (one['lq'] - one['gt']).numpy()
        np.testing.assert_allclose((other['lq'] - other['gt']).numpy(), noise, atol=1e-6)
        assert noise.std() > 0.05


def test_blur_of_ours_comes_before_the_crop(tmp_path: Path) -> None:
    image = write_images(tmp_path, 1, (12, 12, 3))['a']
    dataset = build_dataset(blur(5, block('GaussianDenoisingDataset', tmp_path, gt_size=8, **STILL)))
    whole = plain_mean(image, 5)
    corners = set()
    for position in range(30):
        gt = pixels_of(dataset[moment(0, position=position)]['gt'])
        corner = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.allclose(gt, whole[y : y + 8, x : x + 8], rtol=0, atol=1e-3)
        ]
        assert len(corner) == 1
        corners.update(corner)
    assert len(corners) > 5


@pytest.mark.parametrize('color', ['y', 'gray', 'rgb'])
def test_blur_of_jpeg_compresses_the_blurred_image(folder: Path, color: str) -> None:
    plain = block('JPEGCompressionDataset', folder, color=color, phase='val', quality=20)
    sharp, sample = build_dataset(plain)[0], build_dataset(blur(3, plain))[0]
    gt = pixels_of(sample['gt'])
    np.testing.assert_allclose(gt, plain_mean(pixels_of(sharp['gt']), 3), atol=1e-3)
    np.testing.assert_array_equal(np.rint(pixels_of(sample['lq'])), compressed(np.rint(gt).astype(np.uint8), 20))


def test_blur_of_bicubic_reduces_the_blurred_image(folder: Path) -> None:
    image = write_images(folder)['a']
    sample = build_dataset(blur(3, block('BicubicSRDataset', folder, scale=2, phase='val')))[0]
    np.testing.assert_allclose(pixels_of(sample['lq']), plain_bicubic(plain_mean(image, 3), 2).clip(0, 255), atol=0.501)


@pytest.mark.parametrize('cache', [False, True])
def test_blur_nests(folder: Path, cache: bool) -> None:
    image = write_images(folder)['a']
    inner = block('GaussianDenoisingDataset', folder, phase='val', cache=cache)
    twice = build_dataset(blur(10, blur(3, inner)))
    expected = plain_mean(plain_mean(image, 3), 10)
    for _ in range(2):  # nothing that is cached is blurred again
        np.testing.assert_allclose(pixels_of(twice[0]['gt']), expected, atol=1e-3)
    noise = validation_noise(build_dataset(inner), 0)
    np.testing.assert_allclose(validation_noise(twice, 0).numpy(), noise.numpy(), atol=1e-6)


@pytest.mark.parametrize(('size', 'scale'), [(3, 1), (10, 1), (10, 2), (4, 4)])
def test_blur_of_a_stock_dataset_blurs_both(tmp_path: Path, size: int, scale: int) -> None:
    gt = write_images(tmp_path / 'gt', 1, (24, 24, 3))['a']
    lq = write_images(tmp_path / 'lq', 1, (24 // scale, 24 // scale, 3), seed=1)['a']
    options = paired(tmp_path / 'gt', tmp_path / 'lq', scale=scale, phase='val')
    sample = build_dataset(blur(size, options))[0]
    np.testing.assert_allclose(pixels_of(sample['gt']), plain_mean(gt, size), atol=1e-3)
    np.testing.assert_allclose(pixels_of(sample['lq']), plain_mean(lq, size // scale), atol=1e-3)
    twice = build_dataset(blur(scale, blur(size, options)))[0]
    np.testing.assert_allclose(pixels_of(twice['gt']), plain_mean(plain_mean(gt, size), scale), atol=1e-3)
    np.testing.assert_allclose(pixels_of(twice['lq']), plain_mean(lq, size // scale), atol=1e-3)


def test_blur_refuses_what_it_cannot_do(folder: Path) -> None:
    with pytest.raises(
        OptionError, match=r'kernel_size: expected a multiple of the scale 2, .* PairedImageDataset .* got 3'
    ):
        build_dataset(blur(3, paired(folder, folder, scale=2)))
    with pytest.raises(OptionError, match=r'dataset tiny\.kernel_size: expected at least 1, got 0'):
        build_dataset(blur(0, block('GaussianDenoisingDataset', folder)))
    with pytest.raises(OptionError, match=r'kernel_sizes: expected a known key, .* Did you mean kernel_size\?'):
        build_dataset(blur(3, block('GaussianDenoisingDataset', folder), kernel_sizes=3))


# Wrappers


@pytest.mark.parametrize('key', ['batch_size_per_gpu', 'num_worker_per_gpu', 'dataset_enlarge_ratio', 'prefetch_mode'])
def test_wrapper_refuses_keys_of_the_loader_inside(folder: Path, key: str) -> None:
    options = blur(3, block('GaussianDenoisingDataset', folder), **{key: 2})
    build_dataset(options)  # outside they stand right
    options['dataset'][key] = 2
    with pytest.raises(OptionError, match=rf'dataset tiny\.dataset\.{key}: .* Move it to the outermost level'):
        build_dataset(options)


@pytest.mark.parametrize('inner', [{}, {'dataroot_gt': '.'}])
def test_wrapper_needs_a_dataset_with_a_type(inner: Options) -> None:
    options = {'name': 'tiny', 'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': inner}
    with pytest.raises(
        OptionError, match=r'dataset tiny\.dataset: expected a dataset block with a type, got \{.*Add it'
    ):
        build_dataset(options)


def test_wrapper_needs_a_dataset() -> None:
    with pytest.raises(OptionError, match=r'dataset tiny\.dataset: expected a value, got none. Add it'):
        build_dataset({'name': 'tiny', 'type': 'MeanBlurDataset', 'kernel_size': 3})


@pytest.mark.parametrize('phase', ['train', 'val'])
def test_wrapper_passes_name_phase_and_scale_down(folder: Path, phase: str) -> None:
    options = blur(3, blur(5, block('BicubicSRDataset', folder, scale=2, phase=phase)))
    assert not {'name', 'phase', 'scale'} & set(options['dataset']['dataset'])
    dataset = build_dataset(options)
    reader = innermost(dataset)
    assert (reader.options.name, reader.options.phase, reader.options.scale) == ('tiny', phase, 2)
    assert reader.is_train == (phase == 'train') and len(dataset) == 4
    assert dataset.opt['name'] == 'tiny'
    options['dataset']['name'] = 'inner'
    assert innermost(build_dataset(options)).options.name == 'inner'


class DrawsFromGlobals(torch.utils.data.Dataset):
    """As a stock dataset: everything random comes from the globals."""

    opt = {'name': 'stock'}

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {'index': index, 'numbers': (random.random(), np.random.rand(), torch.rand(()).item())}


def test_stock_dataset_hangs_on_the_schedule() -> None:
    dataset = scheduled(DrawsFromGlobals())
    assert isinstance(dataset, StockDataset) and scheduled(dataset) is dataset
    assert len(dataset) == 3 and dataset.opt == {'name': 'stock'}
    random.seed(0)
    first = dataset[moment(2)]
    random.seed(1)
    assert dataset[moment(2)] == first and first['index'] == 2
    assert dataset[moment(2, position=1)]['numbers'][0] != first['numbers'][0]


# Loaders


def loader_options(dataset: Options, workers: int = 0, batch: int = 3, **keys: Any) -> Options:
    loader = {'batch_size_per_gpu': batch, 'num_worker_per_gpu': workers}
    opt = {'dist': False, 'num_gpu': 0, 'rank': 0, 'world_size': 1, 'manual_seed': 7, 'train': {'total_iter': 4}}
    return {**opt, 'datasets': {'train': {**dataset, **loader}}, **keys}


def batches(dataset: Options, start: int = 0, context: str | None = None, **keys: Any) -> list[dict[str, Any]]:
    opt = loader_options(dataset, **keys)
    loader = build_train_loader(build_dataset(opt['datasets']['train']), opt, start)
    if context is not None:
        loader.multiprocessing_context = context
    found = list(loader)
    assert len(found) == len(loader)
    return found


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one['gt_path'] == other['gt_path']
        assert torch.equal(one['gt'], other['gt']) and torch.equal(one['lq'], other['lq'])


TRAIN_BLOCKS: dict[str, Callable[[Path], Options]] = {
    'ours': lambda folder: block('GaussianDenoisingDataset', folder, gt_size=8, sigma=[5, 50]),
    'ours cached': lambda folder: block('GaussianDenoisingDataset', folder, gt_size=8, cache=True),
    'ours in an LMDB': lambda folder: block(
        'GaussianDenoisingDataset',
        pack_lmdb(folder),
        gt_size=8,
        io_backend={'type': 'lmdb'},
    ),
    'wrapped': lambda folder: blur(3, block('JPEGCompressionDataset', folder, gt_size=8, quality=[5, 95])),
    'stock': lambda folder: paired(folder, folder, use_hflip=True, use_rot=True),
    'stock wrapped': lambda folder: blur(3, paired(folder, folder, use_hflip=True, use_rot=True)),
    'real world': lambda folder: real_world(folder, scale=2, gt_size=8),
}
all_blocks = pytest.mark.parametrize('kind', TRAIN_BLOCKS)


@pytest.mark.filterwarnings('ignore:This DataLoader will create')
@all_blocks
def test_batches_are_the_same_for_any_number_of_workers(folder: Path, kind: str) -> None:
    train = TRAIN_BLOCKS[kind](folder)
    expected = batches(train)
    assert [len(batch['gt']) for batch in expected] == [3] * 4
    patches = torch.cat([batch['gt'] for batch in expected])
    assert len(torch.unique(patches, dim=0)) > 4  # more than there are images: crops and flips differ
    random.seed(1)
    torch.manual_seed(1)
    for workers in (1, 3):
        assert_same(batches(train, workers=workers), expected)


@pytest.mark.parametrize('context', ['forkserver', pytest.param('spawn', marks=pytest.mark.slow)])
def test_batches_are_the_same_in_a_worker_that_inherits_nothing(folder: Path, context: str) -> None:
    train = blur(3, block('GaussianDenoisingDataset', folder, gt_size=8, cache=True))
    assert_same(batches(train, workers=1, context=context), batches(train))


@all_blocks
def test_batches_resume(folder: Path, kind: str) -> None:
    train = TRAIN_BLOCKS[kind](folder)
    assert_same(batches(train, start=1), batches(train)[1:])


@all_blocks
def test_batches_of_two_ranks_are_those_of_one_process(folder: Path, kind: str) -> None:
    train = TRAIN_BLOCKS[kind](folder)
    ranks = [batches(train, dist=True, rank=rank, world_size=2) for rank in (0, 1)]
    for one, other, whole in zip(*ranks, batches(train, batch=6), strict=True):
        assert torch.equal(torch.cat([one['lq'], other['lq']]), whole['lq'])
        assert torch.equal(torch.cat([one['gt'], other['gt']]), whole['gt'])
        assert one['gt_path'] + other['gt_path'] == whole['gt_path']


def test_batches_follow_the_seed_and_the_enlarge_ratio(folder: Path) -> None:
    train = TRAIN_BLOCKS['ours'](folder)
    first = batches(train)
    assert not torch.equal(batches(train, manual_seed=8)[0]['lq'], first[0]['lq'])
    names = [Path(path).stem for batch in batches({**train, 'dataset_enlarge_ratio': 3}) for path in batch['gt_path']]
    expected = ScheduledSampler(4, 3, seed=7, start=0, stop=4, enlarge=3)
    assert names == ['abcd'[index] for index in expected]
    assert names != [Path(path).stem for batch in first for path in batch['gt_path']]


def test_samples_per_rank() -> None:
    assert samples_per_rank(loader_options({})) == 3
    assert samples_per_rank(loader_options({}, train={'accum_iter': 4})) == 12
    assert samples_per_rank(loader_options({}, num_gpu=2)) == 6
    assert samples_per_rank(loader_options({}, num_gpu=2, dist=True, train={'accum_iter': 2})) == 6


def test_accumulation_is_one_larger_batch(folder: Path) -> None:
    train = TRAIN_BLOCKS['ours'](folder)
    assert_same(batches(train, train={'total_iter': 4, 'accum_iter': 2}), batches(train, batch=6))


def test_validation_sets_are_those_of_phase_val_and_test(folder: Path) -> None:
    kinds = {'val_2': 'val', 'train': 'train', 'val': 'val', 'test_1': 'test'}
    blocks = {key: block('GaussianDenoisingDataset', folder, phase=kind, name=key) for key, kind in kinds.items()}
    assert [dataset.opt['name'] for dataset in build_validation_sets({'datasets': blocks})] == [
        'test_1',
        'val',
        'val_2',
    ]


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('kind', ['ours', 'wrapped'])
def test_ours_under_basicsrs_own_loader(tmp_path: Path, kind: str, workers: int) -> None:
    write_images(tmp_path, 1, (40, 40, 3))
    train = {**TRAIN_BLOCKS[kind](tmp_path), 'batch_size_per_gpu': 4, 'num_worker_per_gpu': workers}
    dataset = build_dataset(train)
    sampler = EnlargedSampler(dataset, 1, 0, ratio=12)
    loader = build_dataloader(dataset, train, num_gpu=0, sampler=sampler, seed=0)
    found = list(loader)
    assert [tuple(batch['lq'].shape) for batch in found] == [(4, 3, 8, 8)] * 3
    assert len(torch.unique(torch.cat([batch['gt'] for batch in found]), dim=0)) == 12


# The cache


@pytest.mark.parametrize('color', ['gray', 'y', 'rgb'])
@pytest.mark.parametrize('phase', ['train', 'val'])
def test_cache_changes_nothing(folder: Path, color: str, phase: str) -> None:
    write_images(folder / 'more', 1, (9, 31))
    shutil.move(folder / 'more' / 'a.png', folder / 'grey.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    pixels = np.random.default_rng(1).integers(0, 256, (10, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / 'turned.jpg', exif=exif)
    keys = {'color': color, 'phase': phase, 'gt_size': 8}
    plain, cached = jpeg(folder, **keys), jpeg(folder, cache=True, **keys)
    assert len(plain) == len(cached) == 6
    for value in [*range(6), *range(6)]:
        one, other = plain[moment(value)], cached[moment(value)]
        assert torch.equal(one['gt'], other['gt']) and torch.equal(one['lq'], other['lq'])
        assert one['gt_path'] == other['gt_path']
        other['gt'].zero_()  # a sample is no view of the cache
    if phase == 'val':
        assert plain[5]['gt'].shape[1:] == (30, 10)


@pytest.mark.parametrize(('color', 'channels'), [('gray', 1), ('rgb', 3)])
def test_cache_is_one_block_of_shared_memory(folder: Path, color: str, channels: int) -> None:
    cache = gaussian(folder, color=color, cache=True).cached
    assert cache.block.is_shared() and cache.block.dtype == torch.uint8
    assert cache.block.numel() == 4 * 20 * 24 * channels
    view = cache[3]
    offset = view.__array_interface__['data'][0] - cache.block.data_ptr()
    assert offset == 3 * 20 * 24 * channels and view.shape == (20, 24, channels)
    before = int(cache[1][0, 0, 0])
    child = os.fork()
    if child == 0:
        cache[1][0, 0, 0] = 255 - before
        os._exit(0)
    os.waitpid(child, 0)
    assert cache[1][0, 0, 0] == 255 - before


def test_cache_names_what_it_lacks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=1000))
    monkeypatch.setattr('os.path.isdir', lambda path: True)
    with pytest.raises(DataError, match=r'free shared memory, got 0 MB in /dev/shm. Set cache: false or .*--shm-size'):
        gaussian(folder, cache=True)
    gaussian(folder, cache=False)


# Files that are missing or broken


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"dataset tiny\.dataroot_gt: expected a folder, got '.*missing'. Correct the path"
    ):
        gaussian(tmp_path / 'missing')
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / '.hidden.png').write_bytes(b'')
    (tmp_path / 'below').mkdir()
    with pytest.raises(DataError, match=r'dataroot_gt: expected images .* got none in .*Correct the path'):
        gaussian(tmp_path)


@pytest.mark.parametrize('problem', ['no index', 'no data', 'no key'])
def test_lmdb_that_is_none(folder: Path, problem: str) -> None:
    root = folder.with_name('rgb.lmdb')
    if problem == 'no key':
        pack_lmdb(folder)
        with open(root / 'meta_info.txt', 'a') as file:
            file.write('missing.png (20,24,3) 1\n')
    else:
        root.mkdir()
        (root / ('other.txt' if problem == 'no index' else 'meta_info.txt')).write_text('a.png (20,24,3) 1\n')
    message = {
        'no index': 'expected a BasicSR LMDB with meta_info.txt, got .*rgb.lmdb',
        'no data': 'LMDB .*rgb.lmdb: expected a folder with data.mdb',
        'no key': "rgb.lmdb: expected an image under the key 'missing', got none",
    }[problem]
    with pytest.raises(DataError, match=message):
        dataset = gaussian(root, phase='val', io_backend={'type': 'lmdb'})
        dataset[len(dataset) - 1]


def test_lmdb_is_opened_once_by_several_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack_lmdb(folder)
    real_open = lmdb.open

    def slow_open(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.05)  # so that all threads are under way before the first is done, as the cache's may be
        return real_open(*arguments, **options)

    monkeypatch.setattr(lmdb, 'open', slow_open)
    with ThreadPoolExecutor(4) as pool:
        environments = list(pool.map(open_lmdb, [path] * 4))
    assert all(environment is environments[0] for environment in environments)


def test_io_backend_that_is_none(folder: Path) -> None:
    with pytest.raises(OptionError, match=r'io_backend\.type: expected disk or lmdb, got .*tape'):
        gaussian(folder, io_backend={'type': 'tape'})


def test_meta_info_selects_the_images(folder: Path, tmp_path: Path) -> None:
    write_images(folder / 'below', 1)
    (tmp_path / 'meta.txt').write_text('b.png (20,24,3)\n\nbelow/a.png\nd.png 20 24\n')
    dataset = gaussian(folder, meta_info_file=str(tmp_path / 'meta.txt'), phase='val')
    assert len(dataset) == 3
    expected = {str(folder / name) for name in ('b.png', 'below/a.png', 'd.png')}
    assert {dataset[index]['gt_path'] for index in range(len(dataset))} == expected


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('e.png', r'expected files that exist in .*, got 1 that are not: e\.png\. Correct .*meta\.txt'),
        ('../secret.png', r'expected files inside .*, got 1 that are not: \.\./secret\.png'),
        ('below/../../secret.png', r'expected files inside .*, got 1 that are not: below/\.\./\.\./secret\.png'),
        ('{root}/secret.png', r'expected files inside .*, got 1 that are not: /.*/secret\.png'),
    ],
)
def test_meta_info_with_a_wrong_name(folder: Path, tmp_path: Path, line: str, message: str) -> None:
    shutil.copy(folder / 'a.png', tmp_path / 'secret.png')
    (folder / 'below').mkdir()
    (tmp_path / 'meta.txt').write_text(f'a.png\n{line.format(root=tmp_path)}\n')
    with pytest.raises(DataError, match=rf'dataset tiny\.meta_info_file: {message}'):
        gaussian(folder, meta_info_file=str(tmp_path / 'meta.txt'))


def test_meta_info_that_is_missing(folder: Path) -> None:
    with pytest.raises(DataError, match=r"dataset tiny\.meta_info_file: expected a file, got 'missing\.txt'"):
        gaussian(folder, meta_info_file='missing.txt')


def test_files_of_a_folder_and_its_lmdb_have_one_order(tmp_path: Path) -> None:
    write_images(tmp_path / 'gt', 3)
    (tmp_path / 'gt' / 'b.png').rename(tmp_path / 'gt' / 'a-1.png')  # "-" sorts before the "." of "a.png"
    copy = pack_lmdb(tmp_path / 'gt')
    disk, other = (
        ImageFiles(str(root), kind, None, 'here') for root, kind in ((tmp_path / 'gt', 'disk'), (copy, 'lmdb'))
    )
    names = [disk.name(index) for index in range(len(disk))]
    assert sorted(names) == ['a', 'a-1', 'c']
    assert [other.name(index) for index in range(len(other))] == names


@pytest.mark.parametrize('content', [b'', b'no image', 'cut', 'flipped'])
@pytest.mark.parametrize('cache', [False, True])
def test_damaged_files_are_named(folder: Path, content: bytes | str, cache: bool) -> None:
    path = folder / 'c.png'
    whole = path.read_bytes()
    if content == 'cut':
        content = whole[: len(whole) // 2]
    elif content == 'flipped':
        content = whole[:600] + bytes([whole[600] ^ 255]) + whole[601:]
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf'{path}: expected an image, got a damaged or foreign file. Replace or remove it'
    ):
        gaussian(folder, cache=cache)[moment(2)]


@pytest.mark.parametrize('content', [b'', b'no image', b'\x89PNG\r\n\x1a\nno image'])
def test_check_names_damaged_files(folder: Path, content: bytes) -> None:
    dataset = gaussian(folder)
    check_dataset(dataset, 'datasets.train')
    (folder / 'c.png').write_bytes(content)
    with pytest.raises(DataError, match=rf'{folder}/c\.png: expected an image, got a damaged or foreign file'):
        check_dataset(dataset, 'datasets.train')


def test_file_that_vanished_is_named(folder: Path) -> None:
    dataset = gaussian(folder)
    (folder / 'c.png').unlink()
    with pytest.raises(DataError, match=rf'{folder}/c\.png: expected an image file, got No such file'):
        dataset[moment(2)]


def test_check_names_images_too_small(folder: Path) -> None:
    write_images(folder / 'small', 1, (20, 21, 3))
    shutil.move(folder / 'small' / 'a.png', folder / 'narrow.png')
    check_dataset(gaussian(folder, gt_size=20), 'datasets.train')
    dataset = bicubic(folder, gt_size=22)
    with pytest.raises(DataError, match=r'datasets\.train: expected images of at least 22 x 22 pixels') as error:
        check_dataset(dataset, 'datasets.train')
    assert all(f'{folder}/{name}.png (20 x 24)' in str(error.value) for name in 'abcd')
    assert f'{folder}/narrow.png (20 x 21)' in str(error.value) and 'lower gt_size' in str(error.value)
    with pytest.raises(DataError, match=rf'{folder}/a\.png: expected at least 22 x 22 pixels, got 20 x 24'):
        dataset[moment(0)]
    check_dataset(bicubic(folder, gt_size=22, phase='val'), 'datasets.val')  # validation takes whole images


def test_check_counts_the_small_ones(tmp_path: Path) -> None:
    write_images(tmp_path, 8, (6, 6, 3))
    write_images(tmp_path / 'large', 1, (16, 16, 3))
    shutil.move(tmp_path / 'large' / 'a.png', tmp_path / 'large.png')
    with pytest.raises(DataError, match='and 3 more') as error:
        check_dataset(gaussian(tmp_path, gt_size=8), 'datasets.train')
    assert 'large.png' not in str(error.value)
