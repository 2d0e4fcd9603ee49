"""Resuming under other options: applied from there on, or refused."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.training import lines
from tests.helpers.training import train_here as train

COSINE = {'type': 'CosineAnnealingLR', 'T_max': 6}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rates(folder: Path) -> dict[int, float]:
    return {line['iter']: line['lrs'][0] for line in lines(folder) if 'lrs' in line}


@pytest.mark.parametrize(
    'before, after',
    [
        ({'type': 'CosineAnnealingLR', 'T_max': 6}, {'type': 'CosineAnnealingLR', 'T_max': 12}),
        ({'type': 'MultiStepLR', 'milestones': [2, 4], 'gamma': 0.5}, {'type': 'MultiStepLR', 'milestones': [3, 7]}),
        ({'type': 'MultiStepLR', 'milestones': [3], 'gamma': 0.5}, {'type': 'CosineAnnealingLR', 'T_max': 9}),
    ],
)
def test_a_resumed_run_has_the_rates_of_one_that_began_with_the_new_schedule(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, before: Any, after: Any
) -> None:
    assert train(folder, train__scheduler=before) == 0
    now = {'train__scheduler': after, 'train__optim_g': {'type': 'Adam', 'lr': 5e-4}, 'train__total_iter': 10}
    with caplog.at_level(logging.INFO, 'basicsr'):
        assert train(folder, '--auto_resume', **now, train__warmup_iter=8) == 0
    assert 'From iteration 7 on: train.optim_g.lr is 0.0005 instead of 0.001.' in caplog.text
    assert 'From iteration 7 on: train.total_iter is 10 instead of 6.' in caplog.text
    resumed = rates(folder)
    fresh = folder / 'fresh'
    fresh.mkdir()
    monkeypatch.chdir(fresh)
    assert train(fresh, **now, train__warmup_iter=8) == 0
    assert {i: rate for i, rate in resumed.items() if i > 6} == {i: rate for i, rate in rates(fresh).items() if i > 6}
    monkeypatch.chdir(folder)
    assert (
        train(folder, '--auto_resume', **{**now, 'train__total_iter': 12}, train__warmup_iter=8) == 0
    )  # and once more


@pytest.mark.parametrize(
    'changes, said',
    [
        ({'train__optim_g': {'type': 'SGD', 'lr': 1e-3}}, "train.optim_g.type: expected 'Adam'"),
        ({'train__optim_g': {'type': 'Adam', 'lr': 1e-3, 'amsgrad': True}}, 'train.optim_g.amsgrad: expected None'),
        ({'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 5}}, 'network_g.num_feat'),
        ({'datasets__train__batch_size_per_gpu': 4}, 'samples_per_iteration: expected 2'),
        ({'train__accum_iter': 2}, 'samples_per_iteration: expected 2'),
        ({'manual_seed': 4}, 'manual_seed: expected 3'),
        ({'train__total_iter': 5}, 'train.total_iter: expected at least 6'),
    ],
)
def test_what_cannot_go_on_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    assert train(folder) == 0
    before = sorted(folder.rglob('*'))
    changes = {'train__total_iter': 8, **changes}
    for check in ([], ['--check']):
        assert train(folder, '--auto_resume', *check, **changes) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in error and ('pretrain_network_g' in error or 'path.resume_state' in error)
    assert sorted(folder.rglob('*')) == before


def test_an_argument_at_its_default_is_no_change_and_the_seed_may_be_left_out(folder: Path) -> None:
    assert train(folder) == 0
    net = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
    assert train(folder, '--auto_resume', network_g=net, scale=1, manual_seed=None, train__total_iter=7) == 0
    assert lines(folder)[-1]['iter'] == 7


def test_states_of_older_versions_and_of_basicsr_load(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train(folder) == 0
    path = folder / 'experiments/run/training_states/6.state'
    state = torch.load(path, weights_only=True)
    del state['made_with']
    torch.save(state, path)
    with caplog.at_level(logging.INFO, 'basicsr'):
        assert train(folder, '--auto_resume', train__total_iter=7) == 0
    assert 'does not say what it was made with' in caplog.text
    torch.save({key: state[key] for key in ('epoch', 'iter', 'optimizers', 'schedulers')}, path)
    (folder / 'experiments/run/training_states/7.state').unlink()
    assert train(folder, '--auto_resume', train__total_iter=7) == 0


@pytest.mark.parametrize(
    'damage, said',
    [
        (lambda state: {}, 'expected the keys epoch, iter, optimizers, schedulers'),
        (lambda state: {'params': state['iter']}, 'among its keys: params'),
        (lambda state: {**state, 'iter': 'six'}, "iter: expected an integer, got 'six'"),
        (lambda state: {**state, 'optimizers': []}, 'expected optimisers, schedules and generators of this model'),
        (lambda state: {**state, 'rng': [{'python': 3}]}, 'expected optimisers, schedules and generators'),
        (lambda state: {**state, 'best_score': 30}, 'best_score: expected a block of options or ~, got 30'),
        (lambda state: [state], 'expected a training state, got list'),
    ],
)
def test_a_state_of_somebody_else_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], damage: Any, said: str
) -> None:
    assert train(folder) == 0
    path = folder / 'experiments/run/training_states/6.state'
    torch.save(damage(torch.load(path, weights_only=True)), path)
    assert train(folder, path={'pretrain_network_g': None, 'resume_state': str(path)}, train__total_iter=8) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


def test_an_optimiser_of_another_class_is_noticed_without_a_record(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder) == 0
    path = folder / 'experiments/run/training_states/6.state'
    state = torch.load(path, weights_only=True)
    del state['made_with']
    torch.save(state, path)
    changed = {'train__optim_g': {'type': 'SGD', 'lr': 1e-3}, 'train__total_iter': 8}
    assert train(folder, '--auto_resume', **changed) == 2
    assert 'settings of another optimiser' in capsys.readouterr().err
