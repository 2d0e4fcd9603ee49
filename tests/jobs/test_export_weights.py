"""A trained network for use: what the written files restore is what the network restores."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from safetensors.torch import load_file

from basicsr_ext.errors import CheckpointError, OptionError
from basicsr_ext.inference import Restorer
from basicsr_ext.jobs.export import export_pipeline
from basicsr_ext.runtime.checkpoint import load_network_weights, network_in

SMALL: dict[str, Any] = {
    'type': 'FlexIR', 'upscale': 1, 'in_chans': 3, 'img_size': 16, 'window_size': 4, 'depths': [1, 2, 1],
    'embed_dim': 12, 'num_heads': [2, 2, 3], 'mlp_ratio': 2, 'upsampler': '',
}  # fmt: skip
CONV = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}


def trained(folder: Path, **network: Any) -> torch.nn.Module:
    """A network with weights in `net.pth` and its option file `x.yml`."""
    block = {**SMALL, **network} if 'type' not in network else network
    torch.manual_seed(0)
    net: torch.nn.Module = build_network(block)
    with torch.no_grad():
        for parameter in net.parameters():  # biases and tables too differ from what a new network has
            parameter.add_(0.02 * torch.randn_like(parameter))
    torch.save({'params': net.state_dict()}, folder / 'net.pth')
    (folder / 'x.yml').write_text(yaml.safe_dump({'name': 'x', 'network_g': block}))
    return net.eval()


def export(folder: Path, output: str, *words: str) -> Path:
    assert export_pipeline(folder, ['net.pth', '-opt', str(folder / 'x.yml'), '-o', output, *words]) == 0
    return folder / output


def restored(net: torch.nn.Module, image: torch.Tensor, pointer: int | None = None) -> torch.Tensor:
    if pointer is not None:
        net.pointer = pointer
    with torch.no_grad():
        return net(image)


# ---- weights ----


def test_training_only_parts_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = trained(tmp_path, channel_scoring=True)
    weights = torch.load(export(tmp_path, 'used.pth'), weights_only=True)['params']
    assert set(net.state_dict()) - set(weights) == {name for name in net.state_dict() if name.startswith('scoring.')}
    assert all(torch.equal(weights[name], net.state_dict()[name]) for name in weights)
    assert 'tensors for the same network_g' in capsys.readouterr().out


@pytest.mark.parametrize('share_tail', [False, True])
def test_weights_up_to_a_pointer_are_a_smaller_flexir(tmp_path: Path, share_tail: bool) -> None:
    net, image = trained(tmp_path, share_tail=share_tail), torch.rand(1, 3, 9, 14)
    path = export(tmp_path, 'used.pth', '--pointer', '2')
    cut = build_network({**SMALL, 'depths': [1, 2], 'num_heads': [2, 2], 'share_tail': share_tail}).eval()
    load_network_weights(cut, path)
    for pointer in (1, 2):
        assert torch.equal(restored(cut, image, pointer), restored(net, image, pointer))


def test_weights_of_any_network(tmp_path: Path) -> None:
    net = trained(tmp_path, **CONV)
    weights = torch.load(export(tmp_path, 'used.pth'), weights_only=True)['params']
    assert all(torch.equal(weights[name], value) for name, value in net.state_dict().items())


def test_safetensors_say_what_network_they_are_of(tmp_path: Path) -> None:
    net = trained(tmp_path, **CONV)
    path = export(tmp_path, 'used.safetensors')
    assert network_in(path) == CONV
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in load_file(path).items())
    image = np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)
    found = Restorer.from_weights(path, device='cpu').restore(image)
    with torch.no_grad():
        expected = net(torch.from_numpy(image / np.float32(255))[None, None])[0, 0].clamp(0, 1) * 255
    assert np.array_equal(found, expected.round().byte().numpy())


def test_averaged_weights_by_their_key(tmp_path: Path) -> None:
    net = trained(tmp_path, **CONV)
    averaged = {name: value + 1 for name, value in net.state_dict().items()}
    torch.save({'params': net.state_dict(), 'params_ema': averaged}, tmp_path / 'net.pth')
    for key, expected in (('params', net.state_dict()), ('params_ema', averaged)):
        weights = torch.load(export(tmp_path, f'{key}.pth', '--param_key', key), weights_only=True)['params']
        assert all(torch.equal(weights[name], value) for name, value in expected.items())
    torch.save({'params': net.state_dict()}, tmp_path / 'net.pth')
    with pytest.raises(CheckpointError, match='--param_key: expected params_ema in .*net.pth, got params alone'):
        export(tmp_path, 'other.pth', '--param_key', 'params_ema')
    assert not (tmp_path / 'other.pth').exists()


# ---- ONNX ----


def run_onnx(path: Path, image: torch.Tensor) -> torch.Tensor:
    session = pytest.importorskip('onnxruntime').InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return torch.from_numpy(session.run(None, {'image': image.numpy()})[0])


def properties(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in pytest.importorskip('onnx').load(path).metadata_props}


@pytest.mark.parametrize(
    ('network', 'pointer'),
    [
        ({'channel_scoring': True, 'depths': [1], 'num_heads': [2]}, 1),
        pytest.param({'channel_scoring': True}, 2, marks=pytest.mark.slow),
        pytest.param(
            {'upsampler': 'pixelshuffle', 'upscale': 2, 'depths': [2], 'num_heads': [2]}, None, marks=pytest.mark.slow
        ),
        pytest.param(
            {'upsampler': 'nearest+conv', 'upscale': 4, 'window_size': 2, 'depths': [2], 'num_heads': [2]},
            1,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {'in_chans': 1, 'img_size': 14, 'window_size': 7, 'depths': [2], 'num_heads': [2]},
            None,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_onnx_restores_as_torch_at_any_size(tmp_path: Path, network: dict[str, Any], pointer: int | None) -> None:
    pytest.importorskip('onnxscript')
    net = trained(tmp_path, **network)
    path = export(tmp_path, 'x.onnx', *(['--pointer', str(pointer)] if pointer else []))
    window, channels = net.window_size, net.conv_first.in_channels
    for size in ((4 * window, 3 * window), (window, window), (6 * window + 1, 17), (window // 2 + 1, 5 * window)):
        image = torch.rand(1, channels, *size)
        torch.testing.assert_close(run_onnx(path, image), restored(net, image, pointer), rtol=0, atol=1e-4)
    assert properties(path)['pointer'] == str(pointer or len(network.get('depths', SMALL['depths'])))
    assert properties(path)['input_size'] == f'any, sides of more than {window // 2}'


@pytest.mark.parametrize('network', [{'ape': True, 'depths': [1], 'num_heads': [2]}, CONV])
def test_onnx_of_one_size(tmp_path: Path, network: dict[str, Any]) -> None:
    pytest.importorskip('onnxscript')
    net = trained(tmp_path, **network)
    with pytest.raises(OptionError, match='--input_size: expected height and width for '):
        export(tmp_path, 'x.onnx')
    path = export(tmp_path, 'x.onnx', '--input_size', '16', '16')
    image = torch.rand(1, 1 if network is CONV else 3, 16, 16)
    torch.testing.assert_close(run_onnx(path, image), restored(net, image), rtol=0, atol=1e-4)
    assert properties(path)['input_size'] == '16 x 16'


def test_a_model_that_restores_something_else_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = pytest.importorskip('onnxruntime')
    trained(tmp_path, **CONV)
    (tmp_path / 'x.onnx').write_text('before')
    run = runtime.InferenceSession.run
    monkeypatch.setattr(runtime.InferenceSession, 'run', lambda *args: [run(*args)[0] + np.float32(2e-4)])
    with pytest.raises(CheckpointError, match=r'expected the image of torch within 0\.0001 .*got a difference of'):
        export(tmp_path, 'x.onnx', '--input_size', '8', '8')
    assert (tmp_path / 'x.onnx').read_text() == 'before'
    assert not list(tmp_path.glob('.*'))


@pytest.mark.parametrize('name', ['onnx', 'onnxruntime', 'onnxscript'])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    trained(tmp_path)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OptionError, match=r'pip install "basicsr-ext\[onnx\]"'):
        export(tmp_path, 'x.onnx')


# ---- mistakes ----


@pytest.mark.parametrize(
    ('network', 'output', 'words', 'message'),
    [
        ({}, 'x.onnx', '--pointer 4', r'FlexIR\.pointer: expected 1 to 3'),
        ({}, 'x.pt', '', r'-o x\.pt: expected a name in \.pth, \.safetensors or \.onnx'),
        ({}, 'x.pth', '--input_size 8 8', r'--input_size: expected an output in \.onnx'),
        ({}, 'x.onnx', '--input_size 0 8', r'--input_size: expected sides of at least 1'),
        ({'ape': True}, 'x.onnx', '--input_size 8 8', r'--input_size: expected input that FlexIR takes'),
        ({}, 'x.pth', '--subset top', r'--subset: expected options of a network'),
        (CONV, 'x.pth', '--pointer 1', r'--pointer: expected none for IRCNN'),
    ],
)
def test_mistakes_are_named(tmp_path: Path, network: dict[str, Any], output: str, words: str, message: str) -> None:
    trained(tmp_path, **network)
    with pytest.raises(OptionError, match=message):
        export(tmp_path, output, *words.split())
    assert not (tmp_path / output).exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    trained(tmp_path)
    torch.save({'params': {'conv.weight': torch.zeros(1)}}, tmp_path / 'net.pth')
    with pytest.raises(CheckpointError, match='expected the .* names of FlexIR'):
        export(tmp_path, 'x.pth')


def test_options_of_a_network_need_its_option_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='--pointer: expected them with -opt'):
        export_pipeline(tmp_path, ['ranking.parquet', '-o', 'x.csv', '--pointer', '1'])
