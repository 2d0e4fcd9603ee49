"""MIRNet-v2: the keys of the official weights, and its blocks against their formulas."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from basicsr_ext.archs.mirnetv2_arch import MRB, RCB, SKFF, ContextBlock, MIRNetv2
from basicsr_ext.errors import OptionError


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def official_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every official weight: 80, 120 and 180 channels."""
    top, mid, bot = 80, 120, 180
    yield 'conv_in.weight', (top, 3, 3, 3)
    for group, convolutions in enumerate((1, 2, 4, 4)):
        for block in range(2):
            prefix = f'body.{group}.body.{block}'
            for stream, width in (('top', top), ('mid', mid), ('bot', bot)):
                for layer in (0, 2):
                    yield f'{prefix}.dau_{stream}.body.{layer}.weight', (width, width // convolutions, 3, 3)
                    yield f'{prefix}.dau_{stream}.gcnet.channel_add_conv.{layer}.weight', (width, width, 1, 1)
                yield f'{prefix}.dau_{stream}.gcnet.conv_mask.weight', (1, width, 1, 1)
            yield f'{prefix}.down2.body.0.bot.1.weight', (mid, top, 1, 1)
            yield f'{prefix}.down4.0.body.0.bot.1.weight', (mid, top, 1, 1)
            yield f'{prefix}.down4.1.body.0.bot.1.weight', (bot, mid, 1, 1)
            for time in (1, 2):
                yield f'{prefix}.up21_{time}.body.0.bot.0.weight', (top, mid, 1, 1)
                yield f'{prefix}.up32_{time}.body.0.bot.0.weight', (mid, bot, 1, 1)
            yield f'{prefix}.conv_out.weight', (top, top, 1, 1)
            for stream, width in (('top', top), ('mid', mid)):
                yield f'{prefix}.skff_{stream}.conv_du.0.weight', (width // 8, width, 1, 1)
                for number in (0, 1):
                    yield f'{prefix}.skff_{stream}.fcs.{number}.weight', (width, width // 8, 1, 1)
        yield f'body.{group}.body.2.weight', (top, top, 3, 3)
    yield 'conv_out.weight', (3, top, 3, 3)


def test_has_the_official_keys() -> None:
    with torch.device('meta'):
        state = MIRNetv2().state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == dict(official_shapes())


def test_number_of_parameters() -> None:
    """The paper: 5.9 M."""
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in MIRNetv2().parameters()) == 5_858_560


@pytest.mark.parametrize(('num_in_ch', 'num_out_ch'), [(1, 1), (3, 3), (6, 3)])
def test_shape_and_gradients(num_in_ch: int, num_out_ch: int) -> None:
    net = MIRNetv2(num_in_ch, num_out_ch, dim=16, num_blocks=1, bias=True, dual_pixel_task=num_in_ch != num_out_ch)
    output = net(torch.rand(2, num_in_ch, 8, 12))
    assert output.shape == (2, num_out_ch, 8, 12)
    output.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
    without = [name for name, parameter in net.named_parameters() if not parameter.grad.any()]
    assert [name for name in without if not name.endswith('conv_mask.bias')] == []  # softmax ignores that bias


def test_without_its_last_convolution_it_is_the_identity() -> None:
    net, x = MIRNetv2(dim=16, num_blocks=1), torch.rand(1, 3, 8, 8)
    assert not torch.equal(net(x), x)
    nn.init.zeros_(net.conv_out.weight)
    assert torch.equal(net(x), x)


def test_with_two_views_the_shallow_features_are_added() -> None:
    net, x = MIRNetv2(6, 3, dim=16, num_blocks=1, dual_pixel_task=True).double(), torch.rand(1, 6, 8, 8).double()
    shallow = net.conv_in(x)
    torch.testing.assert_close(net(x), net.conv_out(shallow) + net.conv_out(net.body(shallow)))


def test_context_block_equals_its_formula() -> None:
    block, x = ContextBlock(6, bias=True).double(), torch.randn(2, 6, 3, 5, dtype=torch.float64)
    weights = {name: value.flatten(1) if value.ndim > 1 else value for name, value in block.state_dict().items()}
    expected = []
    for image in x:
        pixels = image.flatten(1).T
        scores = [float(weights['conv_mask.weight'][0] @ pixel) for pixel in pixels]
        total = sum(torch.tensor(score).double().exp() for score in scores)
        context = sum(
            torch.tensor(score).double().exp() / total * pixel for score, pixel in zip(scores, pixels, strict=True)
        )
        hidden = weights['channel_add_conv.0.weight'] @ context + weights['channel_add_conv.0.bias']
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
        added = weights['channel_add_conv.2.weight'] @ hidden + weights['channel_add_conv.2.bias']
        expected.append(image + added[:, None, None])
    torch.testing.assert_close(block(x), torch.stack(expected))


@pytest.mark.parametrize('groups', [1, 4])
def test_rcb_equals_its_formula(groups: int) -> None:
    block, x = RCB(8, groups, bias=False).double(), torch.randn(2, 8, 5, 6, dtype=torch.float64)
    state, width, out = block.state_dict(), 8 // groups, x
    for layer in (0, 2):
        kernels = state[f'body.{layer}.weight'].split(width)
        parts = [F.conv2d(part, kernel, padding=1) for part, kernel in zip(out.split(width, 1), kernels, strict=True)]
        out = torch.cat(parts, 1)
        out = torch.maximum(out, 0.2 * out) if layer == 0 else out
    out = block.gcnet(out)
    torch.testing.assert_close(block(x), x + torch.maximum(out, 0.2 * out))


def test_skff_equals_its_formula() -> None:
    block = SKFF(16).double()
    first, second = torch.randn(2, 2, 16, 3, 5, dtype=torch.float64)
    squeeze = block.conv_du[0].weight.flatten(1)
    assert squeeze.shape == (4, 16)
    expected = torch.empty_like(first)
    for n in range(2):
        summary = squeeze @ (first[n] + second[n]).flatten(1).mean(1)
        summary = torch.where(summary > 0, summary, 0.2 * summary)
        a, b = (fc.weight.flatten(1) @ summary for fc in block.fcs)
        share = torch.sigmoid(a - b)[:, None, None]
        expected[n] = share * first[n] + (1 - share) * second[n]
    torch.testing.assert_close(block(first, second), expected)
    torch.testing.assert_close(block(first, first), first)


def test_multi_scale_block_works_from_coarse_to_fine() -> None:
    """What each resolution sees, with every step written out."""
    block, x = MRB(16, 1.5, 1, bias=False).double(), torch.randn(1, 16, 8, 8, dtype=torch.float64)

    def half(image: Tensor, weight: Tensor) -> Tensor:
        corners = [image[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
        return F.conv2d(sum(corners) / 4, weight)

    def double(image: Tensor, weight: Tensor) -> Tensor:
        return F.interpolate(F.conv2d(image, weight), scale_factor=2, mode='bilinear', align_corners=False)

    state = block.state_dict()
    down2, down4 = state['down2.body.0.bot.1.weight'], [state[f'down4.{i}.body.0.bot.1.weight'] for i in (0, 1)]
    up21, up32 = ([state[f'{name}_{i}.body.0.bot.0.weight'] for i in (1, 2)] for name in ('up21', 'up32'))
    top, mid, bot = x, half(x, down2), half(half(x, down4[0]), down4[1])
    top, mid, bot = block.dau_top(top), block.dau_mid(mid), block.dau_bot(bot)
    mid = block.skff_mid(mid, double(bot, up32[0]))
    top = block.skff_top(top, double(mid, up21[0]))
    top, mid, bot = block.dau_top(top), block.dau_mid(mid), block.dau_bot(bot)
    mid = block.skff_mid(mid, double(bot, up32[1]))
    top = block.skff_top(top, double(mid, up21[1]))
    torch.testing.assert_close(block(x), x + F.conv2d(top, state['conv_out.weight']))


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match=r'MIRNetv2\.num_out_ch: expected num_in_ch = 3.*got 1\. Give both the same'):
        MIRNetv2(3, 1)
    with pytest.raises(OptionError, match=r'MIRNetv2\.dim: expected .* multiples of 4 .*which give \[20, 30, 45\]'):
        MIRNetv2(dim=20)
    assert MIRNetv2.size_multiple == 4
    with pytest.raises(ValueError, match=r'divisible by 4, got \(8, 6\)\. Pad the images'):
        MIRNetv2(dim=16, num_blocks=1)(torch.rand(1, 3, 8, 6))
