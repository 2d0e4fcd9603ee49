"""Training on a part of a ranking: which images, whose samples, and what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow
import pytest
from basicsr.data import build_dataset
from pyarrow import parquet

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.checks import check_options
from basicsr_ext.options.complete import complete
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import KEY, Item, fingerprint, write_manifest
from basicsr_ext.training.loader import build_train_loader
from tests.helpers.images import pack_lmdb, same, write_noise

Options = dict[str, Any]

NAMES = 'abcdefg'
RANKS = [4, 7, 1, 3, 6, 2, 5]  # of a to g
MID = 'adg'  # 4, 3, 5


def size_of(number: int) -> tuple[int, int]:
    """Every image has a size of its own."""
    return 20 + number, 24 - number


def items() -> list[Item]:
    return [Item(f'{name}.png', *size_of(number)) for number, name in enumerate(NAMES)]


def columns(ranks: Sequence[int] = RANKS) -> dict[str, Sequence[Any]]:
    return {'influence': [-float(rank) for rank in ranks], 'rank': ranks, 'rank_sigma15': [8 - rank for rank in ranks]}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with gt/, lq/, LMDBs of both, a meta_info_file in another order, and their ranking."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(('gt', 'lq')):
        write_noise(name, {f'{name}.png': size_of(number) for number, name in enumerate(NAMES)}, seed=seed)
        pack_lmdb(name)
    Path('meta_info.txt').write_text(''.join(f'{name}.png (1,1,3)\n' for name in reversed(NAMES)))
    write_manifest('ranking.parquet', items(), columns(), {'method': 'influence'})
    return tmp_path


GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'gt_size': 8}
PAIRED = {
    'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'gt_size': 8, 'use_hflip': True,
    'use_rot': True, 'io_backend': {'type': 'disk'},
}  # fmt: skip
INNER = {
    'folder': GAUSSIAN,
    'meta_info': {**GAUSSIAN, 'meta_info_file': 'meta_info.txt'},
    'lmdb': {**GAUSSIAN, 'dataroot_gt': 'gt.lmdb', 'io_backend': {'type': 'lmdb'}},
    'cached': {**GAUSSIAN, 'cache': True},
    'blurred': {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': GAUSSIAN},
    'stock': PAIRED,
    'stock meta_info': {**PAIRED, 'meta_info_file': 'meta_info.txt'},
    'stock lmdb': {**PAIRED, 'dataroot_gt': 'gt.lmdb', 'dataroot_lq': 'lq.lmdb', 'io_backend': {'type': 'lmdb'}},
    'blurred stock': {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': PAIRED},
}


def subset_block(inner: Options, **keys: Any) -> Options:
    part = {} if {'size', 'ratio', 'range'} & set(keys) else {'subset': 'mid', 'size': 3}
    outer = {'name': 'part', 'type': 'InfluenceSubsetDataset', 'phase': 'train', 'scale': 1}
    return {**outer, 'manifest': 'ranking.parquet', **part, 'dataset': inner, **keys}


def build(inner: Options, **keys: Any) -> Any:
    return build_dataset(subset_block(inner, **keys))


def names_in(dataset: Any) -> list[str]:
    """By asking the samples."""
    return [Path(dataset[moment(index)]['gt_path']).stem for index in range(len(dataset))]


def moment(value: int, iteration: int = 3, position: int = 2) -> ScheduledIndex:
    return ScheduledIndex(value, 5, iteration, position)


def whole_dataset(inner: Options, phase: str) -> Any:
    return scheduled(build_dataset({'name': 'whole', 'phase': phase, 'scale': 1, **inner}))


@pytest.mark.parametrize(('kind', 'phase'), [*((kind, 'train') for kind in INNER), ('folder', 'val'), ('stock', 'val')])
def test_samples_are_those_of_the_dataset_inside(data: Path, kind: str, phase: str) -> None:
    """At any place in it: a meta_info_file has an order of its own, BasicSR takes a folder as the disk gives it."""
    dataset, whole = build(INNER[kind], phase=phase), whole_dataset(INNER[kind], phase)
    every = [whole[moment(index)] for index in range(7)]
    expected = [index for index, sample in enumerate(every) if Path(sample['gt_path']).stem in MID]
    assert list(dataset.indices()) == expected
    assert len(dataset) == len(expected) == 3
    assert all(same(dataset[moment(index)], every[inner]) for index, inner in enumerate(expected))
    assert ''.join(names_in(dataset)) == ''.join(item.name for item in inventory(build(INNER[kind], phase=phase)))
    assert same(dataset[moment(0)], dataset[moment(0, iteration=4)]) == (phase == 'val')


@pytest.mark.parametrize('kind', ['folder', 'stock'])
def test_a_plain_index(data: Path, kind: str) -> None:
    """What BasicSR's own loop and validation give."""
    dataset, whole = build(INNER[kind], phase='val'), whole_dataset(INNER[kind], 'val')
    assert all(same(dataset[index], whole[inner]) for index, inner in enumerate(dataset.indices()))
    assert same(dataset[-1], dataset[2])
    with pytest.raises(IndexError):
        dataset[3]


@pytest.mark.parametrize(
    ('keys', 'names'),
    [
        ({'subset': 'top', 'size': 2}, 'cf'),
        ({'subset': 'bottom', 'size': 2}, 'be'),
        ({'subset': 'mid', 'ratio': 0.4}, 'adg'),
        ({'range': [2, 3]}, 'df'),
        ({'subset': 'top', 'size': 2, 'column': 'rank_sigma15'}, 'be'),
        ({'subset': 'top', 'ratio': 1}, NAMES),
    ],
)
def test_parts_of_the_ranking(data: Path, keys: Options, names: str) -> None:
    assert ''.join(names_in(build(GAUSSIAN, **keys))) == names  # in the order of the folder


def test_a_random_part_does_not_depend_on_the_order_of_the_dataset(data: Path) -> None:
    parts = [set(names_in(build(INNER[kind], subset='random', size=3, seed=1))) for kind in INNER]
    assert all(part == parts[0] for part in parts)
    others = [set(names_in(build(GAUSSIAN, subset='random', size=3, seed=seed))) for seed in range(2, 6)]
    assert any(part != parts[0] for part in others)


@pytest.mark.parametrize('inner', [GAUSSIAN, PAIRED])
def test_blur_outside_equals_blur_inside(data: Path, inner: Options) -> None:
    inside = build({'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': inner})
    part = {key: value for key, value in subset_block(inner).items() if key not in ('name', 'phase', 'scale')}
    outside = build_dataset(
        {'name': 'r3', 'phase': 'train', 'scale': 1, 'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': part}
    )
    assert len(outside) == 3
    assert [item.path for item in inventory(outside)] == [item.path for item in inventory(inside)]
    for index in range(3):
        assert same(outside[moment(index)], inside[moment(index)])


def test_the_chosen_ones_can_be_ranked_again(data: Path) -> None:
    chosen = [item for item in items() if item.name in MID]
    write_manifest('second.parquet', chosen, {'rank': [3, 1, 2]}, {'method': 'influence'})
    inner = {key: value for key, value in subset_block(GAUSSIAN).items() if key not in ('name', 'phase', 'scale')}
    assert names_in(build(inner, manifest='second.parquet', subset='top', size=1)) == ['d']


def test_a_part_of_a_part_says_why_it_is_refused(data: Path) -> None:
    part = {key: value for key, value in subset_block(GAUSSIAN).items() if key not in ('name', 'phase', 'scale')}
    inner = {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': part}
    with pytest.raises(DataError, match=r'dataset part\.dataset: .*that InfluenceSubsetDataset inside.*Remove one of'):
        build(inner)


@pytest.mark.parametrize('kind', ['folder', 'stock'])
def test_batches_do_not_depend_on_the_workers(data: Path, kind: str) -> None:
    def batches(workers: int) -> list[Any]:
        block = subset_block(INNER[kind], batch_size_per_gpu=2, num_worker_per_gpu=workers)
        opt = {'datasets': {'train': block}, 'train': {'total_iter': 3}, 'manual_seed': 0, 'num_gpu': 0, 'dist': False,
               'rank': 0, 'world_size': 1}  # fmt: skip
        return list(build_train_loader(build_dataset(block), opt, start=0))

    alone, helped = batches(0), batches(1)
    assert len(alone) == 3
    assert {Path(path).stem for batch in alone for path in batch['gt_path']} == set(MID)
    assert all(same(first, second) for first, second in zip(alone, helped, strict=True))


def test_checks_of_datasets_pass(data: Path) -> None:
    for inner in INNER.values():
        dataset = build(inner)
        check_dataset(dataset, 'datasets.train')
        check_pixels(dataset, 'datasets.train')


# What is refused


@pytest.mark.parametrize(
    ('keys', 'text'),
    [
        ({'size': 3}, r'dataset part\.subset: expected top, mid, bottom or random, got None'),
        ({'subset': 'middle', 'size': 3}, r"dataset part\.subset: expected 'top' or 'mid' or .*, got 'middle'"),
        ({'subset': 'mid', 'size': 3, 'ratio': 0.5}, r'dataset part\.size: expected exactly one of size, ratio and'),
        ({'subset': 'mid', 'size': 8}, r'dataset part\.size: expected at most the 7 images of the ranking, got 8'),
        ({'subset': 'mid', 'size': 2.5}, r'dataset part\.size: expected an integer or ~, got 2\.5'),
        ({'range': [1, 8]}, r'dataset part\.range: expected at most the 7 images'),
        ({'range': [1, 2], 'seeds': 1}, r"dataset part\.seeds: expected a known key, got 'seeds'. Did you mean seed\?"),
        (
            {'range': [1, 2], 'column': 'influence'},
            r'dataset part\.column: expected the ranks 1 to 7, .*got -4',
        ),
        ({'range': [1, 2], 'column': 'rank_25'}, r"dataset part\.manifest .*: expected a column 'rank_25', got path,"),
        ({'range': [1, 2], 'manifest': 'none'}, r'dataset part\.manifest none: expected a file, got none'),
        ({'range': [1, 2], 'manifest': 'gt/a.png'}, r'dataset part\.manifest gt/a\.png: expected a Parquet file'),
    ],
)
def test_options_that_are_refused(data: Path, keys: Options, text: str) -> None:
    with pytest.raises((OptionError, DataError), match=text):
        build(GAUSSIAN, **keys)


@pytest.mark.parametrize('kind', ['folder', 'stock'])
@pytest.mark.parametrize('change', ['missing', 'added', 'resized'])
def test_other_images_are_refused_by_name(data: Path, kind: str, change: str) -> None:
    for folder in ('gt', 'lq'):
        if change == 'missing':
            Path(folder, 'b.png').unlink()
        else:
            name = {'added': 'new.png', 'resized': 'b.png'}[change]
            cv2.imwrite(f'{folder}/{name}', np.zeros((30, 31, 3), np.uint8))
    problem = {
        'missing': r'1 not in the dataset: b\.png',
        'added': r'1 not in the manifest: new\.png',
        'resized': r'1 of another size: b\.png \(30 x 31 instead of 21 x 23\)',
    }
    wanted = rf'dataset part\.manifest: expected the images that ranking\.parquet was made from, got {problem[change]}'
    with pytest.raises(DataError, match=wanted):
        build(INNER[kind])


@pytest.mark.parametrize('path', ['../a.png', '/etc/a.png', 'x/../../a.png'])
def test_paths_outside_the_dataroot_are_refused(data: Path, path: str) -> None:
    foreign = [Item(path, 20, 24), *items()[1:]]
    table = pyarrow.table({name: [getattr(item, name) for item in foreign] for name in ('path', 'height', 'width')})
    header = json.dumps({'fingerprint': fingerprint(foreign)}).encode()
    parquet.write_table(table.append_column('rank', [RANKS]).replace_schema_metadata({KEY: header}), 'foreign.parquet')
    with pytest.raises(DataError, match=r'dataset part\.manifest .*: expected paths inside the dataroot, got .*a\.png'):
        build(GAUSSIAN, manifest='foreign.parquet')


def train_options(**keys: Any) -> Options:
    block = {key: value for key, value in subset_block(GAUSSIAN, **keys).items() if key not in ('phase', 'scale')}
    return {
        'name': 'tiny',
        'model_type': 'RestorationModel',
        'num_gpu': 0,
        'manual_seed': 0,
        'datasets': {'train': {**block, 'batch_size_per_gpu': 1}},
        'network_g': {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4},
        'path': {},
        'train': {'total_iter': 1, 'optim_g': {'type': 'Adam', 'lr': 1e-4}, 'pixel_opt': {'type': 'L1Loss'}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 1},
    }


def test_a_missing_manifest_is_known_before_work_starts(data: Path) -> None:
    opt = train_options()
    complete(opt, data, is_train=True)
    check_options(opt)
    Path('ranking.parquet').unlink()
    with pytest.raises(DataError, match=r"datasets\.train\.manifest: expected a file, got 'ranking\.parquet'"):
        check_options(opt)


def test_a_wrong_part_is_known_before_work_starts(data: Path) -> None:
    opt = train_options(subset='mid', size=0)
    complete(opt, data, is_train=True)
    with pytest.raises(OptionError, match=r'datasets\.train\.size: expected at least 1, got 0'):
        check_options(opt)


def test_home_is_expanded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(data))
    opt = train_options(manifest='~/ranking.parquet')
    complete(opt, data, is_train=True)
    assert opt['datasets']['train']['manifest'] == str(data / 'ranking.parquet')
    check_options(opt)
    assert len(build(GAUSSIAN, manifest='~/ranking.parquet')) == 3
