"""Manifests: what was written comes back, and what was not written is refused."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import basicsr
import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from basicsr_ext.errors import DataError
from basicsr_ext.selection import manifest as manifest_module
from basicsr_ext.selection.manifest import Item, fingerprint, read_manifest, write_manifest, write_patch_manifest
from basicsr_ext.version import __version__

ITEMS = [Item('b.png', 20, 24), Item('a.PNG', 321, 481), Item('folder/c.d.jpg', 8, 8)]
SCORES = [0.1, -1e-300, 3.0]
HEADER = {'method': 'influence', 'options': {'damping': [1e-4, 0.1], 'times': None}, 'seed': 3, 'products': 20}


def write(path: Path, items: list[Item] = ITEMS, **columns: list[Any]) -> Path:
    write_manifest(path, items, columns or {'score': SCORES, 'rank': [2, 3, 1]}, HEADER)
    return path


def rewrite(file: Path, /, header: bytes | None = None, **columns: list[Any] | None) -> Path:
    """Change columns of a manifest (None removes one), or its header, behind its back."""
    table = parquet.read_table(file)
    metadata = table.schema.metadata if header is None else {b'basicsr_ext': header}
    kept = {name: values for name, values in {**table.to_pydict(), **columns}.items() if values is not None}
    parquet.write_table(pyarrow.table(kept).replace_schema_metadata(metadata), file)
    return file


# ---- round trip ----


def test_round_trip(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path / 'new' / 'ranking.parquet'))
    assert manifest.items() == ITEMS
    assert manifest.column('score') == SCORES and manifest.column('rank') == [2, 3, 1]
    assert manifest.names == ['path', 'height', 'width', 'score', 'rank']
    assert manifest.source == str(tmp_path / 'new' / 'ranking.parquet')
    assert {key: manifest.header[key] for key in HEADER} == HEADER
    versions = manifest.header['versions']
    assert versions['basicsr_ext'] == __version__ and versions['basicsr'] == basicsr.__version__
    assert torch.__version__.startswith(versions['torch']) and set(versions) == {'basicsr_ext', 'basicsr', 'torch'}
    assert manifest.header['fingerprint'] == fingerprint(ITEMS)
    assert set(manifest.header) == {*HEADER, 'versions', 'fingerprint'}


def test_anybody_can_read_it(tmp_path: Path) -> None:
    table = parquet.read_table(write(tmp_path / 'ranking.parquet'))
    assert table.to_pydict() == {
        'path': ['b.png', 'a.PNG', 'folder/c.d.jpg'],
        'height': [20, 321, 8],
        'width': [24, 481, 8],
        'score': SCORES,
        'rank': [2, 3, 1],
    }
    assert [str(kind) for kind in table.schema.types] == ['string', 'int64', 'int64', 'double', 'int64']
    assert json.loads(table.schema.metadata[b'basicsr_ext'])['method'] == 'influence'


def test_writing_fails_without_a_trace(tmp_path: Path) -> None:
    path = write(tmp_path / 'ranking.parquet')
    before = path.read_bytes()
    with pytest.raises(pyarrow.ArrowInvalid):
        write(path, score=[1.0])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_manifest_of_no_images(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path / 'empty.parquet', [], score=[])).items() == []


# ---- what is refused ----


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r'manifest .*none\.parquet: expected a file, got none\. Correct the path or make'
    ):
        read_manifest(tmp_path / 'none.parquet')
    with pytest.raises(DataError, match='expected a file, got none'):
        read_manifest(tmp_path)


@pytest.mark.parametrize('content', [b'', b'path,score\na.png,1\n', b'PAR1 and then nothing of it PAR1'])
def test_file_that_is_not_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'ranking.parquet'
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'ranking\.parquet: expected a Parquet file, got .*basicsr-ext rank'):
        read_manifest(path)


def test_file_that_is_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path / 'ranking.parquet')
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match='expected a Parquet file'):
        read_manifest(path)


def test_foreign_parquet(tmp_path: Path) -> None:
    path = tmp_path / 'other.parquet'
    parquet.write_table(pyarrow.table({'path': ['a.png'], 'height': [1], 'width': [1]}), path)
    with pytest.raises(DataError, match='expected a header and a column path, got another Parquet file'):
        read_manifest(path)
    with pytest.raises(DataError, match='expected a header and a column path, got another Parquet file'):
        read_manifest(rewrite(write(tmp_path / 'ranking.parquet'), path=None))


@pytest.mark.parametrize('header', [b'not JSON', b'[]', b'"text"', b'\xff'])
def test_header_that_is_not_ours(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(DataError, match=r'manifest .*ranking\.parquet: expected'):
        read_manifest(rewrite(write(tmp_path / 'ranking.parquet'), header))


@pytest.mark.parametrize('column', ['height', 'width'])
def test_column_that_is_missing(tmp_path: Path, column: str) -> None:
    with pytest.raises(DataError, match=f"expected a column '{column}', got path, "):
        read_manifest(rewrite(write(tmp_path / 'ranking.parquet'), **{column: None}))
    manifest = read_manifest(write(tmp_path / 'ranking.parquet'))
    with pytest.raises(DataError, match="expected a column 'loss', got path, height, width, score, rank"):
        manifest.column('loss')


@pytest.mark.parametrize('path', ['/etc/passwd', '../secret.png', 'folder/../../secret.png', 'folder/..', '//x.png'])
def test_path_that_leaves_the_dataroot(tmp_path: Path, path: str) -> None:
    file = write(tmp_path / 'ranking.parquet', [*ITEMS[:2], Item(path, 8, 8)], score=SCORES)
    with pytest.raises(DataError, match=f'expected paths inside the dataroot, got {path}. Do not use it'):
        read_manifest(file)


def test_dots_in_a_name_do_not_leave_the_dataroot(tmp_path: Path) -> None:
    items = [Item('a..b.png', 1, 1), Item('..a.png', 1, 1)]
    assert read_manifest(write(tmp_path / 'ranking.parquet', items, score=[1, 2])).items() == items


@pytest.mark.parametrize(
    'columns',
    [
        {'path': ['b.png', 'x.png', 'folder/c.d.jpg']},
        {'height': [20, 321, 9]},
        {'width': [24, 480, 8]},
        {'path': ['b.png'], 'height': [20], 'width': [24], 'score': [1.0], 'rank': [1]},
    ],
)
def test_rows_that_were_changed(tmp_path: Path, columns: dict[str, list[Any]]) -> None:
    with pytest.raises(DataError, match='expected the rows that were written, got others'):
        read_manifest(rewrite(write(tmp_path / 'ranking.parquet'), **columns))


# ---- rows of a dataset ----


def test_rows_follow_the_order_of_the_dataset(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path / 'ranking.parquet'))
    assert manifest.rows_of(ITEMS, 'train') == [0, 1, 2]
    assert manifest.rows_of([ITEMS[2], ITEMS[0], ITEMS[1]], 'train') == [2, 0, 1]
    in_lmdb = [Item('a', 321, 481), Item('b', 20, 24), Item('folder/c.d', 8, 8)]
    assert manifest.rows_of(in_lmdb, 'train') == [1, 0, 2]


def test_rows_of_other_images_are_refused(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path / 'ranking.parquet'))
    with pytest.raises(DataError) as error:
        manifest.rows_of(
            [Item('b.png', 20, 25), ITEMS[1], Item('new.png', 8, 8), Item('newer.png', 8, 8)], 'train.dataset'
        )
    assert str(error.value) == (
        f'train.dataset: expected the images that {manifest.source} was made from, got 2 not in the manifest: new.png, '
        'newer.png; 1 not in the dataset: folder/c.d.jpg; 1 of another size: b.png (20 x 25 instead of 20 x 24). '
        'Correct the dataroot or make the manifest again.'
    )


def test_long_lists_of_images_are_shortened(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path / 'ranking.parquet'))
    more = [Item(f'{number}.png', 8, 8) for number in range(8)]
    with pytest.raises(DataError, match=r'got 8 not in the manifest: 0.png, 1.png, 2.png, 3.png, 4.png and 3 more\. '):
        manifest.rows_of([*ITEMS, *more], 'train')


# ---- patches ----

PATCHES = {
    'image': np.array([1, 1, 2, 0, 0, 0]), 'y': np.array([0, 0, 0, 0, 4, 8]), 'x': np.array([0, 6, 0, 0, 8, 16]),
    'size': np.full(6, 8), 'grad': np.array([0.5, 0.1, 1e-300, 0.0, 2.0, 0.3]), 'std': np.arange(6.0)
}  # fmt: skip


def write_patches(path: Path, cuts: list[int], **columns: np.ndarray) -> Path:
    """In parts that end at `cuts`."""
    every = {**PATCHES, **columns}
    parts = [{name: values[i:j] for name, values in every.items()} for i, j in pairwise([0, *cuts, 6])]
    assert write_patch_manifest(path, ITEMS, parts, {**HEADER, 'skipped': {'x.png': 'damaged'}}) == 6
    return path


def test_round_trip_of_patches(tmp_path: Path) -> None:
    manifest = read_manifest(write_patches(tmp_path / 'patches.parquet', [2, 3]))
    assert manifest.holds_patches and manifest.criteria == ['grad', 'std']
    assert manifest.names == ['path', 'y', 'x', 'size', 'grad', 'std']
    assert manifest.items() == ITEMS and manifest.header['fingerprint'] == fingerprint(ITEMS)
    assert manifest.column('path') == [ITEMS[image].path for image in PATCHES['image']]
    assert manifest.image_of_rows().tolist() == PATCHES['image'].tolist()
    for name in manifest.names[1:]:
        assert manifest.array(name).tolist() == manifest.column(name) == PATCHES[name].tolist()
    assert manifest.header['skipped'] == {'x.png': 'damaged'} and 'torch' in manifest.header['versions']
    assert not read_manifest(write(tmp_path / 'ranking.parquet')).holds_patches


def test_the_parts_do_not_show_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (write_patches(tmp_path / f'{len(cuts)}', cuts) for cuts in ([], [1, 2, 3, 4]))
    assert first.read_bytes() == second.read_bytes()
    monkeypatch.setattr(manifest_module, 'ROW_GROUP', 2)  # written down as soon as there are that many
    several = write_patches(tmp_path / 'several', [1, 2, 3, 4])
    assert parquet.ParquetFile(several).num_row_groups == 3
    assert parquet.read_table(several).equals(parquet.read_table(first))


def test_patches_of_images_that_are_not_listed_are_refused(tmp_path: Path) -> None:
    paths = [ITEMS[image].path for image in PATCHES['image'][:-1]]
    file = rewrite(write_patches(tmp_path / 'patches.parquet', []), path=[*paths, 'other.png'])
    with pytest.raises(DataError, match=r'manifest .*: expected the rows that were written, got others'):
        read_manifest(file).image_of_rows()


def test_dots_in_names_do_not_leave_the_dataroot(tmp_path: Path) -> None:
    items = [Item(name, 8, 8) for name in ('..a.png', 'a..b/c...png', './d.png')]
    assert read_manifest(write(tmp_path / 'ranking.parquet', items, score=[1.0, 2.0, 3.0])).items() == items


@pytest.mark.parametrize('images', [None, 3, [['b.png', 20]], [['b.png', 20, 24]]])
def test_patches_without_their_images_are_refused(tmp_path: Path, images: Any) -> None:
    file = write_patches(tmp_path / 'patches.parquet', [])
    header = {**read_manifest(file).header, 'images': images}
    with pytest.raises(DataError, match=r'manifest .*patches\.parquet: expected'):
        read_manifest(rewrite(file, json.dumps(header).encode()))


@pytest.mark.parametrize('path', ['/etc/passwd', '../secret.png'])
def test_paths_of_patches_do_not_leave_the_dataroot(tmp_path: Path, path: str) -> None:
    items = [Item(path, 20, 24), *ITEMS[1:]]
    write_patch_manifest(tmp_path / 'patches.parquet', items, [PATCHES], HEADER)
    with pytest.raises(DataError, match=f'expected paths inside the dataroot, got {path}'):
        read_manifest(tmp_path / 'patches.parquet')


# ---- names and fingerprint ----


@pytest.mark.parametrize(
    ('path', 'name'),
    [('a.png', 'a'), ('a.JPG', 'a'), ('x/a.b.tiff', 'x/a.b'), ('a', 'a'), ('a.b', 'a.b'), ('x.png/a', 'x.png/a')],
)
def test_name_is_the_path_without_the_ending_of_an_image(path: str, name: str) -> None:
    assert Item(path, 1, 1).name == name


def test_fingerprint_is_of_names_and_sizes_alone() -> None:
    own = fingerprint(ITEMS)
    assert own == fingerprint(ITEMS[::-1])
    assert own == fingerprint([Item(item.name, item.height, item.width) for item in ITEMS])
    others = [
        ITEMS[:2],
        [*ITEMS, Item('d.png', 1, 1)],
        [*ITEMS[:2], Item('folder/c.e.jpg', 8, 8)],
        [*ITEMS[:2], Item('c.d.jpg', 8, 8)],
        [*ITEMS[:2], Item('folder/c.d.jpg', 8, 9)],
        [Item('b.png', 24, 20), *ITEMS[1:]],
        [],
    ]
    assert len({own, *map(fingerprint, others)}) == len(others) + 1
