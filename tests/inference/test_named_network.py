"""What says of which network a file of weights is, and in which order it is asked."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from safetensors.torch import save_file

from basicsr_ext.errors import CheckpointError, OptionError
from basicsr_ext.inference import Restorer
from basicsr_ext.inference.named_network import find_network
from basicsr_ext.runtime.checkpoint import save_network_weights

CONV: dict[str, Any] = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
IMAGE = np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)


@pytest.fixture
def net() -> torch.nn.Module:
    torch.manual_seed(0)
    found: torch.nn.Module = build_network(dict(CONV))
    return found.eval()


def expected(net: torch.nn.Module) -> np.ndarray:
    with torch.no_grad():
        restored = net(torch.from_numpy(IMAGE / np.float32(255))[None, None])[0, 0]
    found: np.ndarray = (restored.clamp(0, 1) * 255).round().byte().numpy()
    return found


def experiment(folder: Path, net: torch.nn.Module, name: str = 'latest', **options: Any) -> Path:
    """Weights as a training of an earlier version left them, beside its option file."""
    models = folder / 'experiments/x/models'
    models.mkdir(parents=True, exist_ok=True)
    torch.save({'params': net.state_dict()}, models / f'net_g_{name}.pth')
    (folder / 'experiments/x/x.yml').write_text(yaml.safe_dump({'name': 'x', 'network_g': CONV, 'path': {}, **options}))
    return models / f'net_g_{name}.pth'


def test_the_file_itself_is_asked_first(tmp_path: Path, net: torch.nn.Module) -> None:
    save_network_weights(tmp_path / 'net.pth', {'params': net.state_dict()}, CONV)
    (tmp_path / 'other.yml').write_text(yaml.safe_dump({'network_g': {**CONV, 'num_feat': 5}}))
    for opt_file in (None, tmp_path / 'other.yml'):
        assert find_network(tmp_path / 'net.pth', opt_file).block == CONV
    assert (Restorer.from_weights(tmp_path / 'net.pth', device='cpu').restore(IMAGE) == expected(net)).all()


def test_the_option_file_that_is_named_is_asked_second(tmp_path: Path, net: torch.nn.Module) -> None:
    weights = experiment(tmp_path, net)
    (tmp_path / 'other.yml').write_text(yaml.safe_dump({'network_g': {**CONV, 'num_feat': 5}}))
    named = find_network(weights, tmp_path / 'other.yml')
    assert named.block['num_feat'] == 5 and named.source == str(tmp_path / 'other.yml')


def test_the_option_file_of_the_experiment_is_asked_third(tmp_path: Path, net: torch.nn.Module) -> None:
    weights = experiment(tmp_path, net, val={'inference': {'regions': 3}})
    named = find_network(weights)
    assert named.block == CONV and named.source == str(tmp_path / 'experiments/x/x.yml')
    assert named.settings is not None and named.settings.regions == 3
    restorer = Restorer.from_weights(weights, device='cpu')
    assert restorer.settings.regions == 3 and restorer.restore(IMAGE).shape == IMAGE.shape


def test_of_several_option_files_of_an_experiment(tmp_path: Path, net: torch.nn.Module) -> None:
    weights = experiment(tmp_path, net)
    again = tmp_path / 'experiments/x/again.yml'
    again.write_text(yaml.safe_dump({'network_g': CONV, 'val': {'inference': {'regions': 5}}}))
    os.utime(again, (1, 1))
    assert find_network(weights).settings is None  # the newest counts
    os.utime(tmp_path / 'experiments/x/x.yml', (0, 0))
    settings = find_network(weights).settings
    assert settings is not None and settings.regions == 5
    again.write_text(yaml.safe_dump({'network_g': {**CONV, 'num_feat': 5}}))
    with pytest.raises(OptionError, match=r'expected option files of one network, got again\.yml, x\.yml'):
        find_network(weights)


def test_spandrel_is_asked_last(tmp_path: Path) -> None:
    pytest.importorskip('spandrel')
    block = {'type': 'SpandrelArch', 'architecture': 'DnCNN', 'in_nc': 1, 'out_nc': 1, 'nc': 8, 'nb': 4}
    net = build_network(dict(block)).eval()
    for name, weights in (('plain', net.state_dict()), ('official', {'params': net.state_dict()})):
        torch.save(weights, tmp_path / f'{name}.pth')
        named = find_network(tmp_path / f'{name}.pth')
        assert named.source == 'spandrel'
        assert (Restorer.from_named(named, device='cpu').restore(IMAGE) == expected(net)).all()


def test_averaged_weights_are_taken_unless_the_others_are_asked_for(tmp_path: Path, net: torch.nn.Module) -> None:
    other = build_network(dict(CONV)).eval()
    states = {'params': net.state_dict(), 'params_ema': other.state_dict()}
    save_network_weights(tmp_path / 'net.pth', states, CONV)
    for ema, one in ((True, other), (False, net)):
        found = Restorer.from_weights(tmp_path / 'net.pth', device='cpu', ema=ema).restore(IMAGE)
        assert (found == expected(one)).all()
    assert (expected(net) != expected(other)).any()


def test_a_network_of_a_checkpoint_is_built_from_its_own_weights(tmp_path: Path) -> None:
    pytest.importorskip('spandrel')
    block = {'type': 'SpandrelArch', 'architecture': 'DnCNN', 'in_nc': 1, 'out_nc': 1, 'nc': 8, 'nb': 4}
    net = build_network(dict(block)).eval()
    noted = {'type': 'SpandrelArch', 'checkpoint': 'gone.pth'}
    save_network_weights(tmp_path / 'net.pth', {'params': net.state_dict()}, noted)
    assert (Restorer.from_weights(tmp_path / 'net.pth', device='cpu').restore(IMAGE) == expected(net)).all()


def test_an_unknown_network_lists_the_four_ways(
    tmp_path: Path, net: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(net.state_dict(), tmp_path / 'net.safetensors')
    ways = r'Name the network by -opt .*experiments/NAME/models .*\.safetensors; or, for .*basicsr-ext\[archs\]'
    with pytest.raises(CheckpointError, match=f'none, and spandrel does not know it .*{ways}'):
        Restorer.from_weights(tmp_path / 'net.safetensors')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(CheckpointError, match=f'none, and spandrel is not installed.*{ways}'):
        Restorer.from_weights(tmp_path / 'net.safetensors')


def test_a_training_is_restored_by_its_own_option_file(
    tmp_path: Path, net: torch.nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    experiment(tmp_path, net)
    file = tmp_path / 'experiments/x/x.yml'
    assert (Restorer.from_options(file, device='cpu').restore(IMAGE) == expected(net)).all()
    start = build_network(dict(CONV)).eval()
    torch.save({'params': start.state_dict()}, tmp_path / 'start.pth')
    experiment(tmp_path, net, path={'pretrain_network_g': str(tmp_path / 'start.pth')})
    assert (Restorer.from_options(file, device='cpu').restore(IMAGE) == expected(start)).all()
    assert 'is what this training began with; its result is' in caplog.text
    os.remove(tmp_path / 'experiments/x/models/net_g_latest.pth')
    experiment(tmp_path, net, name='5')
    with pytest.raises(OptionError, match='expected a file of weights, got none'):
        Restorer.from_options(file)


def test_an_unknown_device() -> None:
    with pytest.raises(OptionError, match="device: expected a device that torch finds, got 'nowhere'"):
        Restorer.from_options('options/test/DnCNN/test_DnCNN_gray_sigma25.yml', device='nowhere')
