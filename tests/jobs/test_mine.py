"""The job `mine` from its option file to the manifest: values, kill and resume, several processes, what it refuses."""

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.utils.registry import ARCH_REGISTRY
from pyarrow import parquet
from torch import nn

from basicsr_ext.__main__ import main
from basicsr_ext.runtime import unit_files
from basicsr_ext.selection.influence.derivatives import Derivatives
from basicsr_ext.selection.manifest import Item, Manifest, read_manifest, write_manifest
from tests.helpers import jobs
from tests.helpers.criteria import PLAIN
from tests.helpers.images import pack_lmdb, write_noise
from tests.helpers.processes import run, run_ranks, start, stop_when

Options = dict[str, Any]
SIZES = {'a': (20, 24), 'aa': (17, 12), 'b': (12, 12), 'c': (21, 13), 'd': (30, 31)}
ENDING = {'b': '.jpg', 'c': '.jpg'}
RESULT = Path('results/small/patches.parquet')
UNFINISHED = Path('results/small/unfinished')
PATCH, STRIDE = 8, 6
IRCNN = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
EDSR = {
    'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 2, 'img_range': 1.0
}  # fmt: skip
GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25}
PAIRED = {
    'type': 'PairedImageDataset',
    'scale': 1,
    'dataroot_gt': 'gt',
    'dataroot_lq': 'lq',
    'io_backend': {'type': 'disk'},
}


def file_of(name: str) -> str:
    return name + ENDING.get(name, '.png')


def write_images(folder: str, divisor: int = 1, sizes: dict[str, tuple[int, int]] = SIZES) -> None:
    write_noise(folder, {file_of(name): size for name, size in sizes.items()}, divisor, seed=divisor)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with gt/ and lq/ of half the size, some of whose sides are odd."""
    monkeypatch.chdir(tmp_path)
    write_images('gt')
    write_images('lq', divisor=2)
    return tmp_path


def options(dataset: Options | None = None, **mine: Any) -> Options:
    return {
        'name': 'small',
        'num_gpu': 0,
        'manual_seed': 3,
        'mine': {'patch_size': PATCH, 'stride': STRIDE, **mine},
        'datasets': {'train': {'name': 'train', **(dataset or GAUSSIAN)}},
        'path': {},
    }


def with_network(block: Options, dataset: Options | None = None, **mine: Any) -> Options:
    torch.manual_seed(0)
    torch.save({'params': build_network(dict(block)).state_dict()}, 'net.pth')
    path = {'pretrain_network_g': 'net.pth'}
    return {**options(dataset, **{'criteria': ['loss'], **mine}), 'network_g': block, 'path': path}


write = partial(jobs.write_options, 'mine')


def mine(opt: Options, *arguments: str) -> Manifest:
    """Run the job anew."""
    shutil.rmtree('results', ignore_errors=True)
    assert main(['mine', '-opt', write(opt), *arguments]) == 0
    assert not UNFINISHED.exists()
    return read_manifest(RESULT)


refused = partial(jobs.refused, 'mine')


def rows(manifest: Manifest, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(manifest.column(name) for name in names or manifest.names), strict=True))


def grid(
    height: int, width: int, edge: bool = False, patch: int = PATCH, stride: int = STRIDE
) -> list[tuple[int, int]]:
    def starts(side: int) -> list[int]:
        found = [start for start in range(0, side, stride) if start + patch <= side]
        return sorted({*found, side - patch}) if edge else found

    return [(y, x) for y in starts(height) for x in starts(width)]


def expected_positions(names: list[str], **keys: Any) -> list[tuple[str, int, int, int]]:
    return [(file_of(name), y, x, PATCH) for name in names for y, x in grid(*SIZES[name], **keys)]


# ---- values ----


@pytest.mark.parametrize('edge', [False, True])
@pytest.mark.parametrize('color', ['rgb', 'gray'])
def test_the_manifest_holds_what_a_loop_over_the_files_finds(folder: Path, color: str, edge: bool) -> None:
    criteria = ['std', 'random', 'freq', 'grad', 'grad_mag']
    manifest = mine(options({**GAUSSIAN, 'color': color}, criteria=criteria, edge=edge))
    assert manifest.names == ['path', 'y', 'x', 'size', *criteria] and manifest.criteria == criteria
    assert rows(manifest, 'path', 'y', 'x', 'size') == expected_positions(list(SIZES), edge=edge)
    found = {name: iter(manifest.column(name)) for name in PLAIN}
    flag = cv2.IMREAD_COLOR if color == 'rgb' else cv2.IMREAD_GRAYSCALE
    for name, size in SIZES.items():
        image = cv2.imread(f'gt/{file_of(name)}', flag).reshape(*size, -1)
        for y, x in grid(*size, edge=edge):
            patch = image[y : y + PATCH, x : x + PATCH] / 255
            for criterion, plain in PLAIN.items():
                assert next(found[criterion]) == pytest.approx(plain(patch), rel=1e-6)


def test_anybody_can_read_it(folder: Path) -> None:
    mine(options())
    table = parquet.read_table(RESULT)
    assert table.column_names == ['path', 'y', 'x', 'size', 'grad']
    assert [str(kind) for kind in table.schema.types] == ['string', 'int64', 'int64', 'int64', 'double']


def test_the_header_tells_all_that_made_it(folder: Path) -> None:
    header = mine(options(criteria=['grad', 'std'], workers=1)).header
    assert header['method'] == 'mine' and header['seed'] == 3
    assert header['options']['mine']['patch_size'] == PATCH and header['options']['mine']['criteria'] == ['grad', 'std']
    assert 'workers' not in header['options']['mine']
    assert header['options']['datasets']['train']['dataroot_gt'] == 'gt'
    assert header['versions']['torch'] == importlib.metadata.version('torch')
    assert header['images'] == [[file_of(name), *size] for name, size in SIZES.items()]
    assert header['skipped'] == {}


def test_the_settings_of_the_paper_are_the_defaults(folder: Path) -> None:
    """187 patches of an image of DIV2K."""
    shutil.rmtree('gt')
    write_images('gt', sizes={'0001': (1356, 2040)})
    opt = options()
    opt['mine'] = {}
    manifest = mine(opt)
    assert manifest.names == ['path', 'y', 'x', 'size', 'grad'] and len(rows(manifest)) == 187
    assert set(manifest.column('size')) == {96}
    assert max(manifest.column('y')) == 1200 and max(manifest.column('x')) == 1920


def loop_losses(opt: Options, scale: int = 1, **keys: Any) -> dict[str, list[float]]:
    """The mean squared error of single patches of the samples that validation sees."""
    block = {**opt['datasets']['train'], 'phase': 'val', 'scale': scale}
    block['io_backend'] = dict(block.get('io_backend', {'type': 'disk'}))
    dataset, net = build_dataset(block), build_network(dict(opt['network_g']))
    net.load_state_dict(torch.load('net.pth', weights_only=True)['params'])
    losses = {}
    for index in range(len(dataset)):
        sample = dataset[index]
        lq, gt = sample['lq'], sample['gt']
        found = losses[Path(sample['gt_path']).name] = []
        for y, x in grid(*(side - side % scale for side in gt.shape[1:]), **keys):
            patch = lq[None, :, y // scale : (y + PATCH) // scale, x // scale : (x + PATCH) // scale]
            with torch.no_grad():
                error = net.eval()(patch)[0] - gt[:, y : y + PATCH, x : x + PATCH]
            found.append(float(error.double().square().mean()))
    return losses


@pytest.mark.parametrize('edge', [False, True])
@pytest.mark.parametrize(
    ('network', 'dataset', 'scale'),
    [
        (IRCNN, GAUSSIAN, 1),
        (EDSR, {'type': 'BicubicSRDataset', 'dataroot_gt': 'gt'}, 2),
        (EDSR, PAIRED, 2),
    ],
)  # fmt: skip
def test_losses_are_those_of_the_samples(
    folder: Path, network: Options, dataset: Options, scale: int, edge: bool
) -> None:
    """Of sides that the scale does not divide, the last row or column has no partner and is left out."""
    opt = {**with_network(network, dataset, edge=edge, batch_size=5, criteria=['grad', 'loss']), 'scale': scale}
    manifest = mine(opt)
    expected = loop_losses(opt, scale, edge=edge)
    names = [file_of(name) for name in SIZES]
    np.testing.assert_allclose(manifest.column('loss'), sum((expected[name] for name in names), []), rtol=1e-5)
    assert all(y % scale == 0 and x % scale == 0 for y, x in rows(manifest, 'y', 'x'))
    alone = mine({**opt, 'mine': {**opt['mine'], 'criteria': ['grad']}})
    assert rows(alone) == rows(manifest, *alone.names)


def test_mixed_precision_of_the_network(folder: Path) -> None:
    exact, mixed = (mine(with_network(IRCNN, precision=kind)).array('loss') for kind in ('float32', 'bfloat16'))
    np.testing.assert_allclose(mixed, exact, rtol=0.05)
    assert (mixed != exact).any()


# ---- random ----


def random_of(manifest: Manifest) -> dict[tuple[Any, ...], float]:
    return dict(zip(rows(manifest, 'path', 'y', 'x'), manifest.column('random'), strict=True))


def test_random_hangs_on_the_seed_and_the_name_alone(folder: Path) -> None:
    first = random_of(mine(options(criteria=['random'])))
    assert len(set(first.values())) == len(first) and min(first.values()) >= 0 and max(first.values()) < 1
    assert random_of(mine(options(criteria=['std', 'random', 'grad']))) == first
    assert random_of(mine(with_network(IRCNN, criteria=['random', 'loss']))) == first
    other = random_of(mine({**options(criteria=['random']), 'manual_seed': 4}))
    assert other.keys() == first.keys() and not set(other.values()) & set(first.values())
    Path('gt/a.png').unlink()
    fewer = random_of(mine(options(criteria=['random'])))
    assert fewer.items() < first.items()


def test_random_needs_no_seed_to_differ(folder: Path) -> None:
    opt = options(criteria=['random'])
    del opt['manual_seed']
    manifest = mine(opt)
    assert random_of(mine({**opt, 'manual_seed': manifest.header['seed']})) == random_of(manifest)


# ---- killed, resumed, shared ----

MANY = {f'{number:02d}': (16 + number % 3, 20) for number in range(90)}  # six units of 16 images
COMMAND = ['-m', 'basicsr_ext', 'mine', '-opt', 'mine.yml']


@pytest.fixture
def many(folder: Path) -> Path:
    shutil.rmtree('gt')
    write_images('gt', sizes=MANY)
    return folder


@pytest.mark.parametrize(
    'criteria', [pytest.param(['grad', 'freq', 'random'], marks=pytest.mark.slow), ['loss', 'grad']]
)
def test_workers_change_nothing(many: Path, criteria: list[str]) -> None:
    opt = with_network(IRCNN, criteria=criteria)
    files = []
    for workers in (0, 1, 2):
        opt['mine']['workers'] = workers
        mine(opt)
        files.append(RESULT.read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize('criteria', [['grad', 'random'], pytest.param(['loss'], marks=pytest.mark.slow)])
def test_two_processes_write_the_same_file(many: Path, criteria: list[str]) -> None:
    mine(with_network(IRCNN, criteria=criteria))
    expected = RESULT.read_bytes()
    shutil.rmtree('results')
    run_ranks([*COMMAND, '--launcher', 'pytorch'], many)
    assert RESULT.read_bytes() == expected and not UNFINISHED.exists()


@pytest.mark.parametrize('criteria', [pytest.param(['grad', 'random'], marks=pytest.mark.slow), ['loss', 'grad']])
def test_killed_and_resumed_gives_the_same_file(many: Path, criteria: list[str]) -> None:
    """By a script that reads slowly, so that there is time to kill it."""
    opt = with_network(IRCNN, criteria=criteria)
    mine(opt)
    expected = RESULT.read_bytes()
    shutil.rmtree('results')
    slow = jobs.slow_script('mine', 'decode', 0.02)

    def finished() -> int:
        return len(list(UNFINISHED.glob('[0-9]*')))

    def is_begun(wanted: int) -> bool:
        return (UNFINISHED / 'identity.json').is_file() and finished() >= wanted

    codes = []
    for more, number, workers in ((0, signal.SIGKILL, 0), (1, signal.SIGTERM, 1), (1, signal.SIGKILL, 1)):
        wanted = finished() + more
        opt['mine']['workers'] = workers
        codes.append(stop_when(partial(is_begun, wanted), number, [slow, '-opt', write(opt)], many))
    assert codes == [-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGKILL]
    assert not RESULT.exists() and finished() >= 2
    assert f'Continuing {UNFINISHED.resolve()}' in run(COMMAND, many)
    assert RESULT.read_bytes() == expected and not UNFINISHED.exists()


def test_what_is_finished_is_not_measured_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the rank nor the number of processes that left it matters: other units may be missing."""
    mine(options())
    expected = RESULT.read_bytes()
    shutil.rmtree('results')
    write_unit = unit_files.UnitFiles._write
    with jobs.failing_at(2):
        assert main(['mine', '-opt', 'mine.yml']) == 130
    next(UNFINISHED.glob('000000.*')).unlink()
    (UNFINISHED / '.000000.npy.1.tmp').write_bytes(b'half a file of a process that was killed')
    second = (UNFINISHED / '000001.npy').read_bytes()
    (UNFINISHED / '000001.npy').write_bytes(second[:-3] + b'xxx')  # damaged
    measured = []
    with monkeypatch.context() as patch:
        patch.setattr(unit_files.UnitFiles, '_write', lambda *args: measured.append(args[1]) or write_unit(*args))
        assert main(['mine', '-opt', 'mine.yml']) == 0
    assert measured == [0, 1, 2, 3, 4, 5]
    assert RESULT.read_bytes() == expected and not UNFINISHED.exists()


def test_a_finished_scan_is_kept(folder: Path) -> None:
    mine(options())
    before = RESULT.stat().st_mtime_ns
    assert main(['mine', '-opt', write(options(workers=1))]) == 0
    assert RESULT.stat().st_mtime_ns == before


@pytest.mark.parametrize('part', ['finished', 'unfinished'])
@pytest.mark.parametrize('change', ['option', 'criteria', 'seed', 'network', 'image', 'input', 'degradation'])
def test_a_scan_of_something_else_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], part: str, change: str
) -> None:
    opt = with_network(IRCNN, criteria=['grad', 'loss'])
    if change == 'input':
        opt = {**with_network(EDSR, PAIRED, criteria=['grad', 'loss']), 'scale': 2}
    manifest = mine(opt)
    if part == 'unfinished':
        UNFINISHED.mkdir()
        identity = {key: manifest.header[key] for key in ('method', 'seed', 'options', 'train', 'weights')}
        (UNFINISHED / 'identity.json').write_text(json.dumps(identity))
        RESULT.unlink()
    named = {
        'option': 'options.mine.stride: 6 became 4',
        'criteria': "options.mine.criteria: ['grad', 'loss'] became ['grad']",
        'seed': 'seed: 3 became 4',
        'network': 'weights',
        'image': 'train.content',
        'input': 'train.content',
        'degradation': 'options.datasets.train.sigma: 25 became 30',
    }
    if change == 'option':
        opt['mine']['stride'] = 4
    elif change == 'criteria':
        opt['mine']['criteria'] = ['grad']
    elif change == 'seed':
        opt['manual_seed'] = 4
    elif change == 'network':
        torch.save({'params': build_network(dict(IRCNN)).state_dict()}, 'net.pth')
    elif change == 'degradation':
        opt['datasets']['train']['sigma'] = 30
    else:
        path = 'gt/b.jpg' if change == 'image' else 'lq/b.jpg'
        cv2.imwrite(path, np.zeros_like(cv2.imread(path)))
    message = refused(opt, capsys)
    assert named[change] in message and 'give another name' in message


# ---- other datasets ----


def test_an_lmdb_gives_the_rows_of_the_folder(folder: Path) -> None:
    pack_lmdb('gt', map(file_of, SIZES))
    opt = with_network(IRCNN, criteria=['grad', 'random', 'loss'])
    on_disk = mine(opt)
    opt['datasets']['train'].update(dataroot_gt='gt.lmdb', io_backend={'type': 'lmdb'})
    in_lmdb = mine(opt)
    assert [Item(path, 0, 0).name for path in on_disk.column('path')] == in_lmdb.column('path')
    columns = ['y', 'x', 'size', 'grad', 'random', 'loss']
    assert rows(on_disk, *columns) == rows(in_lmdb, *columns)
    assert on_disk.header['fingerprint'] == in_lmdb.header['fingerprint']


def test_the_order_does_not_hang_on_the_endings(folder: Path) -> None:
    """`a` comes before `a-b`, but `a.png` after `a-b.png`; an LMDB has no endings, and the order settles ties."""
    shutil.rmtree('gt')
    write_images('gt', sizes={'a': (20, 24), 'a-b': (20, 24)})
    pack_lmdb('gt', ['a.png', 'a-b.png'])
    on_disk = mine(options())
    in_lmdb = mine(options({**GAUSSIAN, 'dataroot_gt': 'gt.lmdb', 'io_backend': {'type': 'lmdb'}}))
    assert [Item(path, 0, 0).name for path in on_disk.column('path')] == in_lmdb.column('path')
    assert on_disk.column('grad') == in_lmdb.column('grad')


@pytest.mark.parametrize('in_lmdb', [False, True])
def test_a_stock_dataset_gives_the_rows_of_ours(folder: Path, in_lmdb: bool) -> None:
    expected = mine(options(criteria=['grad', 'random', 'std']))
    block = dict(PAIRED)
    if in_lmdb:
        for kind in ('gt', 'lq'):
            pack_lmdb(kind, map(file_of, SIZES))
        block.update(dataroot_gt='gt.lmdb', dataroot_lq='lq.lmdb', io_backend={'type': 'lmdb'})
    found = mine(options(block, criteria=['grad', 'random', 'std']))
    assert rows(found, *found.names[1:]) == rows(expected, *found.names[1:])


def test_a_dataset_without_ground_truth_has_criteria_but_no_loss(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = {'type': 'SingleImageDataset', 'dataroot_lq': 'gt', 'io_backend': {'type': 'disk'}}
    assert rows(mine(options(block))) == rows(mine(options()))
    shutil.rmtree('results')
    assert 'expected lq and gt, got no gt. Choose a dataset that gives both.' in refused(
        with_network(IRCNN, block), capsys
    )


@pytest.mark.parametrize('loss', [False, True])
def test_a_wrapper_that_chooses_images(folder: Path, loss: bool) -> None:
    write_manifest('r.parquet', [Item(file_of(n), *SIZES[n]) for n in SIZES], {'rank': [2, 5, 3, 1, 4]}, {})
    block = {'type': 'InfluenceSubsetDataset', 'manifest': 'r.parquet', 'range': [1, 2], 'dataset': GAUSSIAN}
    criteria = ['grad', 'random', *(['loss'] if loss else [])]
    every, chosen = (mine(with_network(IRCNN, part, criteria=criteria)) for part in (GAUSSIAN, block))
    assert rows(chosen) == [row for row in rows(every) if row[0] in ('a.png', 'c.jpg')]
    assert [item.path for item in chosen.items()] == ['a.png', 'c.jpg']


@pytest.mark.parametrize('loss', [False, True])
@pytest.mark.parametrize('inner', ['ours', 'stock'])
def test_a_wrapper_that_blurs(folder: Path, inner: str, loss: bool) -> None:
    """The criteria are those of the blurred image, whether or not a network sees it too."""
    write_images('lq')  # as large as gt
    dataset = GAUSSIAN if inner == 'ours' else PAIRED
    block = {'type': 'MeanBlurDataset', 'scale': 1, 'kernel_size': 3, 'dataset': dataset}
    manifest = mine(with_network(IRCNN, block, criteria=['grad', 'std', *(['loss'] if loss else [])]))
    patches = []
    for name, size in SIZES.items():
        image = cv2.blur(cv2.imread(f'gt/{file_of(name)}').astype(np.float32), (3, 3)) / 255
        patches += [image[y : y + PATCH, x : x + PATCH].astype(float) for y, x in grid(*size)]
    for criterion in ('grad', 'std'):
        np.testing.assert_allclose(
            manifest.column(criterion), [PLAIN[criterion](patch) for patch in patches], rtol=1e-5
        )


# ---- bad images ----


def damage(path: str, body: bool) -> None:
    """Cut a file off behind its header, or replace all of it."""
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2] if body else b'no image')


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('loss', [False, True])
@pytest.mark.parametrize('dataset', [GAUSSIAN, PAIRED])
def test_bad_images_are_left_out_and_named(folder: Path, dataset: Options, loss: bool, workers: int) -> None:
    write_images('lq')
    criteria = ['grad', 'random', *(['loss'] if loss else [])]
    opt = with_network(IRCNN, dataset, criteria=criteria, workers=workers)
    every = mine(opt)
    damage('gt/a.png', body=True)
    damage('gt/c.jpg', body=False)
    cv2.imwrite('gt/aa.png', np.zeros((7, 12, 3), np.uint8))
    manifest = mine(opt)
    assert rows(manifest) == [row for row in rows(every) if row[0] in ('b.jpg', 'd.png')]
    skipped = {'a.png': 'damaged', 'aa.png': '7 x 12, smaller than a patch', 'c.jpg': 'damaged'}
    assert manifest.header['skipped'] == skipped
    assert [item.path for item in manifest.items()] == ['b.jpg', 'd.png']
    log = next(Path('results/small').glob('*.log')).read_text()
    assert '3 of 5 images skipped: ' in log
    assert all(f'{name} ({problem})' in log for name, problem in skipped.items())


@pytest.mark.parametrize('name', ['b.jpg', 'a.png'])
def test_a_truncated_file_is_damaged(folder: Path, name: str) -> None:
    damage(f'gt/{name}', body=True)
    assert mine(options()).header['skipped'] == {name: 'damaged'}


def test_known_bad_images_are_refused_before_work_starts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage('gt/c.jpg', body=False)
    cv2.imwrite('gt/aa.png', np.zeros((7, 12, 3), np.uint8))
    message = refused(options(bad_images='refuse'), capsys)
    assert 'datasets.train: expected images to cut patches from, got ' in message
    assert 'c.jpg (damaged)' in message and 'aa.png (7 x 12, smaller than a patch)' in message
    assert 'Remove them or set mine.bad_images: skip.' in message
    assert not Path('results').exists()


@pytest.mark.parametrize('workers', [0, 1])
def test_an_image_that_turns_out_to_be_damaged_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    damage('gt/d.png', body=True)
    message = refused(options(bad_images='refuse', workers=workers), capsys)
    assert message.startswith('basicsr-ext mine: gt/d.png: expected an image, got a damaged or foreign file')
    assert 'Traceback' not in message and not RESULT.exists()


def test_no_usable_image_at_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'got none: ' in refused(options(patch_size=32), capsys)
    for name in SIZES:
        damage(f'gt/{file_of(name)}', body=True)
    assert 'expected images that decode, got none' in refused(options(), capsys)
    assert not RESULT.exists()


# ---- what is refused before work starts ----


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'mine': {'patchsize': 8}}, "mine.patchsize: expected a known key, got 'patchsize'. Did you mean patch_size"),
        ({'mine': {'patch_size': 0}}, 'mine.patch_size: expected at least 1, got 0'),
        ({'mine': {'stride': 0}}, 'mine.stride: expected at least 1, got 0'),
        ({'mine': {'stride': 2.5}}, 'mine.stride: expected an integer, got 2.5'),
        ({'mine': {'workers': -1}}, 'mine.workers: expected at least 0, got -1'),
        ({'mine': {'batch_size': 0}}, 'mine.batch_size: expected at least 1, got 0'),
        ({'mine': {'criteria': []}}, 'mine.criteria: expected different names, at least one, got []'),
        ({'mine': {'criteria': ['grad', 'grad']}}, 'mine.criteria: expected different names, at least one'),
        ({'mine': {'criteria': ['gradient']}}, "mine.criteria.0: expected 'grad' or 'grad_mag'"),
        ({'mine': {'criteria': 'grad'}}, "mine.criteria: expected a list of 'grad' or 'grad_mag'"),
        ({'mine': {'bad_images': 'keep'}}, "mine.bad_images: expected 'skip' or 'refuse', got 'keep'"),
        ({'mine': {'precision': 'half'}}, "mine.precision: expected 'float32' or 'bfloat16', got 'half'"),
        ({'minee': {}}, "minee: expected a known key, got 'minee'. Did you mean mine?"),
        ({'scale': 3, 'mine': {'patch_size': 9, 'stride': 7}}, 'mine.stride: expected a multiple of the scale 3, so'),
        ({'scale': 3}, 'mine.patch_size: expected a multiple of the scale 3, so that patches of the input fit, got 8'),
        ({'datasets': {'val': {'name': 'v', **GAUSSIAN}}}, 'datasets: expected train, optionally test, got train, val'),
        ({'datasets': {'train': {'name': 't', **GAUSSIAN, 'sigm': 3}}}, 'datasets.train.sigm: expected a known key'),
        ({'datasets': {'train': {'name': 't', **GAUSSIAN, 'dataroot_gt': 'no'}}}, "expected a folder, got 'no'"),
        ({'mine': {'criteria': ['loss']}}, 'network_g: expected a network (trained, for the criteria `loss`'),
        (
            {'mine': {'criteria': ['loss']}, 'network_g': IRCNN},
            'path.pretrain_network_g: expected the weights of a trained network, got none',
        ),
        (
            {'mine': {'criteria': ['loss']}, 'network_g': IRCNN, 'path': {'pretrain_network': 'net.pth'}},
            "path.pretrain_network: expected a known key, got 'pretrain_network'",
        ),
        (
            {'mine': {'criteria': ['loss']}, 'network_g': IRCNN, 'path': {'pretrain_network_g': 'none.pth'}},
            "path.pretrain_network_g: expected a file, got 'none.pth'",
        ),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    opt = options()
    for key, value in change.items():
        opt[key] = {**opt.get(key, {}), **value} if key in ('mine', 'datasets') else value
    assert message in refused(opt, capsys)
    assert not Path('results').exists()


def test_a_missing_block_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ('mine', 'datasets', 'name'):
        opt = options()
        del opt[key]
        assert f'{key}: expected a value, got none' in refused(opt, capsys)


def test_a_patch_of_pairs_has_to_be_a_multiple_of_their_scale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for keys in ({'patch_size': 7}, {'stride': 5}):
        (name,) = keys
        message = refused({**options(PAIRED, **keys), 'scale': 2}, capsys)
        assert f'mine.{name}: expected a multiple of the scale 2, so that patches of the input fit' in message


def test_what_only_a_network_reads_does_not_matter_without_it(folder: Path) -> None:
    expected = rows(mine(options()))
    opt = {**options(), 'network_g': IRCNN, 'path': {'pretrain_network_g': 'none.pth'}, 'num_gpu': 1}
    assert rows(mine(opt)) == expected


def test_a_check_decodes_every_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path('gt', file_of('d'))
    path.write_bytes(path.read_bytes()[:-200])
    assert main(['mine', '-opt', write(options(bad_images='refuse')), '--check']) == 2
    assert 'd.png' in capsys.readouterr().err
    assert main(['mine', '-opt', write(options()), '--check']) == 0


@pytest.mark.parametrize('criteria', [['grad'], ['grad', 'loss']])
def test_check_writes_nothing(folder: Path, criteria: list[str]) -> None:
    assert main(['mine', '-opt', write(with_network(IRCNN, criteria=criteria)), '--check']) == 0
    assert not Path('results').exists()


class NotFinite(nn.Module):
    """Its weight is finite, what it makes of an image is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), 3e38))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight * self.weight


@pytest.mark.parametrize('arguments', [(), ('--check',)])
def test_losses_that_are_not_finite_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, 'NotFinite', NotFinite)
    message = refused(with_network({'type': 'NotFinite'}), capsys, *arguments)
    assert 'a.png: expected finite values of loss by the network, got others. Check its weights.' in message


@pytest.mark.parametrize('arguments', [(), ('--check',)])
def test_a_network_that_does_not_fit_the_images_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    opt = with_network({**IRCNN, 'num_in_ch': 1, 'num_out_ch': 1})
    assert 'expected input that IRCNN takes' in refused(opt, capsys, *arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_mines_as_the_cpu(folder: Path) -> None:
    opt = with_network(IRCNN)
    expected = mine(opt).array('loss')
    np.testing.assert_allclose(mine(opt, '--set', 'num_gpu=1').array('loss'), expected, rtol=1e-3)


def test_workers_start_after_opencv_has_used_its_threads(folder: Path) -> None:
    """In a process of its own, which would wait for ever: a forked worker cannot end threads that it does not have."""
    Path('script.py').write_text(
        'import sys, time\n'
        'import basicsr_ext\n'
        'import cv2, numpy\n'
        'cv2.setNumThreads(4)\n'
        'cv2.resize(numpy.zeros((1500, 1500, 3), numpy.uint8), (3000, 3000))\n'
        'time.sleep(0.5)\n'
        'from basicsr_ext.__main__ import main\n'
        "sys.exit(main(['mine', '-opt', 'mine.yml']))\n"
    )
    write(options(workers=1))
    process = start(['script.py'], folder)
    try:
        process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == 0 and RESULT.exists()


# ---- mistakes ----


def test_a_scan_without_seed_can_be_continued(folder: Path) -> None:
    opt = options(criteria=['random'])
    del opt['manual_seed']
    manifest = mine(opt)
    assert manifest.header['seed'] == 0
    assert main(['mine', '-opt', write(opt)]) == 0  # the same scan: already there


@pytest.mark.parametrize('scale', [0, 1.5, 'two'])
def test_scale_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str], scale: Any) -> None:
    expected = 'at least 1' if scale == 0 else 'an integer'
    assert f'scale: expected {expected}, got {scale!r}' in refused({**options(), 'scale': scale}, capsys)


def test_keys_of_path_are_checked_without_a_network_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = {**options(), 'path': {'pretrain_network': 'net.pth'}}
    assert "path.pretrain_network: expected a known key, got 'pretrain_network'" in refused(opt, capsys)


def test_a_pair_of_wrong_sizes_is_skipped(folder: Path) -> None:
    whole = mine(with_network(IRCNN))
    name = sorted({path for (path,) in rows(whole, 'path')})[0]
    Path('lq_same').mkdir()
    for path in Path('gt').iterdir():
        image = cv2.imread(str(path))
        cv2.imwrite(f'lq_same/{path.name}', np.repeat(image, 2, 0) if path.name == name else image)
    manifest = mine(with_network(IRCNN, {**PAIRED, 'dataroot_lq': 'lq_same'}))
    assert name in manifest.header['skipped'] and name not in manifest.column('path')


# ---- influence on a target ----

AIM = {'name': 'aim', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'aim', 'sigma': 25}
TILED = {'a': (16, 24), 'b': (24, 16), 'c': (32, 32)}


def with_target(dataset: Options | None = None, **mine: Any) -> Options:
    write_noise('aim', {'x.png': (20, 24), 'y.png': (16, 16)}, seed=7)
    asked = {'criteria': ['influence'], 'influence': {'iterations': 2, 'curvature_images': 3}, **mine}
    opt = with_network(IRCNN, dataset, **asked)
    return {**opt, 'datasets': {**opt['datasets'], 'test': dict(AIM)}}


def test_the_mean_of_the_influence_over_a_tiling_is_that_of_a_ranking(folder: Path) -> None:
    shutil.rmtree('gt')
    write_images('gt', sizes=TILED)
    opt = with_target(stride=PATCH, criteria=['loss', 'influence'], influence={'iterations': 3, 'damping': 0.01})
    patches = mine(opt)
    assert patches.names == ['path', 'y', 'x', 'size', 'loss', 'influence']
    del opt['mine']
    ranked = {**opt, 'name': 'ranked', 'rank': {'iterations': 3, 'damping': 0.01}}
    assert main(['rank', '-opt', jobs.write_options('rank', ranked)]) == 0
    ranking = read_manifest('results/ranked/ranking.parquet')
    of_image = patches.image_of_rows()
    means = [patches.array('influence')[of_image == number].mean() for number in range(len(TILED))]
    np.testing.assert_allclose(means, ranking.array('influence'), rtol=1e-4)
    assert patches.header['chosen'] == ranking.header['chosen']['']
    assert patches.header['test']['content'] == ranking.header['levels']['']['test']['content']


def test_influence_killed_and_resumed_gives_the_same_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the solver, and when it is done."""
    opt = with_target(criteria=['influence', 'std'])
    mine(opt)
    expected = RESULT.read_bytes()
    shutil.rmtree('results')
    product = Derivatives.gauss_newton_product
    products: list[int] = []

    def stopped(*arguments: Any) -> torch.Tensor:
        products.append(1)
        if len(products) == 3:
            raise KeyboardInterrupt
        return product(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Derivatives, 'gauss_newton_product', stopped)
        assert main(['mine', '-opt', 'mine.yml']) == 130
    assert (UNFINISHED / 'influence/test_gradient.pth').is_file() and not list(UNFINISHED.glob('*.npy'))
    with jobs.failing_at(2):
        assert main(['mine', '-opt', 'mine.yml']) == 130
    monkeypatch.setattr(Derivatives, 'gauss_newton_product', None)
    assert main(['mine', '-opt', 'mine.yml']) == 0
    assert RESULT.read_bytes() == expected and not UNFINISHED.exists()


def test_two_processes_find_the_same_influence(folder: Path) -> None:
    """Up to the order in which their gradients are added; twice the same to the last bit."""
    opt = with_target(criteria=['influence', 'std'])
    alone = mine(opt)
    files = []
    for _ in range(2):
        shutil.rmtree('results')
        run_ranks([*COMMAND, '--launcher', 'pytorch'], folder)
        files.append(RESULT.read_bytes())
    shared = read_manifest(RESULT)
    assert files[0] == files[1] and not UNFINISHED.exists()
    assert rows(shared, 'path', 'y', 'x', 'std') == rows(alone, 'path', 'y', 'x', 'std')
    expected = alone.array('influence')
    np.testing.assert_allclose(shared.array('influence'), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_damaged_and_small_images_are_left_out_of_the_influence(folder: Path) -> None:
    whole = with_target()
    shutil.copytree('gt', 'more')
    write_noise('more', {'0.png': (4, 4)})
    Path('more/d2.png').write_bytes(b'nothing')
    expected, found = (
        mine({**whole, 'datasets': {**whole['datasets'], 'train': {'name': 'train', **GAUSSIAN, 'dataroot_gt': root}}})
        for root in ('gt', 'more')
    )
    assert rows(found) == rows(expected) and len(found.header['skipped']) == 2


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ('target', 'test.content'),
        ('damping', 'options.mine.influence.iterations: 2 became 1'),
        ('network', 'weights'),
    ],
)
def test_another_influence_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], change: str, named: str
) -> None:
    opt = with_target()
    mine(opt)
    if change == 'target':
        write_noise('aim', {'x.png': (20, 24)}, seed=8)
    elif change == 'damping':
        opt['mine']['influence']['iterations'] = 1
    else:
        torch.save({'params': build_network(dict(IRCNN)).state_dict()}, 'net.pth')
    assert named in refused(opt, capsys)


def test_settings_of_the_influence_change_nothing_else(folder: Path) -> None:
    mine(options())
    before = RESULT.stat().st_mtime_ns
    assert main(['mine', '-opt', write(options(influence={'iterations': 7}))]) == 0
    assert RESULT.stat().st_mtime_ns == before
    assert 'influence' not in read_manifest(RESULT).header['options']['mine']


def test_a_target_stands_with_its_criterion_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = with_target()
    del opt['datasets']['test']
    expected = 'datasets.test: expected a target for the criterion influence, got none. Add it, or leave the criterion'
    assert expected in refused(opt, capsys)
    needless = {**with_target(), 'mine': {'criteria': ['loss']}}
    assert 'datasets.test: expected none without the criterion influence, got one. Remove it' in refused(
        needless, capsys
    )
    wrong = with_target()
    wrong['mine']['influence'] = {'damping': -1}
    assert 'mine.influence.damping: expected different numbers of at least 0, or auto, got -1' in refused(wrong, capsys)
    wrong = with_target()
    wrong['datasets']['tset'] = wrong['datasets'].pop('test')
    assert 'datasets: expected train, optionally test, got train, tset' in refused(wrong, capsys)


def test_check_tries_the_network_on_the_target(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = with_target()
    assert main(['mine', '-opt', write(opt), '--check']) == 0 and not Path('results').exists()
    opt['datasets']['test']['color'] = 'gray'
    assert 'datasets.test: expected input that IRCNN takes, got (1, 1, 20, 24)' in refused(opt, capsys, '--check')
    opt = with_target()
    Path('aim/x.png').write_bytes(Path('aim/x.png').read_bytes()[:60])
    assert 'aim/x.png' in refused(opt, capsys, '--check')
