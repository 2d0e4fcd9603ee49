"""AdaIR: the keys of the official weights, and its blocks against their formulas."""

import numpy as np
import pytest
import torch

from basicsr_ext.archs.adair_arch import AdaIR, ChannelCrossAttention, FreModule, FreRefine, split_bands
from basicsr_ext.archs.channel_transformer import MDTA
from basicsr_ext.archs.restormer_arch import Restormer
from basicsr_ext.errors import OptionError
from basicsr_ext.networks.tiling import run_padded

TINY = {'dim': 8, 'num_blocks': (1, 1, 1, 1), 'num_refinement_blocks': 1, 'heads': (1, 2, 4, 8)}
ATTENTION = {
    'temperature': (4, 1, 1),
    'q.weight': (384, 384, 1, 1),
    'q_dwconv.weight': (384, 1, 3, 3),
    'kv.weight': (768, 384, 1, 1),
    'kv_dwconv.weight': (768, 1, 3, 3),
    'project_out.weight': (384, 384, 1, 1),
}
OFFICIAL_SHAPES = {  # of fre1, at the bottom
    'conv.weight': (384, 3, 3, 3),
    'conv1.weight': (384, 3, 3, 3),
    'score_gen.weight': (2, 2, 7, 7),
    'score_gen.bias': (2,),
    'para1': (384, 1, 1),
    'para2': (384, 1, 1),
    'frequency_refine.SpatialGate.spatial.weight': (1, 2, 7, 7),
    'frequency_refine.ChannelGate.mlp.0.weight': (24, 384, 1, 1),
    'frequency_refine.ChannelGate.mlp.2.weight': (384, 24, 1, 1),
    'frequency_refine.proj.weight': (384, 384, 1, 1),
    'frequency_refine.proj.bias': (384,),
    'rate_conv.0.weight': (48, 384, 1, 1),
    'rate_conv.2.weight': (2, 48, 1, 1),
    **{f'channel_cross_{of}.{key}': shape for of in ('l', 'h', 'agg') for key, shape in ATTENTION.items()},
}
UNTRAINED = ('conv', 'score_gen', 'rate_conv')


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_number_of_parameters() -> None:
    """The paper: 28.77 M; the official code has as many as this."""
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in AdaIR().parameters()) == 28_784_824


def test_has_the_official_keys() -> None:
    with torch.device('meta'):
        state, plain = AdaIR().state_dict(), Restormer().state_dict()
    assert all(state[key].shape == value.shape for key, value in plain.items())
    expected = {f'fre{number}.{key}' for number in (1, 2, 3) for key in OFFICIAL_SHAPES}
    assert set(state) == set(plain) | expected
    assert {key: tuple(state[f'fre1.{key}'].shape) for key in OFFICIAL_SHAPES} == OFFICIAL_SHAPES
    assert [tuple(state[f'fre{number}.rate_conv.2.weight'].shape[:2]) for number in (2, 3)] == [(2, 24), (2, 12)]
    assert [len(state[f'fre{number}.channel_cross_l.temperature']) for number in (2, 3)] == [4, 4]


def test_mixed_precision_changes_little() -> None:
    net, x = AdaIR(**TINY), torch.rand(1, 3, 16, 16)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = net(x)
    torch.testing.assert_close(mixed.float(), net(x), atol=0.05, rtol=0)
    assert net.to(torch.bfloat16)(x.bfloat16()).dtype is torch.bfloat16


def test_weights_come_back() -> None:
    net, again = AdaIR(**TINY).eval(), AdaIR(**TINY).eval()
    again.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(net(x), again(x))


@pytest.mark.parametrize('options', [{}, {'norm_type': 'BiasFree', 'bias': True, 'num_in_ch': 1, 'num_out_ch': 1}])
def test_shape_and_gradients(options: dict) -> None:
    net = AdaIR(**{**TINY, **options})
    channels = options.get('num_in_ch', 3)
    out = run_padded(net, torch.rand(2, channels, 13, 21), net.size_multiple)
    assert out.shape == (2, channels, 13, 21)
    out.square().sum().backward()
    without = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert without == {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert {name.split('.')[1] for name in without} == set(UNTRAINED)


def test_starts_as_restormer() -> None:
    """para1 = 0 and para2 = 1 let the features pass."""
    net, plain = AdaIR(**TINY).eval(), Restormer(**TINY).eval()
    plain.load_state_dict({key: value for key, value in net.state_dict().items() if not key.startswith('fre')})
    x = torch.rand(1, 3, 16, 24)
    assert torch.equal(net(x), plain(x))
    torch.nn.init.ones_(net.fre2.para1)
    assert not torch.allclose(net(x), plain(x))


@pytest.mark.parametrize(('height', 'width'), [(12, 10), (11, 9)])
def test_bands_equal_a_transform_by_numpy(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    reach = torch.tensor([[2, 1], [0, 3]])
    high, low = split_bands(x, reach)
    for image, (down, right), *found in zip(x.numpy(), reach.tolist(), high, low, strict=True):
        for channel in range(3):
            spectrum = np.fft.fftshift(np.fft.fft2(image[channel]))
            mask = np.zeros((height, width))
            y, x0 = height // 2, width // 2
            mask[y - down : y + down, x0 - right : x0 + right] = 1
            for band, kept in zip(found, (1 - mask, mask), strict=True):
                expected = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum * kept)))
                np.testing.assert_allclose(band[channel].numpy(), expected, atol=1e-12)


def test_bands_without_reach_are_the_image_and_nothing() -> None:
    x = torch.rand(1, 2, 8, 8, dtype=torch.float64)
    high, low = split_bands(x, torch.zeros(1, 2, dtype=torch.int64))
    torch.testing.assert_close(high, x)
    assert low.abs().max() == 0


def test_bands_keep_bfloat16() -> None:
    x = torch.rand(1, 2, 8, 8, dtype=torch.bfloat16)
    assert {band.dtype for band in split_bands(x, torch.ones(1, 2))} == {torch.bfloat16}


def test_reach_is_a_share_of_the_size() -> None:
    module = FreModule(16, 2, False, 3)
    for parameter in module.rate_conv.parameters():
        torch.nn.init.zeros_(parameter)  # a share of one half
    for side, reach in (((255, 256), [0, 1]), ((512, 800), [2, 3])):
        assert module.reach(torch.rand(1, 16, 1, 1).expand(1, 16, *side)).tolist() == [reach]


def test_cross_attention_of_an_image_with_itself_is_attention() -> None:
    cross, plain = ChannelCrossAttention(8, 2, bias=True), MDTA(8, 2, bias=True)
    for part in ('', '_dwconv'):
        for name in ('weight', 'bias'):
            joined = [getattr(getattr(cross, f'{kind}{part}'), name) for kind in ('q', 'kv')]
            getattr(getattr(plain, f'qkv{part}'), name).data = torch.cat(joined).detach()
    plain.project_out.load_state_dict(cross.project_out.state_dict())
    x = torch.rand(2, 8, 5, 7)
    torch.testing.assert_close(cross(x, x), plain(x))
    assert not torch.allclose(cross(x, x.flip(-1)), plain(x))


def test_each_band_is_weighted_by_the_other() -> None:
    module = FreRefine(16).double()
    low, high = torch.rand(2, 2, 16, 6, 5, dtype=torch.float64)
    weights = module.state_dict()
    squeezed = torch.stack([high.max(dim=1).values, high.mean(dim=1)], dim=1)
    pixels = torch.conv2d(squeezed, weights['SpatialGate.spatial.weight'], padding=3).sigmoid()
    first, second = (weights[f'ChannelGate.mlp.{layer}.weight'][..., 0, 0] for layer in (0, 2))
    scores = [second @ (first @ pooled).clamp(min=0) for pooled in (low.mean((2, 3)).T, low.amax((2, 3)).T)]
    channels = (scores[0] + scores[1]).sigmoid().T[..., None, None]
    torch.testing.assert_close(module(low, high), module.proj(low * pixels + high * channels))


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'num_out_ch': 1}, r'AdaIR\.num_out_ch: expected num_in_ch = 3.*got 1\. Give both the same value'),
        ({'dim': 6, 'heads': (1, 1, 1, 1)}, r'AdaIR\.dim: expected at least 8.*got 6\. Change dim or heads'),
        ({'dim': 10, 'heads': (1, 2, 8, 8)}, r'AdaIR\.dim: expected at least 8, and 8 heads of level 3.*got 10'),
    ],
)
def test_refuses(options: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        AdaIR(**{**TINY, **options})
