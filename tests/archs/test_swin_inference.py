"""Swin blocks on a CPU without gradients: packed layers and attention head by head, against the path with gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from basicsr_ext.archs import packed_linear
from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.archs.packed_linear import PackedLinear, pack_linear

WIDE: dict[str, Any] = {
    'upscale': 1, 'in_chans': 3, 'window_size': 8, 'img_range': 1.0, 'depths': [2], 'embed_dim': 180,
    'num_heads': [6], 'mlp_ratio': 2, 'upsampler': '',
}  # fmt: skip


def layer(inputs: int, outputs: int, bias: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor | None]:
    torch.manual_seed(0)
    rows = torch.randn(70, inputs, dtype=dtype)
    return rows, torch.randn(outputs, inputs, dtype=dtype) / 8, torch.randn(outputs, dtype=dtype) if bias else None


def wide(noise: float = 0.1) -> FlexIR:
    torch.manual_seed(0)
    net = FlexIR(**WIDE).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(noise * torch.randn_like(parameter) / max(1, parameter[0].numel()) ** 0.5)
    return net


@torch.no_grad()
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('activated', [True, False])
@pytest.mark.parametrize(
    ('dtype', 'tolerance'),
    [(torch.float32, 1e-5), (torch.float64, 0.0), (torch.float16, 0.0), (torch.bfloat16, 0.02)],
)
def test_a_packed_layer_is_the_layer(dtype: torch.dtype, tolerance: float, activated: bool, bias: bool) -> None:
    rows, weight, offset = layer(20, 24, bias, dtype)
    expected = functional.linear(rows, weight, offset)
    if activated:
        expected = functional.gelu(expected)
    found = pack_linear(weight, offset, activated)(rows)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
@pytest.mark.parametrize('size', [(32, 40), (16, 8), (8, 8)])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_inference_is_the_path_with_gradients(size: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    """With several images and every kind of window."""
    net = wide().to(dtype)
    x = torch.rand(2, 3, *size, dtype=dtype)
    with torch.enable_grad():
        expected = net(x).detach()
    torch.testing.assert_close(net(x), expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_inference_where_torch_cannot_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(1, 3, 24, 16)
    expected = wide()(x)
    monkeypatch.setattr(packed_linear, '_packs', lambda weight: False)
    torch.testing.assert_close(wide()(x), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_bfloat16_is_as_near_as_that_of_the_path_with_gradients() -> None:
    net, x = wide(), torch.rand(1, 3, 24, 32)
    exact = net(x)
    net.bfloat16()
    with torch.enable_grad():
        other = (net(x.bfloat16()).float() - exact).abs().mean()
    assert (net(x.bfloat16()).float() - exact).abs().mean() < 1.2 * other


@torch.no_grad()
def test_autocast_rules_over_packed_layers() -> None:
    rows, weight, bias = layer(16, 16, True, torch.float32)
    packed = pack_linear(weight, bias)
    with torch.autocast('cpu', torch.bfloat16):
        assert packed(rows).dtype == torch.bfloat16
        net, x = wide(), torch.rand(1, 3, 16, 16)
        with torch.enable_grad():
            expected = net(x).detach()
        found = net(x)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02)
    assert packed(rows).dtype == torch.float32


@torch.no_grad()
def test_the_input_and_the_features_before_stay_as_they_are() -> None:
    net, x = wide(), torch.rand(1, 3, 16, 16)
    state = net.begin(x)
    kept = state.features.clone()
    net.step(state)
    assert torch.equal(state.features, kept)


def test_a_layer_that_is_not_packed_keeps_its_weight() -> None:
    weight = nn.Parameter(torch.ones(2, 3, dtype=torch.float64))
    assert pack_linear(weight, None) == PackedLinear(weight, None, False, None)
