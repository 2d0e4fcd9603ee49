"""Every job that takes a launcher gives with several processes what it gives with one: ranks of gloo, on the CPU."""

import io
import json
import os
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
from torch import nn

from basicsr_ext.__main__ import main
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.calibrate.options import FILE as CALIBRATE
from basicsr_ext.jobs.calibrate.options import CalibrateSettings
from basicsr_ext.jobs.restore import restore_pipeline
from basicsr_ext.networks import fits
from basicsr_ext.runtime import distributed
from basicsr_ext.selection.manifest import Item, write_manifest
from tests.helpers.flexir import NETWORK
from tests.helpers.images import write_images
from tests.helpers.processes import TIMEOUT, finish, free_port, run_ranks, start, start_ranks

Options = dict[str, Any]
NUMBER, SIDE = 8, 40
RESULT = Path('results/small')
GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25, 'color': 'rgb'}
IRCNN = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
FLEXIR = {**NETWORK, 'in_chans': 3}


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
    of_tuner = {'iterations': 6, 'patch_size': 24, 'batch_size': 3, 'lr': 1e-3, 'pixel_weight': 1}
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
    """Gradients are summed in another order. Of two ranks one has two crops, of four one has none."""
    opt = options('align', patch_size=side, restoration_weight=0.5)
    opt |= {'network_g': IRCNN, 'path': {'pretrain_network_g': 'ircnn.pth'}}
    words = prepare('align', opt)
    found, expected = by(ranks, words), by_one(words)
    assert set(found) == set(expected)
    weights = [
        torch.load(io.BytesIO(each['network_tuner.pth']), weights_only=True)['params'] for each in (found, expected)
    ]
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-6)
    assert found['meta_info.txt'] == expected['meta_info.txt']
    for name in [name for name in found if name.startswith(('gt', 'lq'))]:
        images = [cv2.imdecode(np.frombuffer(each[name], np.uint8), cv2.IMREAD_COLOR) for each in (found, expected)]
        assert np.abs(np.subtract(*images, dtype=int)).max() <= 1 and (images[0] != images[1]).mean() < 0.01
    one, several = (json.loads(each['statistics.json']) for each in (expected, found))
    assert one['kl']['before'] == several['kl']['before'] and one['made_from'] == several['made_from']
    assert several['kl']['after'] == pytest.approx(one['kl']['after'], rel=1e-4)
    assert several['levels']['mean'] == pytest.approx(one['levels']['mean'], rel=1e-3) and one['levels']['mean'] > 0.1


# ---- nodes ----


@pytest.mark.slow
def test_two_nodes_give_what_one_process_gives(folder: Path) -> None:
    """Two launchers that know of each other nothing but an address and a port, each with two processes."""
    words = prepare('distill', options('distill'))
    meeting = ['--nnodes=2', '--nproc_per_node=2', '--master_addr=127.0.0.1', f'--master_port={free_port()}']
    job = ['-m', 'basicsr_ext', *words, '--launcher', 'pytorch']
    nodes = [
        start(['-m', 'torch.distributed.run', *meeting, f'--node_rank={node}', *job], folder, fresh=True)
        for node in range(2)
    ]
    said = ''.join(finish(node) for node in nodes)
    assert '5 synthetic images in batches of 2: work for 3 of the 4 processes.' in said
    assert files() == by_one(words)


def test_slurm_starts_them_too(folder: Path) -> None:
    """By the variables of srun, and an scontrol that names one host."""
    words = prepare('calibrate', options('calibrate', images=3))
    Path('scontrol').write_text('#!/bin/sh\necho 127.0.0.1\n')
    Path('scontrol').chmod(0o755)
    variables = {
        'SLURM_NODELIST': 'here', 'SLURM_NTASKS': '2', 'SLURM_STEP_NUM_TASKS': '2', 'MASTER_PORT': free_port(),
        'PATH': f'{folder}:{os.environ["PATH"]}',
    }  # fmt: skip
    job = ['-m', 'basicsr_ext', *words, '--launcher', 'slurm']
    for process in [
        start(job, folder, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank), **variables) for rank in range(2)
    ]:
        finish(process)
    found = json.loads((RESULT / 'calibration.json').read_text())
    assert found['images']['number'] == 3


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
    ('job', 'method', 'state', 'killed', 'later'),
    [
        ('distill', 'basicsr_ext.distillation.engine.Distillation.match', 'state.pth', 1, 3),
        pytest.param(
            'calibrate',
            'basicsr_ext.inference.observation.Observing.observed',
            'observations.pth',
            0,
            1,
            marks=pytest.mark.slow,
        ),
        pytest.param('align', 'basicsr_ext.alignment.tuning.Tuning.losses', 'tuner.pth', 1, 2, marks=pytest.mark.slow),
    ],
)
def test_one_of_two_is_killed_and_another_number_continues(
    folder: Path, job: str, method: str, state: str, killed: int, later: int
) -> None:
    block = {'distill': {}, 'calibrate': {'budget': 0.8}, 'align': {'iterations': 30}}[job]
    words = prepare(job, options(job, **block))
    expected = by(2, words) if job == 'align' else by_one(words)
    processes = start_ranks([*slowly(method), *words, '--launcher', 'pytorch'], folder)
    deadline = time.monotonic() + TIMEOUT
    while not (RESULT / 'unfinished' / state).is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[killed].send_signal(signal.SIGKILL)
    at = time.monotonic()
    assert 'expected the other processes to work on, got ' in finish(processes[1 - killed], 2)
    assert time.monotonic() - at < 30 and not (RESULT / 'gt').exists()
    found = by(later, words)
    if job == 'calibrate':
        found, expected = ({'calibration.json': each['calibration.json']} for each in (found, expected))
        assert without_times(found['calibration.json']) == without_times(expected['calibration.json'])
    else:
        assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize('receivers', [[0, 1], [1]])
def test_a_stop_saves_the_state_of_all(folder: Path, receivers: list[int]) -> None:
    words = prepare('distill', options('distill', steps=40))
    expected = by_one(words)
    method = 'basicsr_ext.distillation.engine.Distillation.match'
    processes = start_ranks([*slowly(method), *words, '--launcher', 'pytorch'], folder)
    while not (RESULT / 'unfinished/state.pth').is_file() and processes[0].poll() is None:
        time.sleep(0.01)
    for rank in receivers:
        processes[rank].send_signal(signal.SIGTERM)
    said = [finish(process, 143 if rank in receivers else 0) for rank, process in enumerate(processes)]
    assert 'Stopped. What is done is saved' in said[0] and not (RESULT / 'gt').exists()
    assert 0 < len(torch.load(RESULT / 'unfinished/state.pth', weights_only=True)['losses']) < 40
    assert by(4, words) == expected


def test_jobs_that_share_nothing_refuse_a_launcher(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variables in ({'TORCHELASTIC_RUN_ID': 'none', 'WORLD_SIZE': '2'}, {'SLURM_STEP_NUM_TASKS': '2'}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            for job in ('inspect', 'export', 'init'):
                assert main([job, 'ranking.parquet', '-o', 'out']) == 2
                said = f'basicsr-ext {job}: expected one process, as its work is not shared out, got 2. Start it'
                assert said in capsys.readouterr().err
    monkeypatch.setenv('WORLD_SIZE', '2')  # as clusters do that know nothing of torchrun
    assert main(['export', 'ranking.parquet', '-o', 'out.csv']) == 0


def test_what_several_processes_cannot_do_alike(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, 'rank_and_world', lambda: (0, 2))
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.1))
    with pytest.raises(OptionError, match='network_tuner: expected a network that .* got BatchNorm2d, Dropout. Choose'):
        fits.refuse_by_batch(net, 'network_tuner')
    fits.refuse_by_batch(net[0], 'network_tuner')
    with pytest.raises(OptionError, match=r'calibrate.budget_ms: expected one process, .* got 2 processes'):
        CALIBRATE.check({'world_size': 2}, CalibrateSettings(budget_ms=5))  # type: ignore[misc]
    Path('film.mkv').write_bytes(b'')
    monkeypatch.setattr(distributed, 'rank_and_world', lambda: (0, 2))
    with pytest.raises(OptionError, match='--launcher: expected images to share out, got a video'):
        restore_pipeline(folder, ['film.mkv', '-o', 'out.mkv', '--weights', 'ircnn.pth'])
