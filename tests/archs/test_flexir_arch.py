"""FlexIR: equal to BasicSR's SwinIR, its branches, its state step by step and its weights."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from basicsr.archs.swinir_arch import SwinIR
from torch import Tensor, nn
from torch.nn import functional

from basicsr_ext.archs import swin_layers
from basicsr_ext.archs.channel_scoring import ChannelScoring
from basicsr_ext.archs.flexir_arch import BranchOutput, FlexIR
from basicsr_ext.archs.window_order import reorder, reordering, window_masks, window_order
from basicsr_ext.errors import CheckpointError, OptionError
from basicsr_ext.runtime.checkpoint import load_network_weights

TINY: dict[str, Any] = {
    'upscale': 1, 'in_chans': 3, 'img_size': 16, 'window_size': 4, 'img_range': 1.0, 'depths': [2, 2], 'embed_dim': 12,
    'num_heads': [2, 2], 'mlp_ratio': 2, 'upsampler': '',
}  # fmt: skip
FULL = {**TINY, 'img_size': 16, 'window_size': 8, 'depths': [6] * 6, 'embed_dim': 180, 'num_heads': [6] * 6}
VARIANTS = {
    'denoising': {},
    'window 8': {'window_size': 8, 'img_size': 32},
    'window 7, grey': {'window_size': 7, 'img_size': 21, 'in_chans': 1, 'img_range': 255.0},
    'heterogeneous': {'depths': [1, 3, 2], 'num_heads': [1, 2, 3]},
    'one RSTB': {'depths': [3], 'num_heads': [2]},
    'window as large as the images': {'img_size': 4},
    '3conv, no bias of qkv': {'resi_connection': '3conv', 'qkv_bias': False, 'qk_scale': 0.7, 'patch_norm': False},
    'classical SR': {'upsampler': 'pixelshuffle', 'upscale': 3},
    'light SR': {'upsampler': 'pixelshuffledirect', 'upscale': 2},
    'real SR': {'upsampler': 'nearest+conv', 'upscale': 4},
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def swinir(noise: float = 0.2, **changes: Any) -> SwinIR:
    """BasicSR's network with weights that are large enough for every part to matter."""
    net = SwinIR(**{**TINY, **changes}).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return net


def flexir(of: SwinIR | None = None, **changes: Any) -> FlexIR:
    net = FlexIR(**{**TINY, **changes}).eval()
    if of is not None:
        net.load_state_dict(of.state_dict())
    return net


def images(net: FlexIR, height: int, width: int, number: int = 2) -> Tensor:
    return torch.rand(number, net.conv_first.in_channels, height, width)


def padded_swinir(net: SwinIR, x: Tensor, window: int) -> Tensor:
    """BasicSR's SwinIRModel.test."""
    height, width = x.shape[2:]
    x = functional.pad(x, (0, -width % window, 0, -height % window), 'reflect')
    scale = net.upscale if net.upsampler else 1
    return net(x)[:, :, : height * scale, : width * scale]


# ---- SwinIR is FlexIR ----


@torch.no_grad()
@pytest.mark.parametrize(
    ('name', 'share_tail'), [*((name, False) for name in VARIANTS), ('heterogeneous', True), ('real SR', True)]
)
def test_the_plain_path_is_swinir_bit_for_bit(name: str, share_tail: bool) -> None:
    net = swinir(**VARIANTS[name])
    ours = flexir(net, **VARIANTS[name], plain=True, share_tail=share_tail)
    window = ours.window_size
    for height, width in ((4 * window, 4 * window), (2 * window, 3 * window), (window, window)):
        x = images(ours, height, width)
        assert torch.equal(ours(x), net(x))
    x = images(ours, 3 * window - 1, 2 * window + 1)
    assert torch.equal(ours(x), padded_swinir(net, x, window))


@torch.no_grad()
@pytest.mark.parametrize(
    ('name', 'dtype', 'noise', 'tolerance'),
    [
        *((name, torch.float64, 0.2, 1e-9) for name in VARIANTS),
        ('denoising', torch.float32, 0.05, 1e-4),
        ('light SR', torch.float32, 0.05, 1e-4),
    ],
)
def test_the_fast_path_is_swinir(name: str, dtype: torch.dtype, noise: float, tolerance: float) -> None:
    """The larger weights magnify what rounding does, so that they are tried in float64."""
    net = swinir(noise, **VARIANTS[name]).to(dtype)
    ours = flexir(**VARIANTS[name]).to(dtype)
    ours.load_state_dict(net.state_dict())
    window = ours.window_size
    for height, width in ((4 * window, 4 * window), (window, 2 * window), (3 * window - 1, 2 * window + 1)):
        x = images(ours, height, width).to(dtype)
        expected = padded_swinir(net, x, window)
        torch.testing.assert_close(ours(x), expected, rtol=tolerance, atol=tolerance)
        assert not torch.allclose(ours(1 - x), expected, rtol=100 * tolerance, atol=100 * tolerance)


@torch.no_grad()
@pytest.mark.parametrize('scale', [2, 4])
def test_weights_of_real_world_super_resolution_are_those_of_the_later_swinir(scale: int) -> None:
    """Its authors added x2, with one convolution behind the only doubling; BasicSR has x4 alone, spandrel both."""
    options = {**TINY, 'upsampler': 'nearest+conv', 'upscale': scale}
    net = pytest.importorskip('spandrel.architectures.SwinIR').SwinIR(**options).eval()
    assert ('conv_up2.weight' in net.state_dict()) == (scale == 4)
    ours = FlexIR(**options).eval()
    ours.load_state_dict(net.state_dict())
    x = images(ours, 12, 16)
    found, expected = ours(x), net(x)
    assert found.shape == (2, 3, 12 * scale, 16 * scale)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_fast_path_goes_part_by_part_through_large_images(monkeypatch: pytest.MonkeyPatch) -> None:
    net = swinir()
    ours = flexir(net)
    x = images(ours, 20, 24)
    for size in (1, 2400, 10**9):  # a window, three windows, the image
        monkeypatch.setattr('basicsr_ext.archs.swin_inference.CACHED_BYTES', size)
        torch.testing.assert_close(ours(x), net(x), rtol=1e-4, atol=1e-4)


def test_many_windows_are_attended_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused kernels of CUDA take fewer than 2^16 of them at a time."""
    ours, x, attend = flexir(swinir()), torch.rand(1, 3, 20, 24), swin_layers._attend
    whole = ours(x)  # with a gradient: without one a CPU goes another way
    seen: list[int] = []

    def attend_some(qkv: Tensor, bias: Tensor, dropout: float) -> Tensor:
        seen.append(len(qkv))
        return attend(qkv, bias, dropout)

    monkeypatch.setattr(swin_layers, 'MOST_WINDOWS', 7)
    monkeypatch.setattr(swin_layers, '_attend', attend_some)
    torch.testing.assert_close(ours(x), whole)
    assert max(seen) == 7


def test_the_paths_agree_in_training_with_the_same_drops() -> None:
    options = {'drop_rate': 0.1, 'drop_path_rate': 0.5}
    net = swinir(**options)
    x, runs = torch.rand(3, 3, 12, 20), []
    for plain in (False, True):
        ours = flexir(net, **options, plain=plain).train()
        for block in (block for layer in ours.layers for block in layer.residual_group.blocks):
            block.attn.proj_drop.p = block.mlp.drop.p = 0.0  # drawn in the order of the pixels, which differs
        torch.manual_seed(1)
        branches = ours(x)
        sum(branch.image.square().mean() for branch in branches).backward()
        runs.append((branches[-1].image, [p.grad for p in ours.parameters()]))
    (fast, fast_gradients), (plain_image, plain_gradients) = runs
    torch.testing.assert_close(fast, plain_image, rtol=1e-4, atol=1e-4)
    for a, b in zip(fast_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for use_checkpoint in (False, True):
        torch.manual_seed(0)
        net = flexir(use_checkpoint=use_checkpoint, drop_path_rate=0.0).train()
        net(images(net, 8, 8))[-1].image.square().mean().backward()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_bfloat16() -> None:
    net = flexir(swinir())
    x = images(net, 13, 18)
    expected = net(x)
    found = net.bfloat16()(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().mean() < 0.05 * expected.std()


# ---- prepared weights ----


@torch.no_grad()
@pytest.mark.parametrize('way', ['in place', 'load', 'data and eval', 'double'])
def test_changed_weights_are_seen(way: str) -> None:
    first, second = swinir(), swinir()
    net = flexir(first)
    x = images(net, 8, 8)
    net(x)
    new = flexir(second)
    if way == 'load':
        net.load_state_dict(second.state_dict())
    elif way == 'double':
        net, new, x = net.double(), flexir(first).double(), x.double()
    else:
        for a, b in zip(net.parameters(), new.parameters(), strict=True):
            (a if way == 'in place' else a.data).copy_(b)
        net.eval()
    assert torch.equal(net(x), new(x))


def test_a_copy_does_not_share_prepared_weights() -> None:
    net = flexir(swinir())
    x = images(net, 8, 8)
    with torch.no_grad():
        expected = net(x)
        other = copy.deepcopy(net)
        for parameter in other.parameters():
            parameter.mul_(0.5)
        assert not torch.equal(other(x), expected) and torch.equal(net(x), expected)


def test_training_after_inference_mode() -> None:
    net = flexir(drop_path_rate=0.0)
    x = images(net, 8, 12)
    with torch.inference_mode():
        before = net(x)
    image = net.train()(x)[-1].image
    image.sum().backward()
    torch.testing.assert_close(image, before, rtol=1e-4, atol=1e-5)
    net.eval().requires_grad_(False)
    x.requires_grad_()
    net(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


# ---- the order of the windows ----


@pytest.mark.parametrize('shift', [0, 1, 2])
@pytest.mark.parametrize('size', [(4, 4), (8, 4), (12, 16)])
def test_window_order_is_roll_and_partition(shift: int, size: tuple[int, int]) -> None:
    height, width = size
    x = torch.rand(3, height, width, 5)
    order = window_order(3, height, width, 4, shift, torch.device('cpu'))
    rows = x.reshape(-1, 5)[order.order].view(-1, 16, 5)
    rolled = x.roll((-shift, -shift), (1, 2))
    found = {tuple(window.flatten().tolist()) for window in rows}
    expected = set()
    for sample in rolled:
        for y in range(0, height, 4):
            for left in range(0, width, 4):
                expected.add(tuple(sample[y : y + 4, left : left + 4].flatten().tolist()))
    assert found == expected and len(found) == len(rows)
    assert torch.equal(rows.view(-1, 5)[order.back].view_as(x), x)
    assert sum(count for count, _ in order.groups) == len(rows)
    again = reordering(3, height, width, 4, (shift, 0), torch.device('cpu'))
    straight = window_order(3, height, width, 4, 0, torch.device('cpu'))
    assert torch.equal(rows.view(-1, 5)[again], x.reshape(-1, 5)[straight.order])


def test_masks_are_those_of_basicsr() -> None:
    block = SwinIR(**{**TINY, 'img_size': 12}).layers[0].residual_group.blocks[1]
    found = window_masks(4, 2, torch.device('cpu'))
    for number, mask in enumerate(block.attn_mask):  # 3 x 3 windows
        row, column = divmod(number, 3)
        assert torch.equal(found[2 * (row == 2) + (column == 2)], mask)


def test_reordering_has_the_right_gradient() -> None:
    rows = torch.rand(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: reorder(x, torch.randperm(7, generator=torch.Generator())), (rows,))


# ---- branches ----


@torch.no_grad()
def test_branch_j_is_a_swinir_of_j_layers() -> None:
    net = flexir(swinir(depths=[2, 1, 2], num_heads=[2] * 3), depths=[2, 1, 2], num_heads=[2] * 3)
    for tail in net.tails:
        for parameter in tail.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = images(net, 8, 12)
    for pointer in (1, 2, 3):
        short = SwinIR(**{**TINY, 'depths': [2, 1, 2][:pointer], 'num_heads': [2] * pointer}).eval()
        weights = {k: v for k, v in net.state_dict().items() if not k.startswith('tails.')}
        weights.update(net.tails[pointer - 1].state_dict())
        short.load_state_dict(
            {k: v for k, v in weights.items() if k in short.state_dict()}, strict=False
        )  # without the buffers and the later layers
        net.pointer = pointer
        torch.testing.assert_close(net(x), short(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_step_by_step_with_a_part_of_the_batch() -> None:
    net = flexir(swinir(), drop_path_rate=0.0)
    x = images(net, 10, 7, number=4)
    expected = []
    for pointer in (1, 2):
        net.pointer = pointer
        expected.append(net(x))
    state = net.step(net.begin(x))
    assert len(state) == 4 and state.depth == 1 and state.feature.shape == (4, 12, 12, 8)
    torch.testing.assert_close(net.restore(state), expected[0])
    for keep in (torch.tensor([3, 1]), torch.tensor([True, False, False, True]), slice(1, 2)):
        part = net.restore(net.step(state[keep]))
        torch.testing.assert_close(part, expected[1][keep], rtol=1e-5, atol=1e-5)


def test_training_gives_the_active_branches_and_no_gradient_to_others() -> None:
    net = flexir(depths=[1, 1, 1], num_heads=[2] * 3, channel_scoring=True).train()
    net.pointer = 2
    branches = net(images(net, 6, 9))
    assert [type(branch) for branch in branches] == [BranchOutput] * 2
    assert [tuple(item.shape) for item in branches[0]] == [(2, 12, 8, 12), (2, 3, 6, 9), (2, 12, 1, 1)]
    sum((branch.feature * branch.score).mean() + branch.image.mean() for branch in branches).backward()
    for name, parameter in net.named_parameters():
        inactive = name.startswith(('layers.2', 'tails.2', 'scoring.2'))
        assert (parameter.grad is None) == inactive, name


def test_detached_blocks_learn_from_their_own_branch_alone() -> None:
    net = flexir(drop_path_rate=0.0).train()
    x = images(net, 8, 8)
    net(x, detach_between_blocks=True)[1].image.square().mean().backward()
    touched = {
        name.partition('.')[0] + name.partition('.')[2][:2] for name, p in net.named_parameters() if p.grad is not None
    }
    assert touched == {'layers1.', 'tails1.'}
    gradient = net.layers[1].conv.weight.grad.clone()
    net.zero_grad()
    net(x)[1].image.square().mean().backward()
    torch.testing.assert_close(net.layers[1].conv.weight.grad, gradient)
    assert net.conv_first.weight.grad is not None


def test_pointer_is_checked() -> None:
    net = flexir()
    assert net.pointer == net.num_branches == 2
    for wrong in (0, 3):
        with pytest.raises(OptionError, match=f'FlexIR.pointer: expected 1 to 2, a branch, got {wrong}'):
            net.pointer = wrong


def test_channel_scoring_by_formula() -> None:
    scoring = ChannelScoring(32)
    first, second = scoring.mlp[0], scoring.mlp[2]
    assert first.weight.shape == (2, 32)
    features = torch.randn(2, 32, 5, 6)

    def mlp(x: Tensor) -> Tensor:
        return (x @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias

    pooled = features.flatten(2)
    expected = 1 / (1 + torch.exp(-mlp(pooled.mean(-1)) - mlp(pooled.max(-1).values)))
    torch.testing.assert_close(scoring(features)[:, :, 0, 0], expected)


def test_scoring_of_180_channels_has_11_hidden_units() -> None:
    assert ChannelScoring(180).mlp[0].out_features == 11


# ---- weights ----


def test_parameters_of_the_full_denoiser() -> None:
    counts = [sum(p.numel() for p in FlexIR(**FULL, share_tail=share).parameters()) for share in (False, True)]
    tail = 2 * 180 + (9 * 180 * 180 + 180) + (9 * 180 * 3 + 3)
    assert counts == [12_989_178, 12_989_178 - 5 * tail]


def test_own_weights_go_round() -> None:
    net, other = flexir(channel_scoring=True), flexir(channel_scoring=True)
    other.load_state_dict(net.state_dict())
    for name, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    names = set(net.state_dict())
    assert not any(name.endswith(('attn_mask', 'relative_position_index', 'mean')) for name in names)
    assert {'conv_first.weight', 'layers.1.residual_group.blocks.0.attn.qkv.weight', 'tails.1.norm.bias'} <= names


def test_training_only_weights_may_be_missing_or_too_many() -> None:
    without, with_scoring = flexir(), flexir(channel_scoring=True)
    before = with_scoring.scoring[0].mlp[0].weight.clone()
    with_scoring.load_state_dict(without.state_dict())
    assert torch.equal(with_scoring.scoring[0].mlp[0].weight, before)
    assert torch.equal(with_scoring.conv_first.weight, without.conv_first.weight)
    without.load_state_dict(flexir(channel_scoring=True).state_dict())


@pytest.mark.parametrize('wrap', [lambda w: {'params': w}, lambda w: {'params_ema': w}, lambda w: w])
def test_files_of_swinir_load(tmp_path: Path, wrap: Any) -> None:
    net = swinir(img_size=24)  # the masks in its file are of another size
    torch.save(wrap(net.state_dict()), tmp_path / 'swinir.pth')
    ours = FlexIR(**TINY, channel_scoring=True).eval()
    load_network_weights(ours, tmp_path / 'swinir.pth')
    x = images(ours, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net(x), rtol=1e-4, atol=1e-4)
    for tail in ours.tails:
        assert torch.equal(tail.conv_last.weight, net.conv_last.weight)


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    torch.save(swinir(depths=[2], num_heads=[2]).state_dict(), tmp_path / 'short.pth')
    with pytest.raises(CheckpointError, match='missing .layers.1'):
        load_network_weights(flexir(), tmp_path / 'short.pth')
    with pytest.raises(RuntimeError, match='Missing key'):
        flexir().load_state_dict(swinir(depths=[2], num_heads=[2]).state_dict())


def test_loading_as_a_part_of_another_network() -> None:
    outer = nn.ModuleDict({'restorer': flexir(), 'other': nn.Linear(2, 2)})
    net = swinir()
    weights = {f'restorer.{name}': value for name, value in net.state_dict().items()}
    weights.update({f'other.{name}': value for name, value in outer['other'].state_dict().items()})
    outer.load_state_dict(weights)
    assert torch.equal(outer['restorer'].tails[1].conv_last.weight, net.conv_last.weight)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'depths': [2]}, 'FlexIR.depths: expected at least 1 block'),
        ({'depths': [2, 0]}, 'FlexIR.depths: expected at least 1 block'),
        ({'num_heads': [2, 5]}, 'FlexIR.num_heads: expected numbers that divide embed_dim = 12'),
        ({'upsampler': 'pixelshufle'}, 'FlexIR.upsampler: expected one of'),
        ({'plain': True, 'use_checkpoint': True}, 'FlexIR.use_checkpoint: expected false'),
        ({'upsampler': 'nearest+conv', 'upscale': 3}, 'FlexIR.upscale: expected 2 or 4 with upsampler'),
    ],
)
def test_wrong_options_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        flexir(**changes)
