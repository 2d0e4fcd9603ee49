"""A run that is killed and resumed is bit for bit the run that was never interrupted."""

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from basicsr.archs import build_network

from basicsr_ext.errors import CheckpointError
from basicsr_ext.training import state
from tests.helpers.processes import run, start
from tests.helpers.training import assert_same_runs, lines, options, prepare, train

LAST = 30
# Dropout makes the weights depend on the generators, warm-up and milestones on the schedule, the rest on the state.
FULL_STATE = {
    'network_g': {
        'type': 'SwinIR', 'upscale': 1, 'in_chans': 1, 'img_size': 16, 'window_size': 4, 'img_range': 1.0,
        'depths': [2], 'embed_dim': 8, 'num_heads': [2], 'mlp_ratio': 2, 'upsampler': '', 'drop_rate': 0.2,
        'drop_path_rate': 0.2,
    },
    'train__total_iter': LAST,
    'train__warmup_iter': 7,
    'train__scheduler': {'type': 'MultiStepLR', 'milestones': [5, 19], 'gamma': 0.5},
    'train__ema_decay': 0.9,
    'train__accum_iter': 2,
    'train__grad_clip': 1.0,
    'datasets__train__num_worker_per_gpu': 1,
    'val__val_freq': 7,
    'logger__save_checkpoint_freq': 5,
}  # fmt: skip


def kill_at_random_moment(file: Path, folder: Path, rng: random.Random) -> int:
    """Start or continue the run, let it log at least one more iteration, kill it; returns the last logged iteration."""
    before = len(lines(folder))
    process = start(['-m', 'basicsr_ext', 'train', '-opt', str(file), '--auto_resume'], folder)
    deadline = time.monotonic() + 120
    while process.poll() is None and len(lines_or_none(folder)) <= before:
        if time.monotonic() > deadline:
            raise AssertionError('the run logs nothing')
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.4))
    with suppress(ProcessLookupError):  # it has ended by itself
        process.send_signal(signal.SIGKILL)
    process.wait()
    return max((line['iter'] for line in lines_or_none(folder)), default=0)


def lines_or_none(folder: Path) -> list[dict[str, Any]]:
    try:
        return lines(folder)
    except json.JSONDecodeError:  # a line that is being written
        return []


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not interrupted, in an interpreter of its own; `run.yml` stands beside it."""
    folder = tmp_path_factory.mktemp('whole') / 'run'
    folder.mkdir()
    run(['-m', 'basicsr_ext', 'train', '-opt', str(prepare(folder.parent, **FULL_STATE))], folder, fresh=True)
    return folder


def test_five_kills_change_nothing(whole: Path, tmp_path: Path) -> None:
    file, rng = whole.parent / 'run.yml', random.Random(5)
    reached = [kill_at_random_moment(file, tmp_path, rng) for _ in range(5)]
    train(file, tmp_path, '--auto_resume')
    assert min(reached) < LAST  # at least one kill came before the end
    assert_same_runs(whole, tmp_path, LAST)


@pytest.mark.parametrize('number', [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_saves_and_exits(whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / 'run.yml'
    file.write_text(
        (whole.parent / 'run.yml').read_text().replace('save_checkpoint_freq: 5', 'save_checkpoint_freq: 99')
    )
    process = start(['-m', 'basicsr_ext', 'train', '-opt', str(file)], tmp_path)
    while process.poll() is None and len(lines_or_none(tmp_path)) < 3:
        time.sleep(0.01)
    os.killpg(process.pid, number)  # to the workers too, as Ctrl-C in a terminal does
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    assert 'continue with --auto_resume' in output
    states = list((tmp_path / 'experiments/run/training_states').glob('*.state'))
    assert len(states) == 1 and int(states[0].stem) < LAST
    train(file, tmp_path, '--auto_resume')
    assert_same_runs(whole, tmp_path, LAST)


def test_resume_from_another_working_directory(tmp_path: Path) -> None:
    """The folder of the run is given by `root_path`, not by where the process happens to be."""
    file = prepare(tmp_path)
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    script = tmp_path / 'mine.py'
    script.write_text(f'from basicsr_ext.jobs.train import train_pipeline\ntrain_pipeline({str(tmp_path)!r})\n')
    run([str(script), '-opt', str(file)], tmp_path)
    changed = tmp_path / 'longer.yml'
    changed.write_text(file.read_text().replace('total_iter: 6', 'total_iter: 8'))
    output = run([str(script), '-opt', str(changed), '--auto_resume'], elsewhere)
    assert 'Resuming training from iter: 6' in output
    assert [line['iter'] for line in lines(tmp_path) if 'l_pix' in line] == list(range(1, 9))
    assert not list(elsewhere.iterdir())


def test_a_damaged_newest_state_is_passed_over(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    train(file, tmp_path)
    newest = tmp_path / 'experiments/run/training_states/6.state'
    newest.write_bytes(newest.read_bytes()[:100])
    output = train(file, tmp_path, '--auto_resume')
    assert f'checkpoint {newest}' in output and 'Resuming training from iter: 3' in output


def test_only_damaged_states_are_an_error_and_nothing_is_moved(tmp_path: Path) -> None:
    opt = options(tmp_path, path={'training_states': str(tmp_path), 'models': str(tmp_path)})
    opt['auto_resume'] = True
    (tmp_path / '4.state').write_bytes(b'half a file')
    with pytest.raises(CheckpointError, match='expected a complete state in .*, got none'):
        state.find_resume_state(opt)


def test_generator_states_round_trip() -> None:
    import numpy as np

    saved = state.rng_state()
    drawn = [torch.rand(3), np.random.rand(3), random.random()]
    state.restore_rng_state(saved)
    again = [torch.rand(3), np.random.rand(3), random.random()]
    assert torch.equal(drawn[0], again[0]) and (drawn[1] == again[1]).all() and drawn[2] == again[2]


def test_exactly_total_iter_iterations(tmp_path: Path) -> None:
    """8 images in batches of 5, and in batches of 16: BasicSR stops early, or trains not at all."""
    for batch in (5, 16):
        folder = tmp_path / str(batch)
        file = prepare(folder, datasets__train__batch_size_per_gpu=batch, train__total_iter=7)
        train(file, folder)
        assert [line['iter'] for line in lines(folder) if 'l_pix' in line] == list(range(1, 8))


def test_a_resume_does_not_need_the_pretrained_weights(tmp_path: Path) -> None:
    prepare(tmp_path)
    net = build_network(options(tmp_path)['network_g'])
    torch.save(net.state_dict(), tmp_path / 'pretrained.pth')
    file = prepare(tmp_path, path={'pretrain_network_g': str(tmp_path / 'pretrained.pth')})
    train(file, tmp_path)
    (tmp_path / 'pretrained.pth').unlink()
    assert 'Resuming training from iter: 6' in train(file, tmp_path, '--auto_resume')
    assert 'path.pretrain_network_g: expected a file' in train(file, tmp_path, code=2)
