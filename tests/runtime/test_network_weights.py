"""Weights of networks on disk."""

from pathlib import Path

import pytest
import torch
from torch import nn

from basicsr_ext.errors import CheckpointError
from basicsr_ext.runtime.checkpoint import load_network_weights, read_checkpoint, save_network_weights


def test_what_is_written_is_read_under_its_key(tmp_path: Path) -> None:
    first, second, read = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(2, 3)
    path = tmp_path / 'models' / 'net_g_1.pth'
    save_network_weights(path, {'params': first.state_dict(), 'params_ema': second.state_dict()})
    assert list(read_checkpoint(path)) == ['params', 'params_ema']
    for key, net in (('params', first), ('params_ema', second)):
        assert load_network_weights(read, path, param_key=key) == key
        assert torch.equal(read.weight, net.weight) and torch.equal(read.bias, net.bias)


def test_what_is_not_loaded_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 1))
    weights = net.state_dict()
    part = {'0.weight': weights['0.weight'], '1.bias': torch.zeros(9), 'head': torch.zeros(1)}
    torch.save(part, tmp_path / 'net.pth')
    load_network_weights(net, tmp_path / 'net.pth', strict=False)
    assert '5 of 6 tensors of Sequential were not loaded' in caplog.text
    assert '[0.bias, 1.weight, 1.bias, 2.weight, 2.bias]' in caplog.text
    assert '[head]' in caplog.text and '[1.bias (9,) instead of (4,)]' in caplog.text
    caplog.clear()
    torch.save(weights, tmp_path / 'net.pth')
    load_network_weights(net, tmp_path / 'net.pth', strict=False)
    assert not caplog.text


def test_a_file_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(CheckpointError, match='expected to write it'):
        save_network_weights(tmp_path / 'file' / 'net.pth', {'params': nn.Linear(1, 1).state_dict()})
