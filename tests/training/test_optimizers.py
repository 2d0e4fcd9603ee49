"""Optimisers and schedules by name, of torch and of pytorch_optimizer, schedule-free ones among them."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_optimizer
import torch
import yaml

from basicsr_ext.__main__ import main
from basicsr_ext.errors import OptionError
from basicsr_ext.training import learning_rate
from tests.helpers.training import assert_same, lines, options
from tests.helpers.training import train_here as train

FREE = {'type': 'ScheduleFreeAdamW', 'lr': 1e-2, 'betas': [0.9, 0.99]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def test_names_of_torch_come_first() -> None:
    assert learning_rate.optimizer_class({'type': 'AdamW', 'lr': 1e-3}, 'x') is torch.optim.AdamW
    assert learning_rate.optimizer_class({'type': 'Lion', 'lr': 1e-3}, 'x') is pytorch_optimizer.Lion
    with pytest.raises(OptionError, match=r"x\.type: expected a known name, got 'Lino'\. Did you mean Lion"):
        learning_rate.optimizer_class({'type': 'Lino'}, 'x')
    with pytest.raises(OptionError, match=r'x\.beta: expected an argument of Lion'):
        learning_rate.optimizer_class({'type': 'Lion', 'beta': 1}, 'x')


def test_without_the_package_its_names_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_rate, 'find_spec', lambda name: None)
    with pytest.raises(OptionError, match=r"x\.type: expected a known name, got 'ScheduleFreeAdamW'"):
        learning_rate.optimizer_class(FREE, 'x')


def test_the_average_of_a_schedule_free_optimiser_is_validated_and_saved(folder: Path) -> None:
    assert train(folder, train__optim_g=FREE, train__scheduler=None) == 0
    results = json.loads((folder / 'experiments/run/metrics.json').read_text())
    opt = options(folder)
    test = {'name': 'again', 'datasets': {'test': opt['datasets']['val']}, 'val': {**opt['val'], 'val_freq': None}}
    test['path'] = {'pretrain_network_g': str(folder / 'experiments/run/models/net_g_6.pth')}
    kept = {key: opt[key] for key in ('model_type', 'num_gpu', 'manual_seed', 'network_g')}
    (folder / 'test.yml').write_text(yaml.safe_dump({**kept, **test}))
    assert main(['test', '-opt', 'test.yml']) == 0
    assert json.loads((folder / 'results/again/metrics.json').read_text())['val'] == results['val']

    state = read(folder / 'experiments/run/training_states/6.state')
    (group,) = state['optimizers'][0]['param_groups']
    assert group['train_mode'] is False and 'z' in state['optimizers'][0]['state'][0]


def test_a_schedule_free_run_that_was_stopped_is_the_whole_one(folder: Path) -> None:
    keys = {'train__optim_g': FREE, 'train__scheduler': None}
    assert train(folder, name='whole', **keys) == 0
    assert train(folder, train__total_iter=3, **keys) == 0
    assert train(folder, '--auto_resume', **keys) == 0
    for file in ('models/net_g_6.pth', 'models/net_g_latest.pth'):
        assert_same(*(read(folder / 'experiments' / name / file) for name in ('whole', 'run')))
    log = folder / 'experiments/whole/training_log.jsonl'
    whole = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line for line in lines(folder) if line['iter'] > 3] == [line for line in whole if line['iter'] > 3]


@pytest.mark.parametrize(
    ('optim', 'scheduler'),
    [
        ({'type': 'AdamW', 'lr': 1e-3}, {'type': 'ExponentialLR', 'gamma': 0.9}),
        ({'type': 'Lion', 'lr': 1e-4}, {'type': 'MultiStepLR', 'milestones': [3], 'gamma': 0.5}),
    ],
)
def test_a_stock_model_takes_them_too(folder: Path, optim: dict[str, Any], scheduler: dict[str, Any]) -> None:
    keys = {'model_type': 'SRModel', 'train__optim_g': optim, 'train__scheduler': scheduler, 'train__ema_decay': 0.9}
    assert train(folder, **keys) == 0
    rates = [line['lrs'][0] / optim['lr'] for line in lines(folder) if 'lrs' in line]
    falling = [0.9**number for number in range(6)]
    assert rates == pytest.approx(falling if scheduler['type'] == 'ExponentialLR' else [1, 1, 1, 0.5, 0.5, 0.5])
