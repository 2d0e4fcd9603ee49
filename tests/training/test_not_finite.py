"""NaN and infinite numbers are seen where they come in: options, weights, outputs, metrics, files."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.metrics import calculate_metric
from torch import nn

from basicsr_ext.__main__ import main
from basicsr_ext.errors import CheckpointError, DataError
from basicsr_ext.inference import Restorer
from basicsr_ext.runtime.checkpoint import load_network_weights
from basicsr_ext.runtime.files import write_json
from basicsr_ext.training import validation
from tests.helpers.training import lines, options, prepare, write_images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(folder: Path, *more: str, **changes: Any) -> int:
    return main(['train', '-opt', str(prepare(folder, **changes)), *more])


def test(folder: Path, weights: dict[str, Any]) -> int:
    write_images(folder / 'val', number=2, size=36)
    torch.save(weights, folder / 'net.pth')
    opt = options(folder, path={'pretrain_network_g': str(folder / 'net.pth')})
    opt['datasets'] = {'test': opt['datasets']['val']}
    del opt['train'], opt['logger']
    (folder / 'test.yml').write_text(yaml.safe_dump(opt))
    return main(['test', '-opt', str(folder / 'test.yml')])


test.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize('bad', [float('inf'), float('-inf'), float('nan')])
@pytest.mark.parametrize(
    'place, block',
    [
        ('train.optim_g.lr', {'type': 'Adam', 'lr': None}),
        ('train.optim_g.betas.1', {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, None]}),
        ('train.pixel_opt.loss_weight', {'type': 'L1Loss', 'loss_weight': None}),
    ],
)
def test_options(
    folder: Path, capsys: pytest.CaptureFixture[str], place: str, block: dict[str, Any], bad: float
) -> None:
    filled = {key: bad if value is None else value for key, value in block.items()}
    if 'betas' in filled:
        filled['betas'] = [0.9, bad]
    assert train(folder, **{f'train__{place.split(".")[1]}': filled}) == 2
    assert f'{place}: expected a finite number, got {bad}' in capsys.readouterr().err
    assert not (folder / 'experiments').exists()


def network() -> nn.Module:
    return build_network(options(Path())['network_g'])


@pytest.mark.parametrize('bad', [float('inf'), float('nan')])
def test_weights(folder: Path, capsys: pytest.CaptureFixture[str], bad: float) -> None:
    weights = network().state_dict()
    weights['model.0.weight'][0, 0, 0, 0] = bad
    assert test(folder, {'params': weights}) == 2
    assert 'expected finite weights, got NaN or infinite ones in 1 of' in capsys.readouterr().err
    with pytest.raises(CheckpointError, match='expected finite weights'):
        load_network_weights(network(), folder / 'net.pth')


def test_a_mask_in_a_buffer_may_be_infinite(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    net.register_buffer('mask', torch.tensor([0, -torch.inf]))
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    assert load_network_weights(net, tmp_path / 'net.pth') == 'plain'


def huge() -> dict[str, Any]:
    """Finite weights whose output overflows."""
    return {name: torch.full_like(value, 3e38) for name, value in network().state_dict().items()}


def test_output_of_a_test(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert test(folder, {'params': huge()}) == 2
    assert 'expected finite output of RestorationModel, got NaN or infinite values' in capsys.readouterr().err
    assert not list(folder.rglob('results/**/*.png')) and not list(folder.rglob('metrics.json'))


def test_output_of_a_restorer() -> None:
    net = network()
    net.load_state_dict(huge())
    with pytest.raises(DataError, match='expected a finite image from IRCNN'):
        Restorer(net).restore(np.full((12, 12), 200, np.uint8))


def test_a_metric_that_is_nan_once_is_null_and_not_the_best(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measured: list[float] = []

    def measure(images: Any, block: Any) -> float:
        measured.append(0)
        return float('nan') if len(measured) == 2 else calculate_metric(images, block)  # the first is a trial

    monkeypatch.setattr(validation, 'calculate_metric', measure)
    with caplog.at_level(logging.INFO, 'basicsr'):
        assert train(folder) == 0
    found = [line['validation']['val']['psnr'] for line in lines(folder) if 'validation' in line]
    assert found[0] is None and found[1] > 0
    assert 'a mean that is no number' in caplog.text
    state = torch.load(folder / 'experiments/run/training_states/6.state', weights_only=True)
    assert state['best_score']['iter'] == 6
    assert (folder / 'experiments/run/models/net_g_best.pth').is_file()


def test_json_holds_null(tmp_path: Path) -> None:
    write_json(tmp_path / 'x.json', {'a': [float('nan'), 1.5], 'b': {'c': float('inf')}, 'd': (True, None)})
    assert json.loads((tmp_path / 'x.json').read_text()) == {'a': [None, 1.5], 'b': {'c': None}, 'd': [True, None]}
