"""An earlier run stays where it is until nothing can fail any more, and nothing that was trained is lost."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from basicsr_ext.__main__ import main
from basicsr_ext.inference import Restorer
from basicsr_ext.jobs.train import TrainingRun
from basicsr_ext.runtime.files import put_aside, remove_stale
from basicsr_ext.training import loop
from basicsr_ext.training.state import newest_state
from tests.helpers.training import assert_same, lines, options
from tests.helpers.training import train_here as train

METRIC = {'psnr': {'type': 'calculate_psnr', 'crop_border': 'x'}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    'changes, said',
    [
        ({'logger__print_freq': 0}, 'logger.print_freq: expected at least 1, got 0'),
        ({'logger__save_checkpoint_freq': 0}, 'logger.save_checkpoint_freq: expected at least 1'),
        ({'val__val_freq': 0}, 'val.val_freq: expected at least 1'),
        ({'logger__wandb': {'project': 'x'}}, 'logger.wandb.project: expected use_tb_logger: true'),
        ({'logger__use_tb_logger': True, 'logger__wandb': {'project': 'x'}}, 'expected the package wandb'),
        ({'val__metrics': METRIC}, 'val.metrics.psnr: expected values that calculate_psnr'),
        ({'train__optim_g': {'type': 'Adam', 'lr': -1}}, 'train.optim_g: expected values that Adam takes'),
        ({'train__optim_g': {'type': 'Adam', 'lr': 'x'}}, 'train.optim_g: expected values that Adam takes'),
        ({'train__scheduler': {'type': 'CosineAnnealingLR', 'T_max': 0}}, 'train.scheduler: expected values that'),
        ({'train__scheduler': {'type': 'MultiStepLR', 'milestones': 4}}, 'train.scheduler: expected values that'),
        ({'train__pixel_opt': {'type': 'L1Loss', 'reduction': 'x'}}, 'expected values that L1Loss takes'),
        ({'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': -4}}, 'network_g: expected'),
        (
            {'network_g': {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3}},
            'datasets.train: expected input that IRCNN',
        ),
        ({'datasets__val__color': 'rgb'}, 'dataset val: expected input that IRCNN takes'),
        ({'deterministic': 'x'}, 'deterministic: expected true or false'),
        ({'manual_seed': -1}, 'manual_seed: expected'),
        ({'num_gpu': -1}, 'num_gpu: expected'),
        ({'name': ''}, 'name: expected a plain file name'),
        ({'name': '.'}, 'name: expected a plain file name'),
        ({'name': '../x'}, 'name: expected a plain file name'),
        ({'name': 'x' * 201}, 'name: expected a plain file name of at most 200'),
        ({'datasets__val__name': '../x'}, 'datasets.val.name: expected a plain file name'),
    ],
)
def test_what_is_wrong_is_found_before_a_run_is_put_aside(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    (folder / 'experiments/run').mkdir(parents=True)
    assert train(folder, **changes) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert [path.name for path in (folder / 'experiments').iterdir()] == ['run']
    assert not list((folder / 'experiments/run').iterdir())


def test_a_run_that_fails_before_its_first_state_gives_the_former_one_back(folder: Path) -> None:
    assert train(folder) == 0
    former = (folder / 'experiments/run/models/net_g_6.pth').read_bytes()
    file = folder / 'train' / '000.png'
    content = file.read_bytes()
    main_options = options(folder, train__total_iter=2)
    (folder / 'run.yml').write_text(yaml.safe_dump(main_options))
    file.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    for path in (folder / 'train').glob('0*.png'):
        path.write_bytes(file.read_bytes())
    assert main(['train', '-opt', str(folder / 'run.yml')]) == 2
    assert (folder / 'experiments/run/models/net_g_6.pth').read_bytes() == former
    assert not list((folder / 'experiments').glob('*_archived_*'))


def test_two_runs_within_a_second_have_archives_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, 'strftime', lambda form: '20240101_000000')
    for _ in range(3):
        (folder / 'a').mkdir()
        put_aside(folder / 'a')
    assert sorted(path.name for path in folder.iterdir()) == [
        f'a_archived_20240101_000000{n}' for n in ('', '_2', '_3')
    ]
    assert put_aside(folder / 'a') is None


def test_a_validation_that_fails_loses_nothing_and_is_done_when_the_run_continues(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved before it where both are due, and because of it where no saving was due."""

    def fail(*_: Any) -> None:
        raise RuntimeError('no video')

    for frequency in (3, 99):
        with monkeypatch.context() as patched:
            patched.setattr(loop, 'validate_with', fail)
            assert train(folder, name=f'run{frequency}', logger__save_checkpoint_freq=frequency) == 1
        root = folder / f'experiments/run{frequency}'
        assert torch.load(root / 'training_states/3.state', weights_only=True)['validation_due']
        assert train(folder, '--auto_resume', name=f'run{frequency}') == 0
    assert train(folder) == 0
    for name in ('run3', 'run99'):
        files = [folder / 'experiments' / each / 'training_states/6.state' for each in ('run', name)]
        assert_same(*(torch.load(file, weights_only=True) for file in files))
        log = folder / 'experiments' / name / 'training_log.jsonl'
        assert log.read_text() == (folder / 'experiments/run/training_log.jsonl').read_text()


def test_only_the_last_saved_iterations_are_kept(folder: Path) -> None:
    keys = {'logger__save_checkpoint_freq': 1, 'logger__keep_last': 2}
    assert train(folder, **keys) == 0
    root = folder / 'experiments/run'
    assert sorted(file.name for file in root.glob('training_states/*')) == ['5.state', '6.state']
    kept = {'net_g_5.pth', 'net_g_6.pth', 'net_g_best.pth', 'net_g_latest.pth'}
    assert {file.name for file in root.glob('models/*')} == kept
    assert train(folder, '--auto_resume', train__total_iter=7, **keys) == 0
    assert sorted(file.name for file in root.glob('training_states/*')) == ['6.state', '7.state']
    assert train(folder, name='other', logger__keep_last=0) == 2


@pytest.mark.parametrize(('model', 'decay'), [('RestorationModel', 0.5), ('RestorationModel', 0), ('SRModel', 0.5)])
def test_safetensors_beside_every_network(folder: Path, model: str, decay: float) -> None:
    keys = {'logger__checkpoint_format': 'safetensors', 'logger__keep_last': 1, 'train__ema_decay': decay}
    assert train(folder, model_type=model, **keys) == 0
    root = folder / 'experiments/run/models'
    kept = {f'net_g_{name}.{ending}' for name in (6, 'best', 'latest') for ending in ('pth', 'safetensors')}
    assert {file.name for file in root.iterdir()} == kept
    weights = torch.load(root / 'net_g_6.pth', weights_only=True)
    assert_same(load_file(root / 'net_g_6.safetensors'), dict(weights['params_ema' if decay else 'params']))
    restorer = Restorer.from_weights(root / 'net_g_6.safetensors', device='cpu')
    image = np.zeros((16, 16), np.uint8)
    opt = {**options(folder), 'path': {'pretrain_network_g': str(root / 'net_g_6.safetensors')}}
    (folder / 'use.yml').write_text(yaml.safe_dump(opt))
    assert np.array_equal(restorer.restore(image), Restorer.from_options('use.yml', device='cpu').restore(image))


def test_rate_and_norm_of_the_gradient_are_logged(folder: Path) -> None:
    assert train(folder, logger__use_tb_logger=True, train__grad_clip=1e9) == 0
    logged = [line for line in lines(folder) if 'lrs' in line]
    assert len(logged) == 6 and all(line['grad_norm'] > 0 and line['lrs'][0] > 0 for line in logged)
    events = EventAccumulator(str(folder / 'tb_logger/run')).Reload()
    assert [event.value for event in events.Scalars('learning_rate')] == pytest.approx(
        [line['lrs'][0] for line in logged]
    )
    assert [event.value for event in events.Scalars('grad_norm')] == pytest.approx(
        [line['grad_norm'] for line in logged]
    )


def test_a_kill_between_validation_and_its_state_gives_the_same_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    keep = TrainingRun._keep_best

    def die(self: TrainingRun, current_iter: int, results: Any) -> None:
        keep(self, current_iter, results)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(TrainingRun, '_keep_best', die)
        with pytest.raises(Killed):
            train(folder)
    assert train(folder, '--auto_resume') == 0
    validations = [line['iter'] for line in lines(folder) if 'validation' in line]
    assert validations == [3, 6]


@pytest.mark.usefixtures('curves')
def test_the_curve_is_drawn_again_and_stale_files_go_when_a_run_continues(folder: Path) -> None:
    assert train(folder) == 0
    root = folder / 'experiments/run'
    (root / 'training_curve.png').write_bytes(b'old')
    stale, living = root / 'models/.net_g_9.pth.99999999.tmp', root / f'.x.json.{os.getppid()}.tmp'
    other = root / '.somebody.tmp'
    for file in (stale, living, other):
        file.write_bytes(b'')
    assert train(folder, '--auto_resume') == 0
    assert (root / 'training_curve.png').read_bytes().startswith(b'\x89PNG')
    assert not stale.exists() and living.exists() and other.exists()
    remove_stale(folder / 'nowhere')


def test_an_empty_or_small_damaged_state_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train(folder) == 0
    newest = folder / 'experiments/run/training_states/6.state'
    whole = newest.read_bytes()
    torch.save({}, newest)
    empty = newest.read_bytes()
    opt = {'auto_resume': True, 'path': {'training_states': str(newest.parent), 'models': str(folder)}}
    for damaged in (empty, b'', b'P', whole[:2], whole[:4], whole[:30], b'\x80\x02.', b'\x80\x05K', b'(', b'\x80\x02c'):
        newest.write_bytes(damaged)
        assert newest_state(opt)[0] == str(newest.with_name('3.state'))
    with caplog.at_level(logging.INFO, 'basicsr'):
        assert train(folder, '--auto_resume') == 0
    assert 'Resuming training from iter: 3' in caplog.text


def test_the_options_are_written_as_they_ran(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = ['--set', 'train.optim_g.lr=2e-5', 'train.total_iter=2']
    assert train(folder, *changed, manual_seed=None) == 0
    written = folder / 'experiments/run/run.yml'
    assert yaml.safe_load(written.read_text())['train']['optim_g']['lr'] == 2e-5
    again = folder / 'again'
    again.mkdir()
    monkeypatch.chdir(again)
    assert main(['train', '-opt', str(written)]) == 0
    name = 'experiments/run/models/net_g_2.pth'
    assert (folder / name).read_bytes() == (again / name).read_bytes()
