"""Whole clean images: the pixels of the files, by the indices of any dataset."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.utils import bgr2ycbcr

from basicsr_ext.data.gaussian_denoising_dataset import GaussianDenoisingDataset
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, ImageError
from basicsr_ext.images.decoding import decode_image
from basicsr_ext.selection.manifest import Item, write_manifest
from tests.helpers.images import pack_lmdb, write_noise

Options = dict[str, Any]
SIZES = {'a.png': (20, 24), 'b.jpg': (22, 18), 'c.png': (30, 16)}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with gt/ and lq/ of half the size, and LMDBs of both."""
    monkeypatch.chdir(tmp_path)
    for folder, divisor in (('gt', 1), ('lq', 2)):
        write_noise(folder, SIZES, divisor, seed=divisor)
        pack_lmdb(folder, SIZES)
    Path('names.txt').write_text('c.png 1\na.png 1\n')
    items = [Item(name, *size) for name, size in SIZES.items()]
    write_manifest('ranking.parquet', items, {'rank': [2, 3, 1]}, {'method': 'influence'})
    return tmp_path


GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt'}
PAIRED = {
    'type': 'PairedImageDataset', 'scale': 2, 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}
}  # fmt: skip
KINDS: dict[str, Options] = {
    'rgb': GAUSSIAN,
    'gray': {**GAUSSIAN, 'color': 'gray'},
    'y': {'type': 'JPEGCompressionDataset', 'dataroot_gt': 'gt', 'color': 'y', 'quality': 30},
    'cached': {**GAUSSIAN, 'cache': True},
    'meta_info': {**GAUSSIAN, 'meta_info_file': 'names.txt'},
    'lmdb': {**GAUSSIAN, 'dataroot_gt': 'gt.lmdb', 'io_backend': {'type': 'lmdb'}},
    'bicubic': {'type': 'BicubicSRDataset', 'scale': 2, 'dataroot_gt': 'gt'},
    'subset': {
        'type': 'InfluenceSubsetDataset', 'manifest': 'ranking.parquet', 'range': [1, 2], 'dataset': GAUSSIAN
    },
    'stock': PAIRED,
    'stock y': {**PAIRED, 'color': 'y'},
    'stock meta_info': {**PAIRED, 'meta_info_file': 'names.txt'},
    'stock lmdb': {**PAIRED, 'dataroot_gt': 'gt.lmdb', 'dataroot_lq': 'lq.lmdb', 'io_backend': {'type': 'lmdb'}},
    'stock subset': {
        'type': 'InfluenceSubsetDataset', 'scale': 2, 'manifest': 'ranking.parquet', 'range': [1, 2], 'dataset': PAIRED
    },
    'blurred': {'type': 'MeanBlurDataset', 'kernel_size': 4, 'dataset': GAUSSIAN},
    'blurred stock': {'type': 'MeanBlurDataset', 'scale': 2, 'kernel_size': 4, 'dataset': PAIRED},
    'blurred subset': {
        'type': 'MeanBlurDataset', 'kernel_size': 4,
        'dataset': {
            'type': 'InfluenceSubsetDataset', 'manifest': 'ranking.parquet', 'range': [1, 2], 'dataset': GAUSSIAN
        },
    },
}  # fmt: skip


def build(block: Options) -> Any:
    block = {key: dict(value) if isinstance(value, dict) else value for key, value in block.items()}
    return scheduled(build_dataset({'name': 'whole', 'phase': 'val', 'scale': 1, **block}))


def pixels(path: str, kind: str) -> np.ndarray:
    """Of the file whose name, without its ending, a sample gives."""
    (name,) = (name for name in SIZES if name.partition('.')[0] == Path(path).stem)
    image = cv2.imread(f'gt/{name}')
    if kind == 'gray':
        return cv2.imread(f'gt/{name}', cv2.IMREAD_GRAYSCALE)[..., None]
    if kind.endswith('y'):
        return bgr2ycbcr(image, y_only=True)[..., None]
    return cv2.blur(image.astype(np.float32), (4, 4)) if kind.startswith('blurred') else image


@pytest.mark.parametrize('kind', KINDS)
def test_clean_images_are_the_files(data: Path, kind: str) -> None:
    dataset = build(KINDS[kind])
    images, listed = WholeImages(dataset), inventory(dataset)
    assert len(listed) == len(dataset) == (2 if 'subset' in kind or 'meta' in kind else 3)
    for index, item in enumerate(listed):
        expected = pixels(item.path, kind)
        found = images.clean(index)
        assert found.shape == expected.shape and found.shape[:2] == (item.height, item.width)
        np.testing.assert_allclose(found, expected, atol=0.5 if kind == 'stock y' else 1e-3)


@pytest.mark.parametrize('kind', KINDS)
def test_pairs_are_those_of_the_dataset(data: Path, kind: str) -> None:
    """And the criteria see the same image with and without a network."""
    dataset = build(KINDS[kind])
    images = WholeImages(dataset)
    for index in range(len(dataset)):
        lq, gt, image = images.pair(index)
        sample = dataset[index]
        assert torch.equal(lq, sample['lq']) and torch.equal(gt, sample['gt'])
        np.testing.assert_allclose(image[..., ::-1] / 255, gt.permute(1, 2, 0), atol=1e-6)  # OpenCV's order
        clean = images.clean(index)
        assert clean.shape == image.shape and clean.dtype == image.dtype
        np.testing.assert_allclose(clean, image, atol=1e-3)


def test_nothing_is_degraded_for_a_clean_image(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GaussianDenoisingDataset, 'degrade', None)
    assert WholeImages(build(GAUSSIAN)).clean(0).shape == (20, 24, 3)


def test_a_scale_that_does_not_divide_cuts_the_pair(data: Path) -> None:
    block = {'type': 'BicubicSRDataset', 'scale': 4, 'dataroot_gt': 'gt'}
    lq, gt, image = WholeImages(build(block)).pair(1)
    assert (lq.shape, gt.shape, image.shape) == ((3, 5, 4), (3, 20, 16), (20, 16, 3))
    assert (image == pixels('b', 'rgb')[:20, :16]).all()


@pytest.mark.parametrize(
    ('kind', 'damage'),
    [
        ('rgb', 'header'),
        *((kind, 'body') for kind in ('rgb', 'bicubic', 'subset', 'stock', 'blurred', 'blurred stock')),
    ],
)
def test_a_damaged_file_is_named(data: Path, kind: str, damage: str) -> None:
    dataset = build(KINDS[kind])
    place = [item.path for item in inventory(dataset)].index('a.png')
    content = Path('gt/a.png').read_bytes()
    Path('gt/a.png').write_bytes(b'no image' if damage == 'header' else content[: len(content) // 2])
    images = WholeImages(dataset)
    for read in (images.clean, images.pair):
        with pytest.raises(DataError, match=r'a\.png: expected an image, got a damaged or foreign file'):
            read(place)


def test_a_missing_file_is_named(data: Path) -> None:
    for block in (GAUSSIAN, PAIRED):
        dataset = build(block)
        place = [item.path for item in inventory(dataset)].index('c.png')
        content = Path('gt/c.png').read_bytes()
        Path('gt/c.png').unlink()
        with pytest.raises(DataError, match=r'c\.png: expected an image file, got No such file'):
            WholeImages(dataset).clean(place)
        Path('gt/c.png').write_bytes(content)


def test_a_dataset_without_ground_truth_has_clean_images_and_no_pairs(data: Path) -> None:
    images = WholeImages(build({'type': 'SingleImageDataset', 'dataroot_lq': 'gt', 'io_backend': {'type': 'disk'}}))
    assert (images.clean(0) == pixels('a', 'rgb')).all()
    with pytest.raises(DataError, match=r'expected lq and gt, got no gt\. Choose a dataset that gives both'):
        images.pair(0)


def test_a_jpeg_that_ends_early_is_refused() -> None:
    content = cv2.imencode('.jpg', np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[1].tobytes()
    assert decode_image(content, cv2.IMREAD_COLOR, 'x.jpg').shape == (64, 64, 3)
    with pytest.raises(ImageError, match=r'x\.jpg: expected a whole JPEG, got one that ends early'):
        decode_image(content[: len(content) // 2], cv2.IMREAD_COLOR, 'x.jpg')


def test_a_damaged_input_is_named(data: Path) -> None:
    dataset = build(PAIRED)
    Path('lq/a.png').write_bytes(b'no image')
    with pytest.raises(ImageError, match=r'lq/a\.png: expected an image'):
        WholeImages(dataset).pair([item.path for item in inventory(dataset)].index('a.png'))
