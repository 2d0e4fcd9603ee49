"""UHDformer: the keys of the official weights, and its blocks against their formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ext.archs.correlation_matching import CMTBlock, CMTGroup, DualCMT, nearest_channels
from basicsr_ext.archs.uhdformer_arch import AdaptiveChannelModulator, ConvNeXtBlock, UHDformer
from basicsr_ext.errors import OptionError
from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.tiling import run_padded

TINY = {'dim': 8, 'num_groups': 1, 'num_blocks': 2, 'num_heads': 2, 'ffn_expansion_factor': 2, 'scale_factor': 4}
MATCHING = {
    'perception.weight': (16, 48, 1, 1),
    'perception.bias': (16,),
    'dwconv.0.weight': (64, 8, 1, 1),
    'dwconv.0.bias': (64,),
    'dwconv.1.weight': (64, 1, 3, 3),
    'dwconv.1.bias': (64,),
    'dwconv.3.weight': (8, 64, 1, 1),
    'dwconv.3.bias': (8,),
    'conv12.weight': (16, 8, 1, 1),
    'conv12.bias': (16,),
}
BLOCK = {
    'norm1.body.weight': (16,),
    'norm1.body.bias': (16,),
    'attn.temperature': (8, 1, 1),
    'attn.qkv.weight': (48, 16, 1, 1),
    'attn.qkv.bias': (48,),
    'attn.qkv_dwconv.weight': (48, 1, 3, 3),
    'attn.qkv_dwconv.bias': (48,),
    'attn.project_out.weight': (16, 16, 1, 1),
    'attn.project_out.bias': (16,),
    **{f'attn.matching_transformation.{key}': shape for key, shape in MATCHING.items()},
    'norm2.body.weight': (16,),
    'norm2.body.bias': (16,),
    'ffn.project_in.0.weight': (64, 16, 1, 1),
    'ffn.project_in.0.bias': (64,),
    'ffn.project_in.1.weight': (16, 4, 3, 3),
    'ffn.project_in.1.bias': (16,),
    **{f'ffn.matching_transformation.{key}': shape for key, shape in MATCHING.items()},
    'ffn.project_out.0.weight': (64, 1, 3, 3),
    'ffn.project_out.0.bias': (64,),
    'ffn.project_out.1.weight': (16, 64, 1, 1),
    'ffn.project_out.1.bias': (16,),
    'LayerNorm.body.weight': (48,),
    'LayerNorm.body.bias': (48,),
}
CONVNEXT = {
    'gamma': (16,),
    'dwconv.weight': (16, 16, 3, 3),
    'dwconv.bias': (16,),
    'pwconv1.weight': (16, 16),
    'pwconv1.bias': (16,),
    'pwconv2.weight': (16, 16),
    'pwconv2.bias': (16,),
}
OFFICIAL_SHAPES = {
    'enter.0.weight': (16, 3, 3, 3),
    'enter.0.bias': (16,),
    'perception_fusion.conv11.weight': (48, 48, 1, 1),
    'perception_fusion.conv11.bias': (48,),
    'perception_fusion.dwconv.weight': (96, 1, 3, 3),
    'perception_fusion.dwconv.bias': (96,),
    'downsample.body.0.weight': (16, 16, 8, 8),
    'upsample.body.0.weight': (1024, 16, 3, 3),
    'fusion.weight': (16, 32, 1, 1),
    'fusion.bias': (16,),
    'out.2.weight': (3, 16, 3, 3),
    'out.2.bias': (3,),
    **{f'{at}.{key}': s for at in ('shallow', 'middle', 'deep', 'out.0', 'out.1') for key, s in CONVNEXT.items()},
    **{f'block.{i}.TransformerBlock.{j}.{key}': s for i in range(5) for j in range(3) for key, s in BLOCK.items()},
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_number_of_parameters() -> None:
    """The paper: 0.3393 M."""
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in UHDformer().parameters()) == 339_323


def test_has_the_official_keys() -> None:
    with torch.device('meta'):
        state = UHDformer().state_dict()
    expected = {f'restoration_network.{key}': shape for key, shape in OFFICIAL_SHAPES.items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


def test_mixed_precision_changes_little() -> None:
    net, x = UHDformer(**TINY), torch.rand(1, 3, 16, 16)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = net(x)
    torch.testing.assert_close(mixed.float(), net(x), atol=0.05, rtol=0)
    assert net.to(torch.bfloat16)(x.bfloat16()).dtype is torch.bfloat16


def test_weights_come_back() -> None:
    net, again = UHDformer(**TINY).eval(), UHDformer(**TINY).eval()
    again.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(net(x), again(x))


@pytest.mark.parametrize('channels', [1, 3])
def test_shape_and_gradients(channels: int) -> None:
    net = UHDformer(channels, channels, **TINY)
    out = run_padded(net, torch.rand(2, channels, 13, 21), input_sides(net))
    assert out.shape == (2, channels, 13, 21)
    out.square().sum().backward()
    without = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert without == {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert {name.split('TransformerBlock.')[1].split('.', 1)[1].rsplit('.', 1)[0] for name in without} == {
        'norm2.body',
        'ffn.project_in.0',
        'ffn.project_in.1',
    }


def test_matching_equals_a_loop_over_channels() -> None:
    x, candidates = torch.rand(3, 6, 4, 5), torch.rand(3, 9, 4, 5)
    found = nearest_channels(x, candidates, 3)
    assert found.shape == (3, 3, 4, 5)
    for image, choices, kept in zip(x, candidates, found, strict=True):
        distances = torch.tensor([[float((own - other).norm()) for other in choices] for own in image])
        best = [min((float(row[j]), j) for j in range(9)) for row in distances]
        least = sorted(range(6), key=lambda channel: best[channel][0])[:3]
        expected = torch.stack([choices[best[channel][1]] for channel in sorted(least)])
        assert torch.equal(kept, expected)


def test_matching_gives_channels_that_are_there_back() -> None:
    candidates = torch.rand(1, 5, 4, 4)
    assert torch.equal(nearest_channels(candidates[:, [4, 1]], candidates, 2), candidates[:, [4, 1]])


def test_gradients_of_a_matching_go_to_the_chosen_candidates_alone() -> None:
    x, candidates = torch.rand(1, 3, 2, 2, requires_grad=True), torch.rand(1, 4, 2, 2, requires_grad=True)
    x.data = candidates[:, [2, 2, 0]].detach().clone()
    nearest_channels(x, candidates, 3).sum().backward()
    assert x.grad is None
    assert candidates.grad[0, :, 0, 0].tolist() == [1, 0, 2, 0]


def test_both_poolings_are_matched_and_gated() -> None:
    module = DualCMT(8, 2, 2, 4).double()
    x, perception = torch.rand(2, 8, 3, 2, dtype=torch.float64), torch.rand(2, 24, 12, 8, dtype=torch.float64)
    tiles = module.perception(perception).unflatten(3, (2, 4)).unflatten(2, (3, 4))
    pooled = tiles.amax((3, 5)), tiles.mean((3, 5))
    matched = torch.cat([nearest_channels(x, maps, 2) for maps in pooled], dim=1)
    torch.testing.assert_close(module(x, perception), module.conv12(module.dwconv(matched) * matched))


def test_a_feed_forward_network_passes_on_only_what_was_matched() -> None:
    """Its input chooses, but no gradient flows to it; without attention the block adds nothing that does."""
    block = CMTBlock(8, 2, 2, 2, 4)
    nn.init.zeros_(block.attn.project_out.weight)
    x, perception = torch.rand(1, 8, 2, 2, requires_grad=True), torch.rand(1, 24, 8, 8, requires_grad=True)
    block(x, perception).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    assert perception.grad.abs().sum() > 0


def test_a_group_adds_a_fifth() -> None:
    group = CMTGroup([CMTBlock(8, 2, 2, 2, 4) for _ in range(2)])
    x, perception = torch.rand(1, 8, 2, 3), torch.rand(1, 24, 8, 12)
    first, second = group.TransformerBlock
    torch.testing.assert_close(group(x, perception), x + second(first(x, perception), perception) / 5)


def test_the_modulator_weights_channels_and_adds_a_bias() -> None:
    module, features = AdaptiveChannelModulator(4), torch.rand(3, 2, 4, 5, 6)
    joined = torch.cat(list(features), dim=1)
    both = module.dwconv(module.conv11(joined))
    weight = both[:, :12].exp() / both[:, :12].exp().sum(1, keepdim=True)
    torch.testing.assert_close(module(*features), weight * joined + both[:, 12:])


def test_the_block_of_full_resolution_is_a_formula() -> None:
    block, x = ConvNeXtBlock(4).double(), torch.rand(2, 4, 5, 6, dtype=torch.float64)
    torch.nn.init.uniform_(block.gamma)
    hidden = F.conv2d(x, block.dwconv.weight, block.dwconv.bias, padding=1)
    hidden = F.gelu(F.conv2d(hidden, block.pwconv1.weight[..., None, None], block.pwconv1.bias))
    hidden = F.conv2d(hidden, block.pwconv2.weight[..., None, None], block.pwconv2.bias)
    torch.testing.assert_close(block(x), x + block.gamma[:, None, None] * hidden)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'num_out_ch': 1}, r'UHDformer\.num_out_ch: expected num_in_ch = 3.*got 1\. Give both the same value'),
        ({'num_heads': 3}, r'UHDformer\.dim: expected a multiple of num_heads = 3.*got 8'),
        ({'match_factor': 9}, r'UHDformer\.dim: .*at least match_factor = 9.*got 8'),
    ],
)
def test_refuses(options: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        UHDformer(**{**TINY, **options})


def test_states_the_size_it_needs() -> None:
    net = UHDformer(**TINY)
    assert net.size_multiple == 4
    with pytest.raises(ValueError, match=r'UHDformer: expected height and width divisible by 4, got \(16, 18\)'):
        net(torch.rand(1, 3, 16, 18))
