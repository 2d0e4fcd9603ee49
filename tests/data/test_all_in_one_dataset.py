"""Several datasets as one: whose samples, under which names, with every job and wrapper around and inside."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.data import build_dataset

from basicsr_ext.__main__ import main
from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.from_manifest import dataset_of, index_of_places
from basicsr_ext.data.image_names import result_names
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.nesting import innermost, readers, source, used_items
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.checks import check_options
from basicsr_ext.options.complete import complete
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import Item, read_manifest, write_manifest
from basicsr_ext.selection.subsets.choose import choose
from basicsr_ext.training.loader import build_train_loader
from tests.helpers.images import same
from tests.helpers.training import options, train

Options = dict[str, Any]

SIZES = {'a': (30, 34), 'b': (32, 28), 'c': (40, 26)}
DISK = {'type': 'disk'}
RAIN = {'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': DISK, 'gt_size': 16,
        'use_hflip': True, 'use_rot': True, 'meta_info_file': 'meta_info.txt'}  # fmt: skip
NOISE = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25, 'gt_size': 16}
MORE = {**NOISE, 'dataroot_gt': 'other', 'sigma': [10, 40]}
GROUPS = {'rain': RAIN, 'noise25': NOISE, 'more': MORE}
PATHS = (
    [f'rain/{name}.png' for name in 'abc'] + [f'noise25/{name}.png' for name in 'abc'] + ['more/a.png', 'more/b.png']
)
RANKS = [4, 1, 7, 8, 3, 5, 2, 6]  # of these


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with gt/, lq/ and other/, and a ranking of all."""
    monkeypatch.chdir(tmp_path)
    for seed, (folder, names) in enumerate({'gt': 'abc', 'lq': 'abc', 'other': 'ab', 'val': 'a'}.items()):
        Path(folder).mkdir()
        rng = np.random.default_rng(seed)
        for name in names:
            cv2.imwrite(f'{folder}/{name}.png', rng.integers(0, 256, (*SIZES[name], 3), np.uint8))
    Path('meta_info.txt').write_text('a.png (1,1,3)\nb.png (1,1,3)\nc.png (1,1,3)\n')  # else in the order of the disk
    items = [Item(path, *SIZES[Path(path).stem], path.split('/')[0]) for path in PATHS]
    write_manifest('ranking.parquet', items, {'rank': RANKS}, {'method': 'complexity'})
    return tmp_path


def block(groups: Options = GROUPS, **keys: Any) -> Options:
    return {
        'name': 'all',
        'type': 'AllInOneDataset',
        'phase': 'train',
        'scale': 1,
        'datasets': copy.deepcopy(groups),
        **keys,
    }


def around(kind: str, inner: Options | None = None, **keys: Any) -> Options:
    inner = {key: value for key, value in (inner or block()).items() if key not in ('name', 'phase', 'scale')}
    return {'name': 'outer', 'type': kind, 'phase': 'train', 'scale': 1, 'dataset': inner, **keys}


def moment(value: int, warmup: bool | None = None, epoch: int = 0) -> ScheduledIndex:
    return ScheduledIndex(value, 5, 3, 2, warmup, epoch, 8.0)


# ---- the union ----


@pytest.mark.parametrize('phase', ['train', 'val'])
def test_items_are_those_of_the_groups_in_turn(data: Path, phase: str) -> None:
    dataset = build_dataset(block(phase=phase))
    alone = [scheduled(build_dataset({'name': 'x', 'phase': phase, 'scale': 1, **inner})) for inner in GROUPS.values()]
    expected = [part[moment(index)] for part in alone for index in range(len(part))]
    assert len(dataset) == len(expected) == 8
    assert all(same(dataset[moment(index)], sample) for index, sample in enumerate(expected))
    assert [part.opt['name'] for part in readers(dataset)] == ['all.rain', 'all.noise25', 'all.more']


def test_a_plain_index(data: Path) -> None:
    """What BasicSR's own loop and validation give."""
    dataset = build_dataset(block(phase='val'))
    assert [Path(dataset[index]['gt_path']).stem for index in range(8)] == list('abcabcab')
    assert same(dataset[-1], dataset[7])
    for index in (8, -9):
        with pytest.raises(IndexError):
            dataset[index]


def test_the_images_and_their_groups(data: Path) -> None:
    items = inventory(build_dataset(block()))
    assert [item.path for item in items] == PATHS
    assert [item.group for item in items] == [path.split('/')[0] for path in PATHS]
    nested = inventory(build_dataset(block({'x': {'type': 'AllInOneDataset', 'datasets': {'y': NOISE, 'z': MORE}}})))
    assert [(item.path, item.group) for item in nested] == [
        (f'x/{path}', 'x') for path in ('y/a.png', 'y/b.png', 'y/c.png', 'z/a.png', 'z/b.png')
    ]


def test_the_digest_sees_every_file(data: Path) -> None:
    before = content_digest(build_dataset(block()))
    assert before == content_digest(build_dataset(block()))
    image = cv2.imread('other/b.png')
    cv2.imwrite('other/b.png', 255 - image)
    assert before != content_digest(build_dataset(block()))


def test_whole_images_are_those_of_the_groups(data: Path) -> None:
    dataset = build_dataset(block({**GROUPS, 'more': {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': MORE}},
                                  phase='val'))  # fmt: skip
    whole = WholeImages(dataset)
    folders = ['gt'] * 6 + ['other'] * 2
    for index, (folder, path) in enumerate(zip(folders, PATHS, strict=True)):
        image = cv2.imread(f'{folder}/{Path(path).name}')
        lq, gt, clean = whole.pair(index)
        assert whole.is_changed(index) == (folder == 'other')
        if folder == 'gt':
            assert (whole.clean(index) == image).all() and (clean == image).all()
        else:
            assert np.abs(clean - cv2.blur(image.astype(np.float32), (3, 3))).max() < 1e-3
        assert lq.shape == gt.shape == (3, *image.shape[:2])


def test_checks_look_at_every_group(data: Path) -> None:
    dataset = build_dataset(block())
    check_dataset(dataset, 'datasets.train')
    check_pixels(dataset, 'datasets.train')
    Path('other/b.png').write_bytes(Path('other/b.png').read_bytes()[:60])
    with pytest.raises(DataError, match=r'datasets\.train: expected images that decode, got other/b\.png'):
        check_pixels(dataset, 'datasets.train')
    cv2.imwrite('lq/b.png', np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match=r'datasets\.train: expected GT 1 times as large as LQ, got .*gt/b\.png'):
        check_dataset(build_dataset(block()), 'datasets.train')


def loader(outer: Options, workers: int = 0, start: int = 0) -> list[Options]:
    train = {**outer, 'batch_size_per_gpu': 3, 'num_worker_per_gpu': workers}
    opt = {'datasets': {'train': train}, 'train': {'total_iter': 6}, 'manual_seed': 0, 'num_gpu': 0, 'dist': False,
           'rank': 0, 'world_size': 1}  # fmt: skip
    return list(build_train_loader(build_dataset(outer), opt, start))


def test_batches_depend_neither_on_the_workers_nor_on_the_start(data: Path) -> None:
    whole = loader(block())
    assert len({path for batch in whole for path in batch['gt_path']}) == 5
    for others in (loader(block(), workers=2), loader(block(), start=3)):
        assert all(same(a, b) for a, b in zip(others, whole[-len(others) :], strict=True))


# ---- wrappers around it ----


@pytest.mark.parametrize('per_group', [False, True])
@pytest.mark.parametrize('subset', ['top', 'mid', 'bottom', 'random'])
def test_a_subset_of_all(data: Path, subset: Any, per_group: bool) -> None:
    keys = {'manifest': 'ranking.parquet', 'subset': subset, 'size': 4, 'per_group': per_group}
    dataset, whole = build_dataset(around('InfluenceSubsetDataset', **keys)), build_dataset(block())
    groups = [path.split('/')[0] for path in PATHS]
    rows = choose(RANKS, subset, size=4, groups=groups if per_group else None)
    assert [item.path for item in inventory(dataset)] == [PATHS[row] for row in rows]
    assert all(same(dataset[moment(index)], whole[moment(row)]) for index, row in enumerate(rows))
    used = {(reader.opt['name'], index) for reader, indices in used_items(dataset) for index in indices}
    assert used == {(f'all.{groups[row]}'.replace('all', 'outer'), source(whole, row)[1]) for row in rows}


def test_a_dynamic_selection_of_all(data: Path) -> None:
    keys = {'manifest': 'ranking.parquet', 'size': 5, 'per_group': True}
    dynamic = build_dataset(around('DynamicSubsetDataset', **keys))
    static = build_dataset(around('InfluenceSubsetDataset', subset='top', **keys))
    for epoch in range(8):
        names = [dynamic[moment(index, epoch=epoch)]['gt_path'] for index in range(5)]
        assert sum(name.startswith('other') for name in names) in (1, 2)
    assert all(same(dynamic[moment(index, epoch=7)], static[moment(index, epoch=7)]) for index in range(5))
    check_dataset(dynamic, 'datasets.train')


def test_a_dynamic_selection_in_each_group(data: Path) -> None:
    write_manifest('rain.parquet', [Item(f'{n}.png', *SIZES[n]) for n in 'abc'], {'rank': [2, 3, 1]}, {'method': 'x'})
    inner = {'type': 'DynamicSubsetDataset', 'manifest': 'rain.parquet', 'size': 1, 'until': 0.25, 'dataset': RAIN}
    dataset = build_dataset(block({'rain': inner, 'more': MORE}))
    assert len(dataset) == 3
    # With 3 images and quantiles 0.5, 0.75 and 1, as many as 2, 1 and 0 are left out above.
    assert [Path(dataset[moment(0, epoch=epoch)]['gt_path']).stem for epoch in (0, 1, 2, 7)] == ['b', 'a', 'c', 'c']
    assert [indices for _, indices in used_items(dataset)] == [[0, 1, 2], [0, 1]]


def test_a_warm_up_around_and_none_inside(data: Path) -> None:
    dataset, plain = build_dataset(around('PixelShuffleWarmupDataset', stop={'iter': 4})), build_dataset(block())
    for index in range(8):
        shuffled, sample = dataset[moment(index, warmup=True)], plain[moment(index)]
        assert same(dataset[moment(index, warmup=False)], sample)
        assert not torch.equal(shuffled['gt'], sample['gt'])
        assert torch.equal(shuffled['gt'].flatten().sort()[0], sample['gt'].flatten().sort()[0])
    inner = {'type': 'PixelShuffleWarmupDataset', 'stop': {'iter': 4}, 'dataset': NOISE}
    with pytest.raises(OptionError, match=r'dataset all\.datasets\.noise: expected no warm-up of one group.*Put the'):
        build_dataset(block({'noise': inner, 'more': MORE}))


def test_blur_of_equal_kinds_only(data: Path) -> None:
    groups = {'noise25': NOISE, 'more': MORE}
    outside = build_dataset(around('MeanBlurDataset', block(groups), kernel_size=3))
    inside = build_dataset(
        block({name: {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': inner} for name, inner in groups.items()})
    )
    assert all(same(outside[moment(index)], inside[moment(index)]) for index in range(5))
    with pytest.raises(OptionError, match=r'dataset outer\.dataset: expected groups that are all blurred before'):
        build_dataset(around('MeanBlurDataset', kernel_size=3))


# ---- jobs ----


def in_file(name: str, opt: Options) -> str:
    Path(name).write_text(yaml.safe_dump(opt, sort_keys=False))
    return name


def mined() -> None:
    """Write results/mined/patches.parquet."""
    union = {key: value for key, value in block().items() if key not in ('phase', 'scale')}
    mine = {'patch_size': 16, 'stride': 8, 'criteria': ['grad']}
    opt = {'name': 'mined', 'num_gpu': 0, 'manual_seed': 0, 'scale': 1, 'mine': mine, 'datasets': {'train': union}}
    assert main(['mine', '-opt', in_file('mine.yml', opt)]) == 0


def test_mined_patches_of_all(data: Path) -> None:
    mined()
    manifest = read_manifest('results/mined/patches.parquet')
    paths = [item.path for item in manifest.items()]
    assert paths == sorted(PATHS)
    keys = {'manifest': 'results/mined/patches.parquet', 'keep': 1.0}
    dataset = build_dataset(around('MinedPatchDataset', **keys))
    assert len(dataset) == len(manifest.table)
    images, (y, x) = manifest.image_of_rows(), (manifest.array(side) for side in ('y', 'x'))
    for index in range(len(dataset)):
        sample = dataset[moment(index)]
        image = cv2.imread(sample['gt_path'])[..., ::-1].astype(np.float32) / np.float32(255)
        part = torch.from_numpy(image[y[index] : y[index] + 16, x[index] : x[index] + 16].copy()).permute(2, 0, 1)
        turned = [torch.rot90(each, turns, (1, 2)) for each in (part, part.flip(2)) for turns in range(4)]
        assert Path(sample['gt_path']).name == Path(paths[images[index]]).name
        assert any(torch.equal(sample['gt'], each) for each in turned)
    rain = [index for index in range(len(dataset)) if paths[images[index]].startswith('rain')]
    flipped = {same(dataset[ScheduledIndex(rain[0], 5, n, 2)], dataset[moment(rain[0])]) for n in range(4, 20)}
    assert False in flipped  # pairs of files are flipped too


def test_mined_patches_of_a_subset_of_all(data: Path) -> None:
    mined()
    chosen = {'type': 'InfluenceSubsetDataset', 'manifest': 'ranking.parquet', 'subset': 'top', 'size': 2}
    inner = {**chosen, 'dataset': {'type': 'AllInOneDataset', 'datasets': GROUPS}}
    dataset = build_dataset(around('MinedPatchDataset', inner, manifest='results/mined/patches.parquet', keep=1.0))
    assert {path for path, rank in zip(PATHS, RANKS, strict=True) if rank <= 2} == {'rain/b.png', 'more/a.png'}
    found = [dataset[moment(index)]['gt_path'] for index in range(len(dataset))]
    assert set(found) == {'gt/b.png', 'other/a.png'}
    assert [indices for _, indices in used_items(dataset)] == [[1], [], [0]]


def test_the_images_of_a_manifest_are_found_again_and_exported(data: Path) -> None:
    mined()
    manifest = read_manifest('results/mined/patches.parquet')
    dataset = dataset_of(manifest)
    assert index_of_places(manifest, dataset, 'here') == {place: place for place in range(8)}
    assert main(['export', 'results/mined/patches.parquet', '-o', 'patches']) == 0
    gt, lq = (sorted(path.name for path in Path('patches', kind).iterdir()) for kind in ('GT', 'LQ'))
    assert gt == lq and len(gt) == len(manifest.table)
    first = cv2.imread('patches/LQ/rain_a_s001.png')
    assert (first == cv2.imread('lq/a.png')[:16, :16]).all()
    assert (cv2.imread('patches/GT/more_a_s001.png') == cv2.imread('other/a.png')[:16, :16]).all()
    with pytest.raises(OptionError, match=r'--dataroot: expected a manifest of one dataset, got one of 3'):
        dataset_of(manifest, 'gt')


def rank_options(**level: Any) -> Options:
    levels = [{'name': 'one', 'dataset': level}] if level else []
    return {
        'name': 'ranked',
        'num_gpu': 0,
        'scale': 1,
        'datasets': {'train': {'name': 'all', 'type': 'AllInOneDataset', 'datasets': copy.deepcopy(GROUPS)},
                     'test': {'name': 'test', **NOISE}},
        'network_g': {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4},
        'path': {'pretrain_network_g': None},
        'rank': {'method': 'random', 'levels': levels},
    }  # fmt: skip


def test_a_ranking_of_all_has_groups(data: Path) -> None:
    assert main(['rank', '-opt', in_file('rank.yml', rank_options())]) == 0
    manifest = read_manifest('results/ranked/ranking.parquet')
    assert manifest.column('group') == [path.split('/')[0] for path in PATHS]
    assert main(['export', 'results/ranked/ranking.parquet', '-o', 'top.txt', '--subset', 'top', '--ratio', '0.1',
                 '--per_group']) == 0  # fmt: skip
    assert sorted(line.split('/')[0] for line in Path('top.txt').read_text().splitlines()) == [
        'more',
        'noise25',
        'rain',
    ]


def test_exporting_per_group_needs_groups_and_a_part(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest('flat.parquet', [Item('a.png', 1, 1)], {'rank': [1]}, {'method': 'x'})
    job = ['export', 'flat.parquet', '-o', 'x.txt', '--per_group']
    assert main([*job, '--subset', 'top', '--size', '1']) == 2
    assert '--per_group: expected a ranking with a column group' in capsys.readouterr().err
    assert main(job) == 2
    assert '--per_group: expected it with --subset' in capsys.readouterr().err


def test_keys_of_a_level_belong_to_one_block(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['rank', '-opt', in_file('rank.yml', rank_options(sigma=15))]) == 2
    assert 'rank.levels.0.dataset: expected one block that reads images in datasets.train' in capsys.readouterr().err


def training(root: Path, **keys: Any) -> Options:
    outer = {**around('DynamicSubsetDataset', manifest='ranking.parquet', size=4, per_group=True), 'name': 'train'}
    val = {'name': 'val', **NOISE, 'dataroot_gt': 'val'}
    network = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
    part = {key: value for key, value in outer.items() if key not in ('phase', 'scale')}
    return options(root, scale=1, datasets__train={**part, 'batch_size_per_gpu': 3, **keys}, datasets__val=val,
                   network_g=network)  # fmt: skip


def test_training_on_all(data: Path) -> None:
    file = Path(in_file('run.yml', training(data)))
    assert 'options, files and the first batch are sound' in train(file, data, '--check')
    output = train(file, data)
    assert 'Dynamic selection: 4 of 8 images per epoch' in output
    assert (data / 'experiments/run/models/net_g_6.pth').is_file()


# ---- groups that hold groups ----

LEVELS = {f'sigma{sigma}': {**NOISE, 'sigma': sigma} for sigma in (15, 25, 50)}
TASKS = {'rain': RAIN, 'noise': {'type': 'AllInOneDataset', 'datasets': LEVELS}, 'blur': {**RAIN, 'dataroot_lq': 'gt'}}


def per_task(kind: str, **keys: Any) -> Any:
    keys = {'manifest': 'results/ranked/ranking.parquet', 'size': 6, 'per_group': True, **keys}
    return build_dataset(around(kind, block(TASKS), **keys))


def rank_tasks() -> None:
    opt = {'name': 'ranked', 'num_gpu': 0, 'rank': {'method': 'complexity', 'criterion': 'entropy'}}
    train = {'name': 'all', 'type': 'AllInOneDataset', 'datasets': TASKS}
    assert main(['rank', '-opt', in_file('rank.yml', {**opt, 'datasets': {'train': train}})]) == 0


def test_a_ranking_counts_what_a_group_holds_as_one(data: Path) -> None:
    rank_tasks()
    manifest = read_manifest('results/ranked/ranking.parquet')
    levels = [f'noise/{level}/{name}.png' for level in LEVELS for name in 'abc']
    assert manifest.column('path') == [f'rain/{n}.png' for n in 'abc'] + levels + [f'blur/{n}.png' for n in 'abc']
    assert manifest.column('group') == ['rain'] * 3 + ['noise'] * 9 + ['blur'] * 3
    again = inventory(dataset_of(manifest))
    indices = index_of_places(manifest, dataset_of(manifest), 'here')
    assert [again[indices[place]].path for place in range(15)] == manifest.column('path')
    whole = build_dataset(block(TASKS, phase='val'))
    assert result_names(whole)[2:5] == ['rain/c', 'sigma15/a', 'sigma15/b']
    alone = build_dataset({'name': 'x', 'phase': 'train', 'scale': 1, **LEVELS['sigma50']})
    assert same(build_dataset(block(TASKS))[moment(10)], alone[moment(1)])


@pytest.mark.parametrize('subset', ['top', 'mid', 'bottom', 'random'])
def test_tasks_have_equal_shares_however_many_levels_they_hold(data: Path, subset: str) -> None:
    rank_tasks()
    chosen = [item.group for item in inventory(per_task('InfluenceSubsetDataset', subset=subset))]
    assert Counter(chosen) == {'rain': 2, 'noise': 2, 'blur': 2}
    most = [item.group for item in inventory(per_task('InfluenceSubsetDataset', subset=subset, size=12))]
    assert Counter(most) == {'rain': 3, 'noise': 6, 'blur': 3}


@pytest.mark.parametrize('order', ['rising', 'random'])
def test_tasks_have_equal_shares_in_every_epoch(data: Path, order: str) -> None:
    rank_tasks()
    dataset, groups = per_task('DynamicSubsetDataset', order=order), []
    for epoch in range(8):
        items = [dataset.inner_index(moment(index, epoch=epoch)) for index in range(6)]
        groups.append(Counter(inventory(dataset.dataset)[item].group for item in items))
    assert groups == [{'rain': 2, 'noise': 2, 'blur': 2}] * 8


def test_the_most_complex_image_of_a_task_is_taken_at_every_level(data: Path) -> None:
    rank_tasks()
    chosen = [item.path for item in inventory(per_task('InfluenceSubsetDataset', subset='top', size=9))]
    noisy = [Path(path) for path in chosen if path.startswith('noise')]
    assert {path.parent.name for path in noisy} == set(LEVELS) and len({path.name for path in noisy}) == 1


def test_training_on_tasks(data: Path) -> None:
    rank_tasks()
    inner = {'type': 'AllInOneDataset', 'datasets': TASKS}
    opt = training(data, manifest=str(data / 'results/ranked/ranking.parquet'), size=6, dataset=inner)
    assert 'options, files and the first batch are sound' in train(Path(in_file('run.yml', opt)), data, '--check')


# ---- what is refused ----


@pytest.mark.parametrize(
    ('groups', 'text'),
    [
        ({}, r'dataset all\.datasets: expected a block a group, got none'),
        ({'a/b': NOISE}, r"dataset all\.datasets: expected names of groups, which become folders of paths, got 'a/b'"),
        ({15: NOISE}, r'dataset all\.datasets: expected names of groups, .*got 15'),
        ({'rain': None}, r'dataset all\.datasets\.rain: expected a dataset block with a type, got None'),
        ({'rain': {**NOISE, 'batch_size_per_gpu': 4}}, r'dataset all\.datasets\.rain\.batch_size_per_gpu: .*outermost'),
        ({'a': NOISE, 'b': {**NOISE, 'gt_size': 8}}, r'datasets: expected the same gt_size in all .*16 in a, 8 in b'),
        ({'a': NOISE, 'b': {**NOISE, 'color': 'gray'}}, r'the same number of channels in all groups, got 3 in a, 1 in'),
        ({'a': NOISE, 'b': {**NOISE, 'scale': 2}}, r'expected the same scale in all groups, got 1 in a, 2 in b'),
        ({'a': {**NOISE, 'sigmas': 3}}, r"dataset all\.a\.sigmas: expected a known key, got 'sigmas'"),
    ],
)
def test_groups_that_are_refused(data: Path, groups: Options, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        build_dataset(block(groups))


def test_samples_without_truth_are_refused(data: Path) -> None:
    single = {'type': 'SingleImageDataset', 'dataroot_lq': 'lq', 'io_backend': DISK, 'gt_size': 16}
    with pytest.raises(
        DataError, match=r'dataset all: expected lq, gt, lq_path, gt_path in every sample, got no gt in'
    ):
        build_dataset(block({'a': NOISE, 'b': single}))[moment(3)]


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'sigmas': 3}, r"datasets\.train\.dataset\.datasets\.noise25\.sigmas: expected a known key, got 'sigmas'"),
        ({'type': 'Gaussian'}, r'datasets\.train\.dataset\.datasets\.noise25\.type: expected a name in the registry'),
        ({'dataroot_gt': 'none'}, r"datasets\.train\.dataset\.datasets\.noise25\.dataroot_gt: .*got 'none'"),
        ({'pin_memory': True}, r'datasets\.train\.dataset\.datasets\.noise25\.pin_memory: expected only keys of the'),
    ],
)
def test_wrong_keys_are_known_before_work_starts(data: Path, change: Options, text: str) -> None:
    opt = training(data)
    complete(opt, data, is_train=True)
    check_options(opt)
    opt['datasets']['train']['dataset']['datasets']['noise25'] = {**NOISE, **change}
    with pytest.raises((OptionError, DataError), match=text):
        check_options(opt)


def test_home_is_expanded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(data))
    opt = training(data)
    opt['datasets']['train']['dataset'] = {**block({'a': {**NOISE, 'dataroot_gt': '~/gt'}})}
    complete(opt, data, is_train=True)
    assert opt['datasets']['train']['dataset']['datasets']['a']['dataroot_gt'] == str(data / 'gt')


def test_innermost_is_where_the_chain_ends(data: Path) -> None:
    dataset = build_dataset(around('PixelShuffleWarmupDataset', stop={'iter': 4}))
    assert type(innermost(dataset)).__name__ == 'AllInOneDataset'
