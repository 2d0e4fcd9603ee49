"""The files of our datasets and of BasicSR's behind one set of methods: same images, same answers."""

from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
from basicsr.data import build_dataset

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.stock_files import Files, StockFiles, files_of, reads_pairs
from basicsr_ext.data.wrapper_base import WrapperDataset, scheduled
from basicsr_ext.errors import DataError
from basicsr_ext.images.image_files import ImageFiles
from tests.helpers.images import pack_lmdb, write_noise

SIZES = {'a.png': (8, 12), 'b.png': (16, 10), 'c.png': (6, 20)}
LMDB = {'type': 'lmdb'}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with colour images in gt/, those of half the size in lq/, and LMDBs of both."""
    monkeypatch.chdir(tmp_path)
    for folder, divisor in (('gt', 1), ('lq', 2)):
        write_noise(folder, SIZES, divisor)
        pack_lmdb(folder)
    return tmp_path


def files(kind: str, gt: str = 'gt', lq: str = 'lq', **keys: Any) -> Files:
    roots = {
        'GaussianDenoisingDataset': {'dataroot_gt': gt},
        'SingleImageDataset': {'dataroot_lq': gt},
        'PairedImageDataset': {'dataroot_gt': gt, 'dataroot_lq': lq},
    }[kind]
    block = {'name': 'x', 'phase': 'val', 'scale': 2, 'type': kind, 'io_backend': {'type': 'disk'}, **roots, **keys}
    return files_of(build_dataset(block))


KINDS = ['GaussianDenoisingDataset', 'SingleImageDataset', 'PairedImageDataset']


@pytest.mark.parametrize('in_lmdb', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_the_same_images_give_the_same_answers(data: Path, kind: str, in_lmdb: bool) -> None:
    roots = {'gt': 'gt.lmdb', 'lq': 'lq.lmdb', 'io_backend': dict(LMDB)} if in_lmdb else {}
    found = files(kind, **roots)
    assert isinstance(found, ImageFiles if kind == 'GaussianDenoisingDataset' else StockFiles)
    assert len(found) == 3 and found.channels == 3
    order = sorted(range(3), key=found.relative)
    assert [found.relative(index) for index in order] == ([name[0] for name in SIZES] if in_lmdb else list(SIZES))
    for index, (name, size) in zip(order, SIZES.items(), strict=True):
        image = cv2.imread(f'gt/{name}')
        assert found.size(index) == size
        assert found.path(index) == found.listed(index)['gt']
        assert found.path(index) == (name[0] if in_lmdb else f'gt/{name}')
        np.testing.assert_array_equal(found.decode(index), image)
        np.testing.assert_array_equal(found.original(index), image)
        np.testing.assert_array_equal(found.grey(index), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize('in_lmdb', [False, True])
def test_pairs_give_their_input(data: Path, in_lmdb: bool) -> None:
    roots = {'gt': 'gt.lmdb', 'lq': 'lq.lmdb', 'io_backend': dict(LMDB)} if in_lmdb else {}
    found = files('PairedImageDataset', **roots)
    assert found.kinds == ('gt', 'lq')
    for index in range(3):
        name = found.relative(index).removesuffix('.png')
        np.testing.assert_array_equal(found.original(index, 'lq'), cv2.imread(f'lq/{name}.png'))
        assert found.listed(index)['lq'] == (name if in_lmdb else f'lq/{name}.png')
    sources = ['gt.lmdb/data.mdb', 'lq.lmdb/data.mdb'] if in_lmdb else [f'{r}/{n}' for r in ('gt', 'lq') for n in SIZES]
    assert sorted(found.sources()) == sources


def test_headers_are_read_of_pairs_on_disk_and_of_ours(data: Path) -> None:
    assert files('PairedImageDataset').sizes(0) == {'gt': (8, 12), 'lq': (4, 6)}
    assert files('PairedImageDataset', 'gt.lmdb', 'lq.lmdb', io_backend=dict(LMDB)).sizes(0) == {}
    assert files('SingleImageDataset').sizes(0) == {}
    assert files('GaussianDenoisingDataset').sizes(0) == {'gt': (8, 12)}


def test_luma_of_a_stock_dataset_is_not_rounded_and_that_of_ours_is(data: Path) -> None:
    stock = files('PairedImageDataset', color='y')
    assert stock.channels == 1 and stock.decode(0).shape == (8, 12, 1) and stock.decode(0).dtype == np.float32
    own = files_of(build_dataset({'name': 'x', 'phase': 'val', 'scale': 1, 'type': 'JPEGCompressionDataset',
                                  'dataroot_gt': 'gt', 'color': 'y'}))  # fmt: skip
    assert own.channels == 1 and own.decode(0).dtype == np.uint8
    assert 0 < abs(stock.decode(0) - own.decode(0)).max() <= 0.5 + 1e-4
    assert stock.original(0).shape == (8, 12, 3) and own.original(0).shape == (8, 12, 1)


@pytest.mark.parametrize('kind', ['gt', 'lq'])
def test_a_check_decodes_pairs_in_lmdbs(data: Path, kind: str) -> None:
    block = {'type': 'PairedImageDataset', 'dataroot_gt': 'gt.lmdb', 'dataroot_lq': 'lq.lmdb', 'io_backend': dict(LMDB)}
    dataset = build_dataset({'name': 'x', 'phase': 'val', 'scale': 2, **block})
    with lmdb.open(f'{kind}.lmdb', map_size=2**20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b'b', b'nothing')
    with pytest.raises(DataError, match=r'datasets\.val: expected images that decode, got b\. Replace'):
        check_pixels(dataset, 'datasets.val')


def test_a_dataset_that_tells_no_files_has_none(data: Path) -> None:
    stub = type('Stub', (), {'opt': {'name': 'x', 'dataroot_gt': 'gt'}, '__len__': lambda self: 3})()
    found = files_of(stub)
    assert found.listed(0) == {} and found.sizes(0) == {} and found.kinds == ('gt',) and found.sources() == []
    with pytest.raises(DataError, match='dataset x: expected a dataset that lists one path an item, got Stub'):
        found.path(0)
    stub.paths = ['gt/notes.txt', 'gt/a.png']
    assert found.listed(1) == {} and files_of(stub).listed(0) == {} and files_of(stub).listed(1) == {'gt': 'gt/a.png'}
    with pytest.raises(DataError, match='expected a dataset that lists one path an item'):
        files_of(stub).relative(1)


def test_files_of_a_users_dataset_that_calls_something_else_files(data: Path) -> None:
    members = {'opt': {'dataroot_gt': 'gt'}, 'files': ['x'], 'paths': ['gt/a.png'], '__len__': lambda self: 1}
    stub = type('Stub', (), members)()
    assert files_of(stub).relative(0) == 'a.png'


def test_a_wrapper_that_chooses_needs_no_word_of_its_own(data: Path) -> None:
    """A new wrapper says what it chooses; inventory, digest and pairs follow."""

    class Last(WrapperDataset):
        def indices(self) -> list[int]:
            return [len(self.dataset) - 1]

        def __len__(self) -> int:
            return 1

    pairs = {'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}}
    last = Last({'name': 'x', 'phase': 'val', 'scale': 2, 'type': 'Last', 'dataset': pairs})
    inside = scheduled(build_dataset({'name': 'x', 'phase': 'val', 'scale': 2, **pairs}))
    assert inventory(last) == inventory(inside)[-1:]
    assert content_digest(last) == content_digest(inside) and reads_pairs(last)
    assert last.distinct_items(0, np.array([]), 1.0, 0) == 0 and last.distinct_items(1, np.array([]), 1.0, 0) == 1
    assert list(last.plan(None)) == []  # type: ignore[arg-type]
