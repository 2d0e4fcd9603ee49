"""The rising selection: its quantile, its images in every epoch, its place in a training, what is refused."""

import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from basicsr.data import build_dataset

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.distinct_items import distinct_items, plan
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.nesting import used_items
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.schedule.sampling import ScheduledIndex, ScheduledSampler
from basicsr_ext.selection.manifest import Item, write_manifest
from basicsr_ext.selection.subsets.choose import choose
from basicsr_ext.selection.subsets.dynamic import DynamicSelection
from basicsr_ext.selection.subsets.quotas import quotas
from basicsr_ext.selection.subsets.random_parts import RandomSelection
from basicsr_ext.training.loader import build_train_loader
from basicsr_ext.training.made_with import refuse_other_plan
from tests.helpers.images import same, write_images
from tests.helpers.processes import run
from tests.helpers.training import options

Options = dict[str, Any]
NAMES = [f'{number:03d}' for number in range(12)]
RANKS = [5, 12, 1, 8, 3, 10, 7, 2, 9, 11, 4, 6]
GROUPS = list('aaaaaaabbbcc')


# ---- the quantile and the rows of an epoch ----


@pytest.mark.parametrize(
    ('epoch', 'epochs', 'q'), [(0, 40, 0.5), (5, 40, 0.625), (10, 40, 0.75), (20, 40, 1), (40, 40, 1), (0, 0, 0.5)]
)
def test_the_quantile_rises_to_the_top_in_half_of_the_run(epoch: int, epochs: float, q: float) -> None:
    assert DynamicSelection(range(1, 101), 2).quantile(epoch, epochs) == pytest.approx(q, abs=1e-15)


def test_the_two_numbers_of_the_quantile() -> None:
    selection = DynamicSelection(range(1, 101), 2, start=0.2, until=0.25)
    assert selection.quantile(np.arange(0, 41, 5), 40) == pytest.approx([0.2, 0.6, 1, 1, 1, 1, 1, 1, 1])
    assert selection.top_epoch(40) == 10 and selection.top_epoch(41) == 11
    assert DynamicSelection(range(1, 101), 2, start=1).top_epoch(40) == 0


def by_loop(ranks: Sequence[int], groups: Sequence[str], size: int, q: float) -> list[int]:
    """Go down each group from its best image and take what is not above the quantile, as long as the quota lasts."""
    rows: list[int] = []
    for group, quota in quotas(ranks, groups, size).items():
        own = sorted((rank, row) for row, rank in enumerate(ranks) if groups[row] == group)
        place_from_below = range(len(own), 0, -1)
        below = [row for (_, row), place in zip(own, place_from_below, strict=True) if place / len(own) <= q + 1e-9]
        last = [row for _, row in own[len(own) - quota :]]
        rows += below[:quota] if len(below) >= quota else last
    return sorted(rows)


@pytest.mark.parametrize(
    ('size', 'groups', 'start'),
    [(2, None, 0.5), (5, None, 0.0), (9, None, 1.0), (3, GROUPS, 0.5), (5, GROUPS, 1.0), (9, GROUPS, 0.0)],
)
def test_the_rows_of_every_epoch(size: int, groups: list[str] | None, start: float) -> None:
    selection, epochs = DynamicSelection(RANKS, size, groups=groups, start=start), 13.5
    seen: set[int] = set()
    for epoch in range(14):
        assert set(selection.rows_until(epoch, epochs).tolist()) == seen
        q = start + (1 - start) * min(1, epoch / (0.5 * epochs))
        rows = selection.rows(epoch, epochs).tolist()
        assert rows == by_loop(RANKS, groups or [''] * 12, size, q)
        assert (rows == choose(RANKS, 'top', size=size, groups=groups)) == (epoch >= selection.top_epoch(epochs)) or (
            size > 8 or start == 1
        )
        seen |= set(rows)
    assert seen <= set(selection.rows_ever().tolist())
    slowly = DynamicSelection(RANKS, size, groups=groups, start=start)
    assert slowly.rows_ever().tolist() == slowly.rows_until(2000, 2000).tolist()


def test_a_known_part() -> None:
    """100 images, 2 %: just below the median first, ranks 51 and 52, then upwards."""
    selection = DynamicSelection(range(1, 101), ratio=0.02)
    assert selection.size == 2
    ranks = [(selection.rows(epoch, 40) + 1).tolist() for epoch in (0, 1, 10, 19, 20, 39)]
    assert ranks == [[51, 52], [49, 50], [26, 27], [4, 5], [1, 2], [1, 2]]


@pytest.mark.parametrize('groups', [None, GROUPS])
def test_random_parts_are_others_in_each_epoch_and_keep_the_quotas(groups: list[str] | None) -> None:
    selection = RandomSelection(RANKS, 5, groups=groups)
    expected = quotas(RANKS, groups or ['all'] * 12, 5)
    parts = [selection.rows(epoch, 8.0, seed=1).tolist() for epoch in range(40)]
    for rows in parts:
        assert rows == sorted(set(rows)) and Counter((groups or ['all'] * 12)[row] for row in rows) == expected
    assert len(set(map(tuple, parts))) > 20
    assert all((parts[epoch] == selection.rows(epoch, 3.0, seed=1)).all() for epoch in (39, 0))  # of this moment alone
    assert parts != [selection.rows(epoch, 8.0, seed=2).tolist() for epoch in range(40)]
    for epoch in (7, 3, 40, 2):  # also backwards
        union = sorted(set().union(*parts[:epoch]))
        assert selection.rows_until(epoch, 8.0, seed=1).tolist() == union
    assert selection.rows_until(1, 8.0, seed=2).tolist() == selection.rows(0, 8.0, seed=2).tolist()


def test_random_parts_take_every_image_equally_often() -> None:
    selection = RandomSelection(RANKS, 3)
    times = Counter(row for epoch in range(2000) for row in selection.rows(epoch, 0.0, seed=0).tolist())
    assert set(times) == set(range(12)) and max(abs(number - 500) for number in times.values()) < 4 * 500**0.5


@pytest.mark.parametrize(
    ('keys', 'text'),
    [
        ({'size': 13}, r'^size: expected at most the 12 images of the ranking, got 13'),
        ({'size': 2, 'groups': GROUPS}, r'^size: expected at least one image of each of the 3 groups'),
        ({'size': 2, 'start': 1.5}, r'^start: expected a quantile from 0 to 1, got 1\.5'),
        ({'size': 2, 'until': 0.0}, r'^until: expected a part of the run above 0 and up to 1, got 0\.0'),
    ],
)
def test_selections_that_do_not_exist(keys: Options, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        DynamicSelection(RANKS, **keys)


# ---- the dataset ----


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with train/, val/ and rankings of train/ with and without groups."""
    monkeypatch.chdir(tmp_path)
    write_images(Path('train'), number=12)
    write_images(Path('val'), number=2, size=36)
    for name, groups in (('ranking', [''] * 12), ('grouped', GROUPS)):
        items = [Item(f'{name}.png', 40, 40, group) for name, group in zip(NAMES, groups, strict=True)]
        shuffled = np.random.default_rng(3).permutation(12)
        columns = {'rank': [RANKS[row] for row in shuffled]}
        write_manifest(f'{name}.parquet', [items[row] for row in shuffled], columns, {'method': 'complexity'})
    return tmp_path


GRAY = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'train', 'color': 'gray', 'sigma': [10, 40], 'gt_size': 16}


def block(**keys: Any) -> Options:
    part = {} if 'ratio' in keys else {'size': 3}
    outer = {'name': 'part', 'type': 'DynamicSubsetDataset', 'phase': 'train', 'manifest': 'ranking.parquet'}
    return {**outer, **part, 'dataset': GRAY, **keys}


def moment(value: int, epoch: int = 0, epochs: float = 8.0) -> ScheduledIndex:
    return ScheduledIndex(value, 5, 3, 2, epoch=epoch, epochs=epochs)


def names_of(dataset: Any, epoch: int, epochs: float = 8.0) -> list[str]:
    return [Path(dataset[moment(index, epoch, epochs)]['gt_path']).stem for index in range(len(dataset))]


@pytest.mark.parametrize('groups', [None, GROUPS])
def test_the_images_of_an_epoch_are_those_of_the_selection(data: Path, groups: list[str] | None) -> None:
    keys = {'per_group': True, 'manifest': 'grouped.parquet'} if groups else {}
    dataset, selection = build_dataset(block(size=4, **keys)), DynamicSelection(RANKS, 4, groups=groups)
    assert len(dataset) == 4
    for epoch in range(8):
        assert names_of(dataset, epoch) == [NAMES[row] for row in selection.rows(epoch, 8.0)]


def test_at_the_end_it_is_the_static_top(data: Path) -> None:
    for keys in ({}, {'per_group': True, 'manifest': 'grouped.parquet'}):
        static = build_dataset(block(type='InfluenceSubsetDataset', subset='top', size=5, **keys))
        dynamic = build_dataset(block(size=5, **keys))
        assert names_of(dynamic, 0) != names_of(dynamic, 4)
        for epoch in (4, 7):
            for index in range(5):
                assert same(dynamic[moment(index, epoch)], static[moment(index, epoch)])


@pytest.mark.parametrize('groups', [None, GROUPS])
def test_random_images_of_an_epoch_are_those_of_the_selection(data: Path, groups: list[str] | None) -> None:
    """The ranking is in another order than the folder: rows are those of the ranking."""
    keys = {'per_group': True, 'manifest': 'grouped.parquet'} if groups else {}
    dataset = build_dataset(block(size=4, order='random', **keys))
    seen = set()
    for epoch in range(8):
        rows = dataset.selection.rows(epoch, 8.0, 5)
        found = names_of(dataset, epoch)
        assert found == sorted(dataset.ranked.items[row].name for row in rows)
        if groups:
            assert {groups[NAMES.index(name)] for name in found} == set('abc')
        seen.add(tuple(found))
    assert len(seen) > 4
    ((_, used),) = used_items(dataset)
    assert used == list(range(12))


def test_every_image_that_can_be_used_is_checked(data: Path) -> None:
    dataset = build_dataset(block(size=2))
    ((_, used),) = used_items(dataset)
    assert used == sorted(row for row in range(12) if RANKS[row] <= 8)  # the first epoch has ranks 7 and 8
    check_dataset(dataset, 'datasets.train')
    Path('train', NAMES[RANKS.index(12)] + '.png').write_bytes(b'never used')
    damaged = Path('train', NAMES[RANKS.index(6)] + '.png')
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(DataError, match=rf'datasets\.train: expected images that decode, got .*{damaged.name}'):
        check_pixels(dataset, 'datasets.train')


def test_a_plain_index_is_refused_with_the_way_out(data: Path) -> None:
    with pytest.raises(OptionError, match=r'dataset part: expected an index that says its epoch.*-m basicsr_ext train'):
        build_dataset(block())[0]


PLAIN = {key: value for key, value in block().items() if key not in ('name', 'phase')}


@pytest.mark.parametrize(
    ('outer', 'text'),
    [
        ({'type': 'InfluenceSubsetDataset', 'subset': 'top', 'size': 1, 'manifest': 'ranking.parquet'},
         r'got those that DynamicSubsetDataset inside has chosen\. .*change from epoch to epoch'),
        ({'type': 'DynamicSubsetDataset', 'size': 1, 'manifest': 'ranking.parquet'},
         r'got those that DynamicSubsetDataset inside has chosen\. .*change from epoch to epoch'),
    ],
)  # fmt: skip
def test_who_needs_images_that_stay_is_refused(data: Path, outer: Options, text: str) -> None:
    with pytest.raises(DataError, match=text):
        build_dataset({'name': 'outer', 'phase': 'train', **outer, 'dataset': PLAIN})
    with pytest.raises(DataError, match=r'expected images that stay the same'):
        inventory(build_dataset(block()))


@pytest.mark.parametrize(
    ('keys', 'text'),
    [
        ({'size': 13}, r'dataset part\.size: expected at most the 12 images of the ranking'),
        ({'ratio': 0.2, 'size': 3}, r'dataset part\.size: expected exactly one of size and ratio, got size and ratio'),
        ({'size': None}, r'dataset part\.size: expected exactly one of size and ratio, got none'),
        ({'ratio': 1.2}, r'dataset part\.ratio: expected more than 0 and up to 1'),
        ({'order': 'random', 'start': 0.2}, r'dataset part\.order: expected rising with start and until, got random'),
        ({'order': 'falling'}, r"dataset part\.order: expected 'rising' or 'random'"),
        ({'until': 0}, r'dataset part\.until: expected a part of the run'),
        ({'column': 'path'}, r'dataset part\.column: expected the ranks 1 to 12'),
        ({'per_group': True}, r'dataset part\.per_group: expected a ranking with a column group, got path, height'),
        ({'per_group': True, 'manifest': 'grouped.parquet', 'size': 2}, r'dataset part\.size: .* each of the 3 groups'),
        ({'phase': 'val'}, r"dataset part\.type: .*got phase 'val', which has no epochs\. Name the dataset inside"),
        ({'subset': 'top'}, r"dataset part\.subset: expected a known key, got 'subset'"),
    ],
)
def test_options_that_are_refused(data: Path, keys: Options, text: str) -> None:
    with pytest.raises((OptionError, DataError), match=text):
        build_dataset(block(**keys))


# ---- in the loader ----


def loader(outer: Options, workers: int = 0, start: int = 0, total: int = 14, **more: Any) -> Any:
    train = {**outer, 'batch_size_per_gpu': 2, 'num_worker_per_gpu': workers, **more}
    opt = {'datasets': {'train': train}, 'train': {'total_iter': total}, 'manual_seed': 0, 'num_gpu': 0, 'dist': False,
           'rank': 0, 'world_size': 1}  # fmt: skip
    return build_train_loader(build_dataset(outer), opt, start)


@pytest.mark.parametrize('order', ['rising', 'random'])
def test_batches_depend_neither_on_the_workers_nor_on_the_start(data: Path, order: str) -> None:
    """Batches of 2 of 3 images per epoch: half of them reach over the end of an epoch."""
    outer = block(order=order)
    whole = list(loader(outer))
    assert len(whole) == 14
    for others in (loader(outer, workers=2), loader(outer, start=4)):
        batches = list(others)
        assert all(same(a, b) for a, b in zip(batches, whole[-len(batches) :], strict=True))


def test_random_batches_do_not_depend_on_the_ranks_nor_on_the_length_of_the_run(data: Path) -> None:
    outer = block(order='random')
    whole = [path for batch in loader(outer) for path in batch['gt_path']]
    longer = [path for batch in loader(outer, total=20) for path in batch['gt_path']]
    assert longer[: len(whole)] == whole
    dataset = build_dataset(outer)
    samplers = [ScheduledSampler(3, 1, 0, 0, 14, rank=rank, world_size=2) for rank in range(2)]
    both = [dataset[index]['gt_path'] for pair in zip(*samplers, strict=True) for index in pair]
    assert both == whole


def test_an_epoch_uses_each_of_its_images_once(data: Path) -> None:
    paths = [Path(path).stem for batch in loader(block()) for path in batch['gt_path']]
    selection = DynamicSelection(RANKS, 3)
    for epoch in range(9):  # 28 samples are 9.33 epochs
        assert sorted(paths[3 * epoch : 3 * epoch + 3]) == [NAMES[row] for row in selection.rows(epoch, 28 / 3)]


@pytest.mark.parametrize('enlarge', [1, 3])
@pytest.mark.parametrize(
    'outer',
    [
        block(),
        block(size=7),
        block(order='random'),
        block(order='random', per_group=True, manifest='grouped.parquet', size=4),
        block(per_group=True, manifest='grouped.parquet', size=4),
        {'name': 'w', 'type': 'MeanBlurDataset', 'kernel_size': 3, 'phase': 'train', 'dataset': PLAIN},
        {'name': 'u', 'type': 'AllInOneDataset', 'phase': 'train', 'datasets': {'x': PLAIN, 'y': {**PLAIN, 'size': 2}}},
    ],
)
def test_distinct_items_are_those_a_set_counts(data: Path, outer: Options, enlarge: int) -> None:
    batches = loader(outer, dataset_enlarge_ratio=enlarge, total=24)
    dataset, seen = batches.dataset, set()
    assert distinct_items(dataset, batches.sampler, 0) == 0
    indices = list(batches.sampler)
    for iteration in range(1, 25):
        for index in indices[2 * iteration - 2 : 2 * iteration]:
            part = index >= 3 if outer['name'] == 'u' else 0
            seen.add((part, dataset[index]['gt_path']))
        assert distinct_items(dataset, batches.sampler, iteration) == len(seen)


def test_the_plan(data: Path) -> None:
    batches = loader(block(), total=12)  # 8 epochs of 1.5 iterations
    (sentence,) = plan(batches.dataset, batches.sampler)
    assert sentence == (
        'Dynamic selection: 3 of 12 images per epoch, 8.00 epochs, from quantile 0.5 to the top, '
        'reached in iteration 7.'
    )
    indices = list(batches.sampler)
    assert [index.epoch for index in indices[10:14]] == [3, 3, 4, 4]  # of the iterations 6 and 7
    (sentence,) = plan(batches.dataset, loader(block(), total=1).sampler)
    assert sentence.endswith('not reached in this run.')


def test_the_plan_of_random_parts(data: Path) -> None:
    batches = loader(block(order='random'), total=12)
    (sentence,) = plan(batches.dataset, batches.sampler)
    assert sentence == 'Random selection: 3 of 12 images per epoch, 8.00 epochs, another part in each.'


# ---- whole trainings ----

SCRIPT = """
import json, os, signal, sys
import basicsr_ext
from basicsr.utils.registry import MODEL_REGISTRY
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.train import train_pipeline

@MODEL_REGISTRY.register()
class RecordingModel(RestorationModel):
    def feed_data(self, data):
        super().feed_data(data)
        if data['lq'].shape[-1] == 16:  # a training patch
            with open('seen.jsonl', 'a') as file:
                file.write(json.dumps(data['gt_path']) + '\\n')
            if len(open('seen.jsonl').readlines()) == int(os.environ.get('KILL_AT', 0)):
                os.kill(os.getpid(), signal.SIGKILL)

if __name__ == '__main__':
    sys.exit(train_pipeline(os.getcwd()))
"""


def training(root: Path, name: str, kill_at: int = 0, code: int = 0) -> Path:
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / 'record.py').write_text(SCRIPT)
    outer = block(manifest=str(root / 'ranking.parquet'), dataset={**GRAY, 'dataroot_gt': str(root / 'train')})
    warm = {'type': 'PixelShuffleWarmupDataset', 'name': 'warm', 'stop': {'iter': 3}, 'dataset': outer}
    train = {**warm, 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 1}
    opt = options(root, model_type='RecordingModel', datasets__train=train, train__total_iter=14, val__val_freq=100,
                  logger__save_checkpoint_freq=4)  # fmt: skip
    (folder / 'run.yml').write_text(yaml.safe_dump(opt))
    os.environ['KILL_AT'] = str(kill_at)
    try:
        run([str(folder / 'record.py'), '-opt', 'run.yml', '--auto_resume'], folder, code)
    finally:
        del os.environ['KILL_AT']
    return folder


def test_a_killed_run_goes_on_with_the_same_images_and_counts_the_same(data: Path) -> None:
    """Inside a warm-up; killed in iteration 6, continued after iteration 4, which is within an epoch."""
    whole = training(data, 'whole')
    killed = training(data, 'killed', kill_at=6, code=-signal.SIGKILL)
    assert len((killed / 'seen.jsonl').read_text().splitlines()) == 6
    training(data, 'killed')
    once = [json.loads(line) for line in (whole / 'seen.jsonl').read_text().splitlines()]
    twice = [json.loads(line) for line in (killed / 'seen.jsonl').read_text().splitlines()]
    assert len(once) == 14 and twice == once[:6] + once[4:]
    logs = [(folder / 'experiments/run/training_log.jsonl').read_text() for folder in (whole, killed)]
    assert logs[0] == logs[1]
    counts = [line['distinct_items'] for line in map(json.loads, logs[0].splitlines()) if 'distinct_items' in line]
    assert counts == [len({path for batch in once[:number] for path in batch}) for number in range(1, 15)]
    weights = [
        torch.load(folder / 'experiments/run/models/net_g_14.pth', weights_only=True)['params']
        for folder in (whole, killed)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    (log,) = (whole / 'experiments/run').glob('train_*.log')
    text = log.read_text()
    assert 'Dynamic selection: 3 of 12 images per epoch' in text
    assert text.count(f'Distinct images used in the first 14 iterations: {counts[-1]}.') == 2  # saved, and at the end


def test_a_run_of_another_length_is_not_continued(data: Path) -> None:
    roots = {'manifest': str(data / 'ranking.parquet'), 'dataset': {**GRAY, 'dataroot_gt': str(data / 'train')}}
    dataset = build_dataset(block(**roots))
    refuse_other_plan({}, 20, dataset)
    refuse_other_plan({'total_iter': 20}, 20, dataset)
    refuse_other_plan({'total_iter': 10}, 20, dataset.dataset)
    refuse_other_plan({'total_iter': 10}, 20, build_dataset(block(order='random', **roots)))
    with pytest.raises(OptionError, match=r'train\.total_iter: expected 10, .* got 20\. Change it back'):
        refuse_other_plan({'total_iter': 10}, 20, dataset)
