import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.archs.channel_transformer import GDFN, MDTA, ChannelNorm
from basicsr_ext.archs.dncnn_arch import DnCNN
from basicsr_ext.archs.ircnn_arch import IRCNN
from basicsr_ext.archs.restormer_arch import Restormer

SHARED = Path(__file__).parents[2] / os.environ.get('BASICSR_EXT_SHARED', '../shared')
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f'the weights and images of {SHARED} are not here')

TINY = {'dim': 8, 'num_blocks': (1, 1, 1, 1), 'num_refinement_blocks': 1, 'heads': (1, 2, 4, 8)}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def load(name: str) -> dict[str, Tensor]:
    return torch.load(SHARED / 'weights' / name, weights_only=True)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def plain_chain(state: dict[str, Tensor], x: Tensor, dilations: list[int]) -> Tensor:
    """x minus a chain of convolutions with ReLU between, from the state dict alone."""
    out = x
    for layer, dilation in enumerate(dilations):
        weight, bias = state[f'model.{2 * layer}.weight'], state[f'model.{2 * layer}.bias']
        out = F.conv2d(out if layer == 0 else out.clamp(min=0), weight, bias, padding=dilation, dilation=dilation)
    return x - out


@pytest.mark.parametrize('name', ['DnCNN', 'IRCNN', 'Restormer'])
def test_registered(name: str) -> None:
    assert ARCH_REGISTRY.get(name).__name__ == name


@pytest.mark.parametrize('name', ['DnCNN', 'IRCNN'])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('size', [(1, 1), (17, 30)])
def test_plain_networks_keep_any_shape(name: str, channels: int, size: tuple[int, int]) -> None:
    net = build_network({'type': name, 'num_in_ch': channels, 'num_out_ch': channels, 'num_feat': 8})
    assert net(torch.rand(2, channels, *size)).shape == (2, channels, *size)
    assert not hasattr(net, 'size_multiple')


@pytest.mark.parametrize('name', ['DnCNN', 'IRCNN', 'Restormer'])
def test_residual_needs_equal_channels(name: str) -> None:
    with pytest.raises(ValueError, match=rf'{name}\.num_out_ch: expected num_in_ch = 3.*got 1\. Give both the same'):
        ARCH_REGISTRY.get(name)(num_in_ch=3, num_out_ch=1)


@pytest.mark.parametrize('num_layers', [1, 0])
def test_dncnn_needs_two_layers(num_layers: int) -> None:
    with pytest.raises(ValueError, match=rf'DnCNN\.num_layers: expected at least 2, got {num_layers}\.'):
        DnCNN(1, 1, num_layers=num_layers)


# 9 * (in * feat) + feat, (layers - 2) * (9 * feat^2 + feat), 9 * (feat * out) + out
@pytest.mark.parametrize('channels, num_layers, count', [(1, 17, 555_137), (3, 17, 557_443), (1, 20, 665_921)])
def test_dncnn_parameters(channels: int, num_layers: int, count: int) -> None:
    assert parameters(DnCNN(channels, channels, num_layers=num_layers)) == count


def test_ircnn_parameters() -> None:
    assert parameters(IRCNN(1, 1)) == 185_857


@pytest.mark.parametrize('num_layers', [2, 5])
def test_dncnn_equals_plain_convolutions(num_layers: int) -> None:
    net, x = DnCNN(3, 3, num_feat=8, num_layers=num_layers).double(), torch.rand(2, 3, 11, 13, dtype=torch.float64)
    torch.testing.assert_close(net(x), plain_chain(net.state_dict(), x, [1] * num_layers))


def test_ircnn_equals_plain_convolutions() -> None:
    net, x = IRCNN(1, 1, num_feat=8).double(), torch.rand(2, 1, 11, 13, dtype=torch.float64)
    torch.testing.assert_close(net(x), plain_chain(net.state_dict(), x, [1, 2, 3, 4, 3, 2, 1]))


@pytest.mark.parametrize('kind, reach', [(DnCNN, 17), (IRCNN, 16)])
def test_receptive_field(kind: type[nn.Module], reach: int) -> None:
    net = kind(1, 1, num_feat=4).double()
    for p in net.parameters():  # no ReLU may cut a path
        p.data.abs_()
    x = torch.rand(1, 1, 51, 51, dtype=torch.float64, requires_grad=True)
    net(x)[0, 0, 25, 25].backward()
    rows = x.grad[0, 0].abs().sum(dim=1).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (25 - reach, 25 + reach)


def test_dncnn_batch_norm_keys_and_order() -> None:
    net = DnCNN(1, 1, num_feat=8, num_layers=4, with_bn=True)
    kinds = [type(layer).__name__ for layer in net.model]
    assert kinds == ['Conv2d', 'ReLU', *['Conv2d', 'BatchNorm2d', 'ReLU'] * 2, 'Conv2d']
    keys = set(net.state_dict())
    assert {'model.2.bias', 'model.3.running_mean', 'model.3.weight', 'model.5.weight', 'model.8.bias'} <= keys
    assert net.model[3].eps == 1e-4


def test_dncnn_batch_norm_merges_into_the_layout_without() -> None:
    with_bn = DnCNN(1, 1, num_feat=8, num_layers=3, with_bn=True)
    for _ in range(3):
        with_bn(torch.rand(2, 1, 16, 16))
    with_bn.eval()
    conv, norm, last = with_bn.model[2], with_bn.model[3], with_bn.model[5]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    merged = DnCNN(1, 1, num_feat=8, num_layers=3)
    merged.load_state_dict(
        {
            'model.0.weight': with_bn.model[0].weight,
            'model.0.bias': with_bn.model[0].bias,
            'model.2.weight': conv.weight * scale[:, None, None, None],
            'model.2.bias': (conv.bias - norm.running_mean) * scale + norm.bias,
            'model.4.weight': last.weight,
            'model.4.bias': last.bias,
        }
    )
    x = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(with_bn(x), merged(x))


@needs_shared
@pytest.mark.parametrize(
    'weights, num_layers', [('dncnn_15.pth', 17), ('dncnn_25.pth', 17), ('dncnn_50.pth', 17), ('dncnn3.pth', 20)]
)
def test_dncnn_loads_official_weights(weights: str, num_layers: int) -> None:
    net, state = DnCNN(1, 1, num_layers=num_layers), load(weights)
    net.load_state_dict(state, strict=True)
    x = torch.rand(1, 1, 24, 24)
    torch.testing.assert_close(net(x), plain_chain(state, x, [1] * num_layers))


@needs_shared
@pytest.mark.parametrize('kind, weights', [(DnCNN, 'dncnn_25.pth'), (IRCNN, 'ircnn_proxy_25.pth')])
def test_loaded_weights_denoise(kind: type[nn.Module], weights: str) -> None:
    net = kind(1, 1)
    net.load_state_dict(load(weights), strict=True)
    path = min((SHARED / 'data/test/Set12').iterdir())
    clean = torch.from_numpy(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[64:192, 64:192].astype(np.float32))[None, None]
    noisy = clean + 25 * torch.randn(clean.shape)
    with torch.no_grad():
        error = F.mse_loss(255 * net(noisy / 255), clean)
    assert error < 0.2 * F.mse_loss(noisy, clean)


@pytest.mark.parametrize('options', [{}, {'norm_type': 'BiasFree'}, {'bias': True}])
def test_restormer_shape_and_gradients(options: dict) -> None:
    net = Restormer(**TINY, **options)
    out = net(torch.rand(2, 3, 16, 24))
    assert out.shape == (2, 3, 16, 24)
    out.square().sum().backward()
    # a parameter without a gradient would stop distributed training
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_restormer_dual_pixel() -> None:
    net = Restormer(num_in_ch=6, num_out_ch=3, dual_pixel_task=True, **TINY)
    x = torch.rand(1, 6, 16, 16)
    assert net(x).shape == (1, 3, 16, 16)
    assert net.skip_conv.weight.shape == (16, 8, 1, 1)
    torch.nn.init.zeros_(net.output.weight)
    assert net(x).abs().max() == 0


@pytest.mark.parametrize('dual', [False, True])
def test_restormer_wiring(dual: bool) -> None:
    net = Restormer(num_in_ch=6 if dual else 3, dual_pixel_task=dual, **TINY)
    taken, given = {}, {}

    def record(name: str, value: Tensor, out: Tensor) -> None:
        taken[name], given[name] = value, out

    for name, child in net.named_children():
        child.register_forward_hook(lambda _, args, out, name=name: record(name, args[0], out))
    x = torch.rand(1, 6 if dual else 3, 16, 16)
    result = net(x)
    expected = {
        'encoder_level1': given['patch_embed'],
        'down1_2': given['encoder_level1'],
        'down2_3': given['encoder_level2'],
        'down3_4': given['encoder_level3'],
        'latent': given['down3_4'],
        'reduce_chan_level3': torch.cat([given['up4_3'], given['encoder_level3']], dim=1),
        'reduce_chan_level2': torch.cat([given['up3_2'], given['encoder_level2']], dim=1),
        'decoder_level1': torch.cat([given['up2_1'], given['encoder_level1']], dim=1),
        'refinement': given['decoder_level1'],
        'output': given['refinement'] + (given['skip_conv'] if dual else 0),
    }
    for name, value in expected.items():
        assert torch.equal(taken[name], value), name
    if dual:
        assert torch.equal(taken['skip_conv'], given['patch_embed'])
    assert torch.equal(result, given['output'] if dual else given['output'] + x)


@pytest.mark.parametrize(
    'options, count',
    [
        ({'norm_type': 'BiasFree'}, 26_111_668),
        ({'norm_type': 'BiasFree', 'num_in_ch': 1, 'num_out_ch': 1}, 26_109_076),
        ({}, 26_126_644),
    ],
)
def test_restormer_parameters(options: dict, count: int) -> None:
    with torch.device('meta'):
        net = Restormer(**options)
    assert parameters(net) == count


OFFICIAL_SHAPES = {
    'patch_embed.proj.weight': (48, 3, 3, 3),
    'encoder_level1.0.norm1.body.weight': (48,),
    'encoder_level1.0.norm1.body.bias': (48,),
    'encoder_level1.0.attn.temperature': (1, 1, 1),
    'encoder_level1.0.attn.qkv.weight': (144, 48, 1, 1),
    'encoder_level1.0.attn.qkv_dwconv.weight': (144, 1, 3, 3),
    'encoder_level1.0.attn.project_out.weight': (48, 48, 1, 1),
    'encoder_level1.3.norm2.body.weight': (48,),
    'encoder_level1.3.ffn.project_in.weight': (254, 48, 1, 1),
    'encoder_level1.3.ffn.dwconv.weight': (254, 1, 3, 3),
    'encoder_level1.3.ffn.project_out.weight': (48, 127, 1, 1),
    'down1_2.body.0.weight': (24, 48, 3, 3),
    'encoder_level2.5.attn.temperature': (2, 1, 1),
    'down2_3.body.0.weight': (48, 96, 3, 3),
    'encoder_level3.5.attn.temperature': (4, 1, 1),
    'down3_4.body.0.weight': (96, 192, 3, 3),
    'latent.7.attn.temperature': (8, 1, 1),
    'up4_3.body.0.weight': (768, 384, 3, 3),
    'reduce_chan_level3.weight': (192, 384, 1, 1),
    'decoder_level3.5.attn.temperature': (4, 1, 1),
    'up3_2.body.0.weight': (384, 192, 3, 3),
    'reduce_chan_level2.weight': (96, 192, 1, 1),
    'decoder_level2.5.attn.temperature': (2, 1, 1),
    'up2_1.body.0.weight': (192, 96, 3, 3),
    'decoder_level1.3.attn.qkv.weight': (288, 96, 1, 1),
    'refinement.3.ffn.project_in.weight': (510, 96, 1, 1),
    'output.weight': (3, 96, 3, 3),
}


def test_restormer_has_the_official_keys() -> None:
    with torch.device('meta'):
        state = Restormer().state_dict()
    assert {key: tuple(state[key].shape) for key in OFFICIAL_SHAPES} == OFFICIAL_SHAPES
    kinds = {'norm1.body.weight', 'norm1.body.bias', 'norm2.body.weight', 'norm2.body.bias', 'attn.temperature'}
    kinds |= {f'attn.{name}.weight' for name in ('qkv', 'qkv_dwconv', 'project_out')}
    kinds |= {f'ffn.{name}.weight' for name in ('project_in', 'dwconv', 'project_out')}
    assert {key.split('.', 2)[2] for key in state if key.startswith('latent.')} == kinds
    rest = {key for key in state if key.split('.', 2)[-1] not in kinds}
    assert rest == {key for key in OFFICIAL_SHAPES if key.split('.', 2)[-1] not in kinds}


@pytest.mark.parametrize('num_heads', [1, 4])
def test_mdta_equals_a_loop_over_heads(num_heads: int) -> None:
    layer = MDTA(8, num_heads, bias=True).double()
    layer.temperature.data.uniform_(0.5, 2)
    x = torch.rand(2, 8, 5, 7, dtype=torch.float64)
    width = 8 // num_heads
    expected = []
    for image in layer.qkv_dwconv(layer.qkv(x)):
        heads = []
        for head in range(num_heads):
            q, k, v = (image[part * 8 + head * width :][:width].reshape(width, 35) for part in range(3))
            weights = torch.empty(width, width, dtype=torch.float64)
            for i in range(width):
                for j in range(width):
                    weights[i, j] = layer.temperature[head] * (q[i] @ k[j]) / (q[i].norm() * k[j].norm())
            heads.append((weights.exp() / weights.exp().sum(dim=1, keepdim=True) @ v).reshape(width, 5, 7))
        expected.append(torch.cat(heads))
    torch.testing.assert_close(layer(x), layer.project_out(torch.stack(expected)))


def test_gdfn_equals_its_formula() -> None:
    layer, x = GDFN(6, 2.66, bias=False).double(), torch.rand(2, 6, 5, 7, dtype=torch.float64)
    weights = layer.state_dict()
    hidden = F.conv2d(x, weights['project_in.weight'])
    assert hidden.shape[1] == 2 * 15
    hidden = torch.stack(
        [F.conv2d(hidden[:, [c]], weights['dwconv.weight'][[c]], padding=1)[:, 0] for c in range(30)],
        dim=1,
    )
    gate = hidden[:, :15] * (1 + torch.erf(hidden[:, :15] / 2**0.5)) / 2
    torch.testing.assert_close(layer(x), F.conv2d(gate * hidden[:, 15:], weights['project_out.weight']))


def test_channel_norm_with_bias_is_layer_norm() -> None:
    layer, x = ChannelNorm(6, 'WithBias').double(), torch.rand(2, 6, 5, 7, dtype=torch.float64)
    layer.weight.data.uniform_()
    layer.bias.data.uniform_()
    expected = F.layer_norm(x.movedim(1, -1), (6,), layer.weight, layer.bias).movedim(-1, 1)
    torch.testing.assert_close(layer(x), expected)


def test_channel_norm_bias_free_keeps_the_mean_and_ignores_the_scale() -> None:
    layer, x = ChannelNorm(6, 'BiasFree').double(), torch.rand(2, 6, 5, 7, dtype=torch.float64) + 1
    assert list(layer.state_dict()) == ['weight']
    torch.testing.assert_close(layer(x), x / (x.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(layer(1e3 * x), layer(1e6 * x))


def test_restormer_states_the_size_it_needs() -> None:
    assert Restormer.size_multiple == 8
    with pytest.raises(ValueError, match=r'divisible by 8, got \(16, 20\)\. Pad the images'):
        Restormer(**TINY)(torch.rand(1, 3, 16, 20))


@pytest.mark.parametrize(
    'options, text',
    [
        ({'num_blocks': (1, 2)}, r'Restormer\.num_blocks: expected 4 values, one per level, got \[1, 2\]'),
        ({'heads': (1, 2, 4)}, r'Restormer\.heads: expected 4 values, one per level, got \[1, 2, 4\]'),
        ({'heads': (1, 2, 4, 7)}, r'Restormer\.dim: .*64 channels of level 4 divisible by its 7 heads, got 8'),
        ({'dim': 7}, r'Restormer\.dim: expected an even number.*got 7'),
        ({'norm_type': 'Biasfree'}, r"Restormer\.norm_type: expected WithBias or BiasFree, got 'Biasfree'"),
    ],
)
def test_restormer_refuses(options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Restormer(**{**TINY, **options})
