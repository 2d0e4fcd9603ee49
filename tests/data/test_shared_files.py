"""Files that datasets have in common: by content, whatever the name, the wrapper or the place."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import pytest
from basicsr.data import build_dataset

from basicsr_ext.data import shared_files
from basicsr_ext.data.own_pairs import OwnPairs
from basicsr_ext.data.shared_files import image_files, note_of, refuse_shared, shared, shared_with_note
from basicsr_ext.data.wrapper_base import WrapperDataset, scheduled
from basicsr_ext.errors import DataError
from tests.helpers.images import write_noise

SIZES = {'a.png': (12, 16), 'b.png': (16, 12), 'c.jpg': (20, 20)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with one/, two/ that shares two files with it under other names, and other/."""
    monkeypatch.chdir(tmp_path)
    write_noise('one', SIZES, seed=1)
    write_noise('two', {'x.png': (12, 16)}, seed=2)
    write_noise('other', SIZES, seed=3)
    Path('two/in').mkdir()
    shutil.copy('one/b.png', 'two/copy.png')
    Path('two/in/link.jpg').symlink_to(Path('one/c.jpg').absolute())
    return tmp_path


def ours(root: str, **keys: Any) -> Any:
    block = {'name': root, 'phase': 'val', 'scale': 1, 'type': 'GaussianDenoisingDataset', 'sigma': 5}
    return build_dataset({**block, 'dataroot_gt': root, **keys})


def paired(gt: str, lq: str, backend: str = 'disk') -> Any:
    block = {'name': gt, 'phase': 'val', 'scale': 1, 'type': 'PairedImageDataset'}
    return build_dataset({**block, 'dataroot_gt': gt, 'dataroot_lq': lq, 'io_backend': {'type': backend}})


def wrapped(root: str) -> Any:
    inner = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': root, 'sigma': 5}
    block = {'name': root, 'phase': 'val', 'scale': 1, 'type': 'MeanBlurDataset', 'kernel_size': 3}
    return build_dataset({**block, 'dataset': inner})


def pack(root: str, names: Sequence[str]) -> str:
    """An LMDB of the files as they are."""
    with lmdb.open(f'{root}.lmdb', map_size=2**20) as environment, environment.begin(write=True) as transaction:
        for name in names:
            transaction.put(name.partition('.')[0].encode(), Path(root, name).read_bytes())
    lines = [f'{name} ({SIZES[name][0]},{SIZES[name][1]},3) 1\n' for name in names]
    Path(f'{root}.lmdb/meta_info.txt').write_text(''.join(lines))
    return f'{root}.lmdb'


EXPECTED = [('one/b.png', 'two/copy.png'), ('one/c.jpg', 'two/in/link.jpg')]


def test_copies_and_links_are_found(folder: Path) -> None:
    assert shared(ours('one'), ours('two')) == EXPECTED
    assert shared(ours('two'), ours('one')) == [(second, first) for first, second in EXPECTED]
    assert shared(ours('one'), ours('other')) == []
    assert [first for first, _ in shared(ours('one'), ours('one'))] == [f'one/{name}' for name in SIZES]


def test_wrappers_and_stock_datasets_have_the_files_of_those_inside(folder: Path) -> None:
    shutil.copytree('one', 'lq')
    for first in (wrapped('one'), paired('one', 'lq'), scheduled(paired('one', 'lq'))):
        assert sorted(shared(first, ours('two'))) == EXPECTED
    block = {'name': 'x', 'phase': 'val', 'scale': 1, 'type': 'AllInOneDataset'}
    inner = {'type': 'GaussianDenoisingDataset', 'sigma': 5}
    groups = {name: {**inner, 'dataroot_gt': name} for name in ('other', 'two')}
    assert shared(ours('one'), build_dataset({**block, 'datasets': groups})) == EXPECTED


def test_only_clean_images_count(folder: Path) -> None:
    """The input of one dataset may be the clean image of another."""
    shutil.copytree('one', 'lq')
    assert shared(paired('other', 'lq'), ours('one')) == []


class First(WrapperDataset):
    """The first item alone."""

    def __len__(self) -> int:
        return 1

    def indices(self) -> Sequence[int]:
        return [0]


def test_images_that_are_not_chosen_do_not_count(folder: Path) -> None:
    inner = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'one', 'sigma': 5}
    first = First({'name': 'x', 'phase': 'val', 'scale': 1, 'dataset': inner})
    assert [file.path for file in image_files(first)] == ['one/a.png']
    assert shared(first, ours('two')) == []


def test_files_of_some_sizes_are_those_of_all_with_these_sizes(folder: Path) -> None:
    every = image_files(ours('two'))
    for size in {file.size for file in every}:
        assert image_files(ours('two'), {size}) == [file for file in every if file.size == size] != []
    assert image_files(ours('two'), {1}) == []


def test_the_values_of_an_lmdb_are_files(folder: Path) -> None:
    names = list(SIZES)
    root = pack('one', names)
    expected = [
        (f'{name} in one.lmdb', path) for name, path in zip('bc', ['two/copy.png', 'two/in/link.jpg'], strict=True)
    ]
    assert shared(ours(root, io_backend={'type': 'lmdb'}), ours('two')) == expected
    shutil.copytree('one.lmdb', 'lq.lmdb')
    assert sorted(shared(paired(root, 'lq.lmdb', 'lmdb'), ours('two'))) == expected
    assert len(shared(ours(root, io_backend={'type': 'lmdb'}), paired(root, 'lq.lmdb', 'lmdb'))) == 3


def test_another_encoding_of_the_same_pixels_is_another_file(folder: Path) -> None:
    Path('again').mkdir()
    cv2.imwrite('again/a.png', cv2.imread('one/a.png'), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert (cv2.imread('again/a.png') == cv2.imread('one/a.png')).all()
    assert shared(ours('one'), ours('again')) == []


def test_only_files_of_a_size_that_both_have_are_read_and_each_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    read_image = shared_files.read_image
    monkeypatch.setattr(shared_files, 'read_image', lambda root, path: read.append(path) or read_image(root, path))
    shared_files.digest_of.cache_clear()
    Path('other/c.jpg').write_bytes(b'another size')
    datasets = ours('one'), ours('two'), ours('other')
    for first in datasets:
        for second in datasets:
            if first is not second:
                shared(first, second)
    assert len(read) == len(set(read)) and 'other/c.jpg' not in read and 'one/c.jpg' in read


def test_a_changed_file_is_read_again(folder: Path) -> None:
    assert len(shared(ours('one'), ours('two'))) == 2
    content = bytearray(Path('two/copy.png').read_bytes())
    content[-1] ^= 1
    Path('two/copy.png').write_bytes(content)
    assert len(shared(ours('one'), ours('two'))) == 1


def test_datasets_that_tell_no_files_share_none(folder: Path) -> None:
    stub = type('Stub', (), {'opt': {}, '__len__': lambda self: 3})()
    bare = type('Bare', (), {'__len__': lambda self: 3})()
    own = OwnPairs([ours('one')[0]], 'mine')
    for dataset in (stub, bare, own):
        assert image_files(dataset) == [] == shared(dataset, ours('one')) == shared(ours('one'), dataset)
    gone = ours('one')
    shutil.rmtree('one')
    assert shared(gone, ours('two')) == []


def test_sets_that_share_files_are_refused_where_they_must_not(folder: Path) -> None:
    sets = {'datasets.target': ours('two'), 'datasets.val': ours('other')}
    refuse_shared(sets)
    expected = (
        r'datasets\.target and datasets\.test: expected no image in both, got 2 files: two/copy\.png is one/b\.png; '
        r'two/in/link\.jpg is one/c\.jpg\. Take'
    )
    with pytest.raises(DataError, match=expected):
        refuse_shared({**sets, 'datasets.test': ours('one')})
    with pytest.raises(DataError, match=r'got 3 files: one/a\.png; one/b\.png; one/c\.jpg\.'):
        refuse_shared({'first': ours('one'), 'second': ours('one')})
    stub = type('Stub', (), {'opt': {}, '__len__': lambda self: 3})()
    with pytest.raises(DataError, match='val: expected a dataset that tells its files, got Stub'):
        refuse_shared({**sets, 'val': stub})


# ---- notes ----


def test_a_note_finds_what_the_dataset_finds(folder: Path) -> None:
    note = note_of(ours('two'))
    assert note['name'] == 'two' and list(note['files']) == ['copy.png', 'in/link.jpg', 'x.png']
    expected = [('one/b.png', 'copy.png'), ('one/c.jpg', 'in/link.jpg')]
    assert shared_with_note(ours('one'), note) == expected
    assert shared_with_note(ours('other'), note) == []
    shutil.copytree('two', 'moved', symlinks=True)
    assert note_of(ours('moved'))['files'] == note['files']


def test_a_note_of_groups_has_the_files_of_all(folder: Path) -> None:
    inner = {'type': 'GaussianDenoisingDataset', 'sigma': 5}
    groups = {name: {**inner, 'dataroot_gt': name} for name in ('one', 'other')}
    block = {'name': 'x', 'phase': 'val', 'scale': 1, 'type': 'AllInOneDataset', 'datasets': groups}
    note = note_of(build_dataset(block))
    assert sorted(note['files']) == sorted([*SIZES, *(f'{name} (2)' for name in SIZES)])
    assert len(set(note['files'].values())) == 6


def test_of_many_files_the_note_has_one_digest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_files, 'NOTED', 2)
    note = note_of(ours('one'))
    assert note.keys() == {'name', 'digest'} and len(note['digest']) == 32
    shutil.copytree('one', 'same')
    assert [first for first, _ in shared_with_note(ours('same'), note)] == [f'same/{name}' for name in SIZES]
    assert shared_with_note(ours('two'), note) == []


@pytest.mark.parametrize('note', [None, 'text', [], {}, {'files': 'x'}, {'files': {'a': [1]}}, {'digest': 3}])
def test_a_foreign_note_finds_nothing(folder: Path, note: Any) -> None:
    assert shared_with_note(ours('one'), note) == []
