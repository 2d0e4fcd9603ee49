"""Weights of networks on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from basicsr_ext.errors import CheckpointError
from basicsr_ext.runtime.checkpoint import (
    load_network_weights,
    network_in,
    read_checkpoint,
    save_network_weights,
    save_safetensors,
)


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


def weights() -> dict[str, torch.Tensor]:
    return {'weight': torch.rand(3, 2), 'bias': torch.rand(3)}


def quantised() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'content, said',
    [
        (lambda: nn.Linear(2, 3), 'an object of class torch.nn.modules.linear.Linear'),
        (lambda: {'params': {**weights(), 'bias': torch.rand(3).to_sparse()}}, 'bias, which is sparse'),
        (lambda: {**weights(), 'weight': torch.rand(3, 2).to_sparse_csr()}, 'weight, which is sparse'),
        (lambda: {**weights(), 'bias': torch.rand(3).to('meta')}, 'bias, which is without values'),
        (lambda: {**weights(), 'bias': quantised()}, 'bias, which is quantised'),
        (lambda: {'a._packed_params': 1}, 'those of a quantised network'),
        (lambda: {**weights(), 'bias': torch.rand(3, dtype=torch.complex64)}, 'expected real weights'),
        (None, 'got a TorchScript archive'),
    ],
)
def test_what_is_no_dense_weights_is_said_in_one_line(
    tmp_path: Path, content: Callable[[], Any] | None, said: str
) -> None:
    path = str(tmp_path / 'net.pth')
    if content is None:
        torch.jit.script(nn.Linear(2, 3)).save(path)
    else:
        torch.save(content(), path)
    with pytest.raises(CheckpointError) as error:
        load_network_weights(nn.Linear(2, 3), path)
    assert said in str(error.value) and '\n' not in str(error.value) and '\x1b' not in str(error.value)


@pytest.mark.parametrize('name', ['net.safetensors', 'net.pth'])
def test_safetensors(tmp_path: Path, name: str) -> None:
    net, found = nn.Linear(2, 3), weights()
    save_file(found, tmp_path / name)
    assert load_network_weights(net, tmp_path / name) == 'plain'
    assert torch.equal(net.weight, found['weight']) and torch.equal(net.bias, found['bias'])
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    with pytest.raises(CheckpointError, match='expected a file of safetensors'):
        load_network_weights(net, tmp_path / name)


def test_a_file_of_safetensors_says_what_network_it_is_of(tmp_path: Path) -> None:
    net, path = nn.Linear(2, 3), tmp_path / 'models/net.safetensors'
    tied = {**net.state_dict(), 'again': net.weight}
    save_safetensors(path, tied, {'type': 'Own', 'width': [1, 2]})
    assert network_in(path) == {'type': 'Own', 'width': [1, 2]}
    assert all(torch.equal(value, tied[name]) for name, value in load_file(path).items())
    save_file(net.state_dict(), tmp_path / 'plain.safetensors')
    assert network_in(tmp_path / 'plain.safetensors') is None
    save_file(net.state_dict(), tmp_path / 'wrong.safetensors', {'network': '{"width": 1}'})
    with pytest.raises(CheckpointError, match='expected a block with a type under network, got'):
        network_in(tmp_path / 'wrong.safetensors')
    save_file(net.state_dict(), tmp_path / 'cut.safetensors', {'network': '{"width'})
    with pytest.raises(CheckpointError, match='expected a block in JSON under network, got'):
        network_in(tmp_path / 'cut.safetensors')
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    with pytest.raises(CheckpointError, match='expected to write it'):
        save_safetensors(tmp_path / 'net.pth/net.safetensors', net.state_dict(), {})


def test_a_checkpoint_of_torch_says_what_network_it_is_of_and_basicsr_still_reads_it(tmp_path: Path) -> None:
    net, other, path = nn.Linear(2, 3), nn.Linear(2, 3), tmp_path / 'net.pth'
    save_network_weights(path, {'params': net.state_dict()}, {'type': 'Own', 'width': [1, 2]})
    assert network_in(path) == {'type': 'Own', 'width': [1, 2]}
    assert load_network_weights(other, path) == 'params' and torch.equal(other.weight, net.weight)
    # The lines of basicsr/models/base_model.py, load_network, as they stand in BasicSR 1.4.2.
    load_net = torch.load(path, map_location=lambda storage, loc: storage)
    assert 'params' in load_net
    assert load_net['params'].keys() == net.state_dict().keys()
    save_network_weights(path, {'params': net.state_dict()})
    assert network_in(path) is None and torch.load(path).keys() == {'params'}
    torch.save({'network': net.state_dict(), 'params': net.state_dict()}, path)  # something else of that name
    assert network_in(path) is None


def test_weights_of_wrapped_and_compiled_networks(tmp_path: Path) -> None:
    net, found = nn.Linear(2, 3), weights()
    torch.save({f'module._orig_mod.{name}': value for name, value in found.items()}, tmp_path / 'net.pth')
    load_network_weights(net, tmp_path / 'net.pth')
    assert torch.equal(net.weight, found['weight'])


@pytest.mark.parametrize(
    'parts', [('net_g',), ('loss', 'generator'), ('net_g_ema', 'net_g', 'net_d'), ('one', 'other')]
)
def test_weights_of_a_part_of_a_larger_module(tmp_path: Path, parts: tuple[str, ...]) -> None:
    net = nn.Linear(2, 3)
    kept = {part: {'window': torch.ones(1)} if part == 'loss' else weights() for part in parts}
    state = {f'{part}.{name}': value for part, own in kept.items() for name, value in own.items()}
    torch.save({'epoch': 3, 'state_dict': state}, tmp_path / 'last.ckpt')
    if parts == ('one', 'other'):
        with pytest.raises(CheckpointError, match='2 missing .* 4 unexpected'):
            load_network_weights(net, tmp_path / 'last.ckpt')
        return
    assert load_network_weights(net, tmp_path / 'last.ckpt') == 'state_dict'
    own = kept['net_g' if 'net_g' in parts else 'generator']
    assert torch.equal(net.weight, own['weight']) and torch.equal(net.bias, own['bias'])


@pytest.mark.filterwarnings('ignore')
def test_a_file_cut_anywhere_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / 'net.pth'
    for old_format in (False, True):
        torch.save(weights(), path, _use_new_zipfile_serialization=not old_format)
        whole = path.read_bytes()
        for end in [*range(0, 60, 3), *range(60, len(whole) - 1, 97)]:
            path.write_bytes(whole[:end])
            with pytest.raises(CheckpointError):
                read_checkpoint(path)
