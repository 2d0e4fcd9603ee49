"""Every job that takes a launcher gives with several processes what it gives with one: ranks of gloo, on the CPU."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network

from basicsr_ext.__main__ import main
from basicsr_ext.selection.manifest import Item, write_manifest
from tests.helpers.flexir import NETWORK
from tests.helpers.images import write_images
from tests.helpers.processes import TIMEOUT, finish, run_ranks, start_ranks

Options = dict[str, Any]
NUMBER, SIDE = 8, 40
RESULT = Path('results/small')
GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25, 'color': 'rgb'}
IRCNN = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
FLEXIR = {**NETWORK, 'in_chans': 3}
TUNED = ('gt', 'network_tuner.pth', 'statistics.json', '.png', '.html')  # what follows from the tuner's training


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with eight colour images in gt/, noisy ones in lq/, a ranking and weights."""
    monkeypatch.chdir(tmp_path)
    write_images(Path('gt'), NUMBER, SIDE, color=True)
    Path('lq').mkdir()
    for number, path in enumerate(sorted(Path('gt').iterdir())):
        noise = np.random.default_rng(number).integers(-20, 20, (SIDE, SIDE, 3))
        cv2.imwrite(f'lq/{path.name}', np.clip(cv2.imread(str(path)) + noise, 0, 255).astype(np.uint8))
    items = [Item(f'{number:03d}.png', SIDE, SIDE) for number in range(NUMBER)]
    write_manifest('ranking.parquet', items, {'rank': [3, 8, 1, 2, 5, 6, 7, 4]}, {'method': 'complexity'})
    torch.manual_seed(0)
    for name, block in (('ircnn', IRCNN), ('flexir', FLEXIR)):
        torch.save(build_network(dict(block)).state_dict(), f'{name}.pth')
    return tmp_path


def options(job: str, **block: Any) -> Options:
    """A small work of a job, whose block is changed."""
    pairs = {
        'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}
    }  # fmt: skip
    subset = {'type': 'InfluenceSubsetDataset', 'manifest': 'ranking.parquet', 'subset': 'top', 'size': 5}
    of_tuner = {'iterations': 6, 'patch_size': 24, 'batch_size': 4, 'lr': 1e-3, 'pixel_weight': 1}
    of_images = {'size': 7, 'kept': 0.3, 'manifest': 'ranking.parquet', 'image_size': 16, 'steps': 7, 'batch_size': 2}
    opts: dict[str, Options] = {
        'align': {
            'align': {**of_tuner, **block},
            'datasets': {'train': {'name': 'subset', **subset, 'dataset': pairs}, 'target': {'name': 'all', **pairs}},
            'network_tuner': {'type': 'DistributionTuner', 'width': 6, 'depth': 3},
        },
        'distill': {
            'distill': {**of_images, **block},
            'datasets': {'train': {'name': 'train', **GAUSSIAN}},
            'network_g': IRCNN,
        },
        'calibrate': {
            'calibrate': {'inference': {'regions': 5}, 'thresholds': 4, **block},
            'datasets': {'test_1': {'name': 'noisy', **pairs}},
            'network_g': FLEXIR,
            'path': {'pretrain_network_g': 'flexir.pth'},
        },
        'test': {
            'model_type': 'RestorationModel',
            'val': {'save_img': True, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}, **block},
            'datasets': {'test_1': {'name': 'noisy', **GAUSSIAN}},
            'network_g': IRCNN,
            'path': {'pretrain_network_g': 'ircnn.pth'},
        },
        'audit': {'audit': block, 'datasets': {'train': {'name': 'train', **GAUSSIAN}}},
    }
    return {'name': 'small', 'num_gpu': 0, 'manual_seed': 3, 'scale': 1, **opts[job]}


def prepare(job: str, opt: Options) -> list[str]:
    """The words of a command without launcher."""
    Path('job.yml').write_text(yaml.safe_dump(opt))
    return [job, '-opt', 'job.yml']


def files() -> dict[str, bytes]:
    """All that was written but the log."""
    found = (path for path in sorted(RESULT.rglob('*')) if path.is_file() and path.suffix != '.log')
    return {str(path.relative_to(RESULT)): path.read_bytes() for path in found}


def by_one(words: list[str]) -> dict[str, bytes]:
    shutil.rmtree('results', ignore_errors=True)
    assert main(words) == 0
    found = files()
    shutil.rmtree('results')
    return found


def by(ranks: int, words: list[str]) -> dict[str, bytes]:
    """What so many processes write, if the folder of the result is not there, or continue."""
    run_ranks(['-m', 'basicsr_ext', *words, '--launcher', 'pytorch'], Path.cwd(), ranks)
    assert not (RESULT / 'unfinished').exists()
    found = files()
    shutil.rmtree('results')
    return found


RANKS = [2, pytest.param(4, marks=pytest.mark.slow)]
EVOLVING = {'networks': {'matching_steps': 4, 'train_steps': 1, 'train_every': 3, 'lr': 1e-2}}


# ---- byte for byte ----


@pytest.mark.parametrize('ranks', RANKS)
@pytest.mark.parametrize('block', [{}, pytest.param(EVOLVING, marks=pytest.mark.slow)])
def test_distilled_images_are_the_same(folder: Path, ranks: int, block: Options) -> None:
    words = prepare('distill', options('distill', **block))
    assert by(ranks, words) == by_one(words)


@pytest.mark.parametrize('ranks', RANKS)
def test_tests_are_the_same(folder: Path, ranks: int) -> None:
    words = prepare('test', options('test'))
    found, expected = by(ranks, words), by_one(words)
    assert set(found) == set(expected) and len([name for name in found if name.startswith('visualization')]) == NUMBER
    assert found['metrics.json'] == expected['metrics.json']
    assert all(found[name] == content for name, content in expected.items() if name.startswith('visualization'))


@pytest.mark.slow
def test_audits_and_restored_files_are_the_same_with_four(folder: Path) -> None:
    words = prepare('audit', options('audit'))
    assert by(4, words) == by_one(words)
    restored = []
    for ranks in (1, 4):
        words = ['restore', 'lq', '-o', f'by_{ranks}', '--weights', 'ircnn.pth', '-opt', 'net.yml', '--device', 'cpu']
        Path('net.yml').write_text(yaml.safe_dump(options('test')))
        if ranks == 1:
            assert main(words) == 0
        else:
            run_ranks(['-m', 'basicsr_ext', *words, '--launcher', 'pytorch'], folder, ranks)
        restored.append({path.name: path.read_bytes() for path in Path(f'by_{ranks}').glob('*.png')})
    assert restored[0] == restored[1] and len(restored[0]) == NUMBER


def without_times(content: bytes) -> Options:
    found: Options = json.loads(content)
    rows = [row for name in ('pointers', 'thresholds', 'budgets', 'oracle') for row in found[name]]
    for row in (*rows, found['chosen']):
        for key in [key for key in row if 'ms_per' in key]:
            del row[key]
    return found


@pytest.mark.parametrize('ranks', RANKS)
def test_a_calibration_is_the_same_but_for_times(folder: Path, ranks: int) -> None:
    words = prepare('calibrate', options('calibrate', budget=0.8))
    found, expected = by(ranks, words), by_one(words)
    assert set(found) == set(expected)
    assert without_times(found['calibration.json']) == without_times(expected['calibration.json'])


# ---- within rounding ----


@pytest.mark.parametrize('ranks', RANKS)
@pytest.mark.parametrize('side', [24, pytest.param(None, marks=pytest.mark.slow)])
def test_a_tuner_learns_the_same_but_for_rounding(folder: Path, ranks: int, side: int | None) -> None:
    """Gradients are summed in another order."""
    opt = options('align', patch_size=side, restoration_weight=0.5)
    opt |= {'network_g': IRCNN, 'path': {'pretrain_network_g': 'ircnn.pth'}}
    words = prepare('align', opt)
    found, expected = by(ranks, words), by_one(words)
    assert set(found) == set(expected)
    assert {name: found[name] for name in found if name.startswith('lq') or name == 'meta_info.txt'} == {
        name: expected[name] for name in expected if name.startswith('lq') or name == 'meta_info.txt'
    }
    one, several = (json.loads(each['statistics.json']) for each in (expected, found))
    assert one['kl']['before'] == several['kl']['before'] and one['made_from'] == several['made_from']
    assert several['kl']['after'] == pytest.approx(one['kl']['after'], rel=1e-4)
    assert several['levels']['mean'] == pytest.approx(one['levels']['mean'], rel=1e-3) and one['levels']['mean'] > 0.1


# ---- killed, refused ----


def slowly(method: str) -> list[str]:
    """A script that does a job, whose method waits before each call, and that saves its state whenever it can."""
    module, name, function = method.rsplit('.', 2)
    Path('slow.py').write_text(
        'import sys, time\n'
        'from basicsr_ext.__main__ import main\n'
        'from basicsr_ext.runtime.saved_state import SavedState\n'
        f'from {module} import {name}\n'
        f'fast, make = {name}.{function}, SavedState.__init__\n'
        'def slowly(*arguments):\n'
        '    time.sleep(0.1)\n'
        '    return fast(*arguments)\n'
        f'{name}.{function} = slowly\n'
        'SavedState.__init__ = lambda self, path: make(self, path, 0)\n'
        'sys.exit(main(sys.argv[1:]))\n'
    )
    return ['slow.py']


@pytest.mark.parametrize(
    ('job', 'method', 'state', 'later'),
    [
        ('distill', 'basicsr_ext.distillation.engine.Distillation.match', 'state.pth', 3),
        ('calibrate', 'basicsr_ext.inference.observation.Observing.observed', 'observations.pth', 1),
        pytest.param('align', 'basicsr_ext.alignment.tuning.Tuning.losses', 'tuner.pth', 2, marks=pytest.mark.slow),
    ],
)
def test_one_of_two_is_killed_and_another_number_continues(
    folder: Path, job: str, method: str, state: str, later: int
) -> None:
    block = {'distill': {}, 'calibrate': {'budget': 0.8}, 'align': {'iterations': 30}}[job]
    words = prepare(job, options(job, **block))
    expected = by(2, words) if job == 'align' else by_one(words)
    processes = start_ranks([*slowly(method), *words, '--launcher', 'pytorch'], folder)
    deadline = time.monotonic() + TIMEOUT
    while not (RESULT / 'unfinished' / state).is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert 'expected the other processes to work on, got ' in finish(processes[0], 2)
    assert time.monotonic() - killed < 30 and not (RESULT / 'gt').exists()
    found = by(later, words)
    if job == 'calibrate':
        found, expected = ({'calibration.json': each['calibration.json']} for each in (found, expected))
        assert without_times(found['calibration.json']) == without_times(expected['calibration.json'])
    else:
        assert found == expected
