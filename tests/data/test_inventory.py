"""The images of a dataset as paths and sizes, on disk and in LMDBs, of our datasets and of stock ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
from basicsr.data import build_dataset

from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.wrapper_base import WrapperDataset, scheduled
from basicsr_ext.errors import DataError
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item, fingerprint, read_manifest, write_manifest
from tests.helpers.images import pack_lmdb, write_noise

Options = dict[str, Any]
SIZES = {'b.png': (20, 24), 'a.jpg': (12, 9), 'c.bmp': (8, 30)}
DISK, LMDB = {'type': 'disk'}, {'type': 'lmdb'}


def write_images(folder: Path, sizes: dict[str, tuple[int, int]] = SIZES, divisor: int = 1) -> Path:
    write_noise(folder, sizes, divisor)
    return folder


def gaussian(root: Path, **keys: Any) -> Options:
    return {
        'name': 'tiny',
        'phase': 'val',
        'type': 'GaussianDenoisingDataset',
        'dataroot_gt': str(root),
        'sigma': 9,
        **keys,
    }


def paired(gt: Path, lq: Path, backend: dict[str, str], **keys: Any) -> Options:
    roots = {'dataroot_gt': str(gt), 'dataroot_lq': str(lq)}
    common = {'name': 'pairs', 'phase': 'val', 'scale': 2, 'type': 'PairedImageDataset'}
    return {**common, **roots, 'io_backend': dict(backend), **keys}


def single(lq: Path, backend: dict[str, str], **keys: Any) -> Options:
    common = {'name': 'singles', 'phase': 'val', 'scale': 1, 'type': 'SingleImageDataset'}
    return {**common, 'dataroot_lq': str(lq), 'io_backend': dict(backend), **keys}


def items(sizes: dict[str, tuple[int, int]], names: Sequence[str]) -> list[Item]:
    return [Item(name, *sizes[name]) for name in names]


def check_order(dataset: SampleDataset, key: str = 'gt') -> None:
    """Item i of the inventory is sample i of the dataset."""
    for index, item in enumerate(inventory(dataset)):
        sample = dataset[index]
        assert sample[f'{key}_path'].endswith(item.path)
        assert sample[key].shape[-2:] == (item.height, item.width)


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    return write_images(tmp_path / 'gt')


@pytest.fixture
def lq(tmp_path: Path) -> Path:
    return write_images(tmp_path / 'lq', divisor=2)


IN_LMDB = [Item('a', 12, 9), Item('b', 20, 24), Item('c', 8, 30)]


# ---- our datasets ----


def test_ours_on_disk(gt: Path) -> None:
    dataset = build_dataset(gaussian(gt))
    assert inventory(dataset) == items(SIZES, ['a.jpg', 'b.png', 'c.bmp'])
    check_order(dataset)


def test_ours_with_meta_info_file(tmp_path: Path) -> None:
    sizes = {'x/b.png': (20, 24), 'a.png': (12, 9), 'y/z/c.png': (8, 30), 'unlisted.png': (5, 5)}
    root, listed = write_images(tmp_path / 'gt', sizes), tmp_path / 'names.txt'
    listed.write_text('y/z/c.png (8,30,3)\na.png\nx/b.png 1\n')
    dataset = build_dataset(gaussian(root, meta_info_file=str(listed)))
    assert inventory(dataset) == items(sizes, ['y/z/c.png', 'a.png', 'x/b.png'])
    check_order(dataset)


def test_ours_in_an_lmdb_is_ours_on_disk(gt: Path, tmp_path: Path) -> None:
    dataset = build_dataset(gaussian(pack_lmdb(gt), io_backend=LMDB))
    assert inventory(dataset) == IN_LMDB
    check_order(dataset)
    assert fingerprint(inventory(dataset)) == fingerprint(inventory(build_dataset(gaussian(gt))))


def test_nothing_is_decoded(gt: Path, monkeypatch) -> None:
    dataset = build_dataset(gaussian(gt))
    monkeypatch.setattr(cv2, 'imdecode', None)
    assert len(inventory(dataset)) == 3


# ---- stock datasets ----


def test_paired_images_on_disk(gt: Path, lq: Path) -> None:
    dataset = build_dataset(paired(gt, lq, DISK))
    assert sorted(inventory(dataset), key=lambda item: item.path) == items(SIZES, ['a.jpg', 'b.png', 'c.bmp'])
    assert inventory(dataset) == inventory(scheduled(dataset))
    for index, item in enumerate(inventory(dataset)):
        assert dataset[index]['gt_path'].endswith(item.path)


def test_paired_images_with_meta_info_file(gt: Path, lq: Path, tmp_path: Path) -> None:
    listed = tmp_path / 'names.txt'
    listed.write_text('c.bmp (8,30,3)\nb.png (20,24,3)\n')
    dataset = build_dataset(paired(gt, lq, DISK, meta_info_file=str(listed)))
    assert inventory(dataset) == items(SIZES, ['c.bmp', 'b.png'])
    check_order(dataset)


def test_paired_images_in_lmdbs(gt: Path, lq: Path, tmp_path: Path) -> None:
    roots = pack_lmdb(gt), pack_lmdb(lq)
    dataset = build_dataset(paired(*roots, LMDB))
    assert inventory(dataset) == IN_LMDB
    assert fingerprint(inventory(dataset)) == fingerprint(inventory(build_dataset(paired(gt, lq, DISK))))


def test_single_images_on_disk(gt: Path) -> None:
    dataset = build_dataset(single(gt, DISK))
    assert inventory(dataset) == items(SIZES, ['a.jpg', 'b.png', 'c.bmp'])
    check_order(dataset, 'lq')


def test_single_images_in_an_lmdb(gt: Path, tmp_path: Path) -> None:
    dataset = build_dataset(single(pack_lmdb(gt), LMDB))
    assert sorted(inventory(dataset), key=lambda item: item.path) == IN_LMDB


def test_single_images_with_meta_info_file(gt: Path, tmp_path: Path) -> None:
    listed = tmp_path / 'names.txt'
    listed.write_text('c.bmp 1\na.jpg 1\n')
    dataset = build_dataset(single(gt, DISK, meta_info_file=str(listed)))
    assert inventory(dataset) == items(SIZES, ['c.bmp', 'a.jpg'])


def test_grey_images_in_an_lmdb(tmp_path: Path) -> None:
    folder = tmp_path / 'gt'
    folder.mkdir()
    cv2.imwrite(str(folder / 'a.png'), np.zeros((6, 7), np.uint8))
    dataset = build_dataset(single(pack_lmdb(folder), LMDB))
    assert inventory(dataset) == [Item('a', 6, 7)]


@pytest.mark.parametrize('kind', ['paired', 'single'])
def test_stock_dataset_in_an_lmdb_after_reading_from_it(gt: Path, lq: Path, tmp_path: Path, kind: str) -> None:
    """BasicSR removes `type` from io_backend when it reads the first image."""
    roots = pack_lmdb(gt), pack_lmdb(lq)
    dataset = build_dataset(paired(*roots, LMDB) if kind == 'paired' else single(roots[0], LMDB))
    before, digest = inventory(dataset), content_digest(dataset)
    assert dataset[0]['lq'].ndim == 3
    assert inventory(dataset) == before
    assert content_digest(dataset) == digest


# ---- wrappers ----


class Backwards(WrapperDataset):
    """The last two items of the inner dataset, the last one first."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.dataset[self.indices()[index]]

    def indices(self) -> Sequence[int]:
        return [len(self.dataset) - 1, len(self.dataset) - 2]


def wrapped(inner: Options) -> Options:
    outer = {key: inner[key] for key in ('name', 'phase', 'scale') if key in inner}
    return {**outer, 'type': 'wrapper', 'dataset': {key: inner[key] for key in inner if key not in outer}}


def test_inside_a_wrapper(gt: Path, lq: Path) -> None:
    blurred = build_dataset({**wrapped(gaussian(gt)), 'type': 'MeanBlurDataset', 'kernel_size': 3})
    assert inventory(blurred) == items(SIZES, ['a.jpg', 'b.png', 'c.bmp'])
    check_order(blurred)
    stock = build_dataset(paired(gt, lq, DISK))
    assert inventory(Backwards(wrapped(paired(gt, lq, DISK)))) == inventory(stock)[:0:-1]


def test_inside_wrappers_that_select(gt: Path) -> None:
    chosen = Backwards(wrapped(gaussian(gt)))
    assert inventory(chosen) == items(SIZES, ['c.bmp', 'b.png'])
    check_order(chosen)
    chosen.dataset = Backwards(wrapped(gaussian(gt)))
    assert inventory(chosen) == items(SIZES, ['b.png', 'c.bmp'])
    check_order(chosen)


# ---- what is refused ----


def test_dataset_that_does_not_list_its_images(gt: Path) -> None:
    dataset = build_dataset(single(gt, DISK))
    for paths in (None, dataset.paths[:1]):
        stub = type('Stub', (), {'opt': dataset.opt, 'paths': paths, '__len__': lambda self: 3})()
        expected = (
            'dataset singles: expected a dataset that lists one path an item, got Stub. Choose a dataset of single'
        )
        with pytest.raises(DataError, match=expected):
            inventory(stub)


def test_file_that_is_no_image(gt: Path, lq: Path) -> None:
    (gt / 'b.png').write_bytes(b'nothing')
    for options in (gaussian(gt), paired(gt, lq, DISK), single(gt, DISK)):
        with pytest.raises(DataError, match=r'b\.png: expected an image, got a damaged or foreign file'):
            inventory(build_dataset(options))


def test_files_that_are_no_images_have_no_size_where_they_are_tolerated(gt: Path, lq: Path) -> None:
    (gt / 'b.png').write_bytes(b'nothing')
    expected = [Item('a.jpg', 12, 9), Item('b.png', 0, 0), Item('c.bmp', 8, 30)]
    for options in (gaussian(gt), paired(gt, lq, DISK), single(gt, DISK)):
        found = inventory(build_dataset(options), tolerant=True)
        assert sorted(found, key=lambda item: item.path) == expected
    blurred = build_dataset({**wrapped(gaussian(gt)), 'type': 'MeanBlurDataset', 'kernel_size': 3})
    assert inventory(blurred, tolerant=True) == expected


def test_a_damaged_image_of_an_lmdb_has_no_size_where_it_is_tolerated(gt: Path, tmp_path: Path) -> None:
    root = pack_lmdb(gt)
    with lmdb.open(str(root), map_size=2**20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b'b', b'nothing')
    dataset = build_dataset(gaussian(root, io_backend=LMDB))
    assert inventory(dataset, tolerant=True) == [IN_LMDB[0], Item('b', 0, 0), IN_LMDB[2]]
    with pytest.raises(DataError, match='b: expected an image, got a damaged or foreign file'):
        inventory(dataset)


def test_tolerance_does_not_extend_to_names(tmp_path: Path) -> None:
    root = write_images(tmp_path / 'gt', {'a.png': (8, 9), 'a.jpg': (8, 9)})
    with pytest.raises(DataError, match=r'a\.png.*a\.jpg|a\.jpg.*a\.png'):
        inventory(build_dataset(gaussian(root)), tolerant=True)


def test_images_that_differ_only_by_ending_are_refused(tmp_path: Path) -> None:
    """They would be one image in an LMDB: a manifest cannot tell them apart."""
    root = write_images(tmp_path / 'gt', {'a.png': (8, 9), 'a.jpg': (8, 9), 'b.png': (8, 9)})
    with pytest.raises(DataError, match=r'a\.png.*a\.jpg|a\.jpg.*a\.png'):
        found = inventory(build_dataset(gaussian(root)))
        write_manifest(tmp_path / 'ranking.parquet', found, {'score': [1.0, 2.0, 3.0]}, {})
        read_manifest(tmp_path / 'ranking.parquet').rows_of(found, 'train')


# ---- contents ----


def test_digest_changes_with_any_file(gt: Path, lq: Path) -> None:
    options = [gaussian(gt), paired(gt, lq, DISK), single(gt, DISK)]
    before = [content_digest(build_dataset(block)) for block in options]
    assert before == [content_digest(scheduled(build_dataset(block))) for block in options]
    content = bytearray((gt / 'c.bmp').read_bytes())
    content[-1] ^= 1
    (gt / 'c.bmp').write_bytes(content)
    assert not set(before) & {content_digest(build_dataset(block)) for block in options}


def test_digest_of_pairs_sees_both_sides(gt: Path, lq: Path, tmp_path: Path) -> None:
    write_images(tmp_path / 'other', {name: (side[0] // 2 + 1, side[1] // 2) for name, side in SIZES.items()})
    own, other = (content_digest(build_dataset(paired(gt, root, DISK))) for root in (lq, tmp_path / 'other'))
    assert own != other


def test_digest_of_an_lmdb(gt: Path, tmp_path: Path) -> None:
    root = pack_lmdb(gt)
    before = content_digest(build_dataset(gaussian(root, io_backend=LMDB)))
    assert before == content_digest(build_dataset(single(root, LMDB)))
    with open(root / 'data.mdb', 'r+b') as file:
        file.seek(-1, 2)
        file.write(b'\x7f')
    assert content_digest(build_dataset(gaussian(root, io_backend=LMDB))) != before
