"""Images smaller than the training patch are padded by their mirror image, or refused with what to do."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.utils.matlab_functions import imresize

from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.reader_base import padded
from basicsr_ext.errors import DataError
from basicsr_ext.images.pixels import to_8bit
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng
from tests.helpers.images import write_noise

STILL = {'use_hflip': False, 'use_rot': False}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def build(kind: str = 'PairsDataset', scale: int = 1, **keys: Any) -> Any:
    lq = {'dataroot_lq': 'lq'} if kind == 'PairsDataset' else {}
    block = {'name': 'x', 'type': kind, 'phase': 'train', 'scale': scale, 'dataroot_gt': 'gt', **lq, **STILL}
    return build_dataset({**block, 'pad_small': 'reflect', **keys})


def moment(iteration: int = 1) -> ScheduledIndex:
    return ScheduledIndex(0, seed=5, iteration=iteration, position=0)


def mirrored(image: np.ndarray, size: int) -> np.ndarray:
    """The padding as a plain loop: there and back over the pixels of a side, those at the ends twice."""
    for axis in (0, 1):
        side = image.shape[axis]
        path = [*range(side), *reversed(range(side))]
        image = np.take(image, [path[place % len(path)] for place in range(max(side, size))], axis)
    return image


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy()).float() / 255


@pytest.mark.parametrize('shape', [(3, 30, 1), (20, 7, 3), (16, 16, 3), (17, 40, 1), (1, 1, 3)])
def test_padding_is_that_of_a_plain_loop_and_of_opencv(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = padded(image, 16)
    np.testing.assert_array_equal(found, mirrored(image, 16))
    below, right = (max(0, 16 - side) for side in shape[:2])
    same = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT).reshape(found.shape)
    np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize('scale', [1, 2])
def test_both_images_of_a_pair_are_padded_and_cropped_alike(scale: int) -> None:
    gt = write_noise('gt', {'a.png': (6, 24)})['a.png']
    lq = write_noise('lq', {'a.png': (6, 24)}, scale, seed=1)['a.png']
    dataset = build(scale=scale, gt_size=16)
    check_dataset(dataset, 'here')
    corners = set()
    for iteration in range(12):
        sample, rng = dataset[moment(iteration)], sample_rng(moment(iteration), 'crop')
        top, left = scale * int(rng.integers(0 // scale + 1)), scale * int(rng.integers(8 // scale + 1))
        assert torch.equal(sample['gt'], tensor(mirrored(gt, 16)[top : top + 16, left : left + 16]))
        box = slice(top // scale, (top + 16) // scale), slice(left // scale, (left + 16) // scale)
        assert torch.equal(sample['lq'], tensor(mirrored(lq, 16 // scale)[box]))
        corners.add((top, left))
    assert len(corners) > 2


def test_a_padded_reduction_is_the_reduction_of_the_padded_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    large = image.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(padded(large, 32)[::2, ::2], padded(image, 16))


@pytest.mark.parametrize('kind', ['GaussianDenoisingDataset', 'JPEGCompressionDataset', 'BicubicSRDataset'])
def test_datasets_that_degrade_pad_the_clean_image_first(kind: str) -> None:
    gt, scale = write_noise('gt', {'a.png': (5, 9)})['a.png'], 2 if kind == 'BicubicSRDataset' else 1
    dataset = build(kind, scale, gt_size=16)
    check_dataset(dataset, 'here')
    sample = dataset[moment()]
    assert torch.equal(sample['gt'], tensor(mirrored(gt, 16)))
    assert sample['lq'].shape == (3, 16 // scale, 16 // scale)
    if scale == 2:
        reduced = to_8bit(imresize(tensor(mirrored(gt, 16)).permute(1, 2, 0).numpy(), 0.5))
        assert torch.equal((sample['lq'] * 255).round().byte(), torch.from_numpy(reduced).permute(2, 0, 1))


@pytest.mark.parametrize('kind', ['GaussianDenoisingDataset', 'PairsDataset'])
def test_images_that_are_large_enough_give_the_samples_of_before(kind: str) -> None:
    write_noise('gt', {'a.png': (24, 20)})
    write_noise('lq', {'a.png': (24, 20)})
    first, second = (build(kind, gt_size=16, pad_small=pad)[moment()] for pad in ('reflect', None))
    assert torch.equal(first['lq'], second['lq']) and torch.equal(first['gt'], second['gt'])


@pytest.mark.parametrize('kind', ['GaussianDenoisingDataset', 'PairsDataset'])
def test_without_the_key_small_images_are_refused_and_the_advice_names_it(kind: str) -> None:
    write_noise('gt', {'a.png': (5, 9)})
    write_noise('lq', {'a.png': (5, 9)})
    dataset = build(kind, gt_size=16, pad_small=None)
    for refused in (lambda: check_dataset(dataset, 'here'), lambda: dataset[moment()]):
        with pytest.raises(DataError, match='at least 16 x 16 pixels, got .*5 x 9.* pad_small: reflect'):
            refused()


def test_in_validation_nothing_is_padded() -> None:
    write_noise('gt', {'a.png': (5, 9)})
    write_noise('lq', {'a.png': (5, 9)})
    assert build(phase='val', gt_size=16)[0]['gt'].shape == (3, 5, 9)
