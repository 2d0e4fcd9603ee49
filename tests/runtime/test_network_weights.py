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


def test_a_file_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(CheckpointError, match='expected to write it'):
        save_network_weights(tmp_path / 'file' / 'net.pth', {'params': nn.Linear(1, 1).state_dict()})
