"""EDSR as a denoiser: BasicSR's EDSR without upsampler, the mean taken out, the input added."""

import pytest
import torch
import torch.nn.functional as F
from basicsr.archs import build_network
from basicsr.archs.arch_util import Upsample
from basicsr.archs.edsr_arch import EDSR
from torch import Tensor

from basicsr_ext.archs.edsr_denoiser_arch import EDSRDenoiser

MEAN = torch.tensor([0.4488, 0.4371, 0.4040], dtype=torch.float64).view(1, 3, 1, 1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def plain(state: dict[str, Tensor], x: Tensor, mean: Tensor | float, res_scale: float, img_range: float) -> Tensor:
    """The network from its state dict alone; two blocks."""

    def conv(name: str, features: Tensor) -> Tensor:
        return F.conv2d(features, state[f'{name}.weight'], state[f'{name}.bias'], padding=1)

    first = features = conv('conv_first', (x - mean) * img_range)
    for block in ('body.0', 'body.1'):
        features = features + res_scale * conv(f'{block}.conv2', conv(f'{block}.conv1', features).clamp(min=0))
    return x + conv('conv_last', first + conv('conv_after_body', features)) / img_range


def test_it_equals_plain_convolutions() -> None:
    net = EDSRDenoiser(3, 3, num_feat=8, num_block=2, res_scale=0.1, img_range=2.0).double()
    x = torch.rand(2, 3, 9, 14, dtype=torch.float64)
    # EDSR keeps its mean in float32
    torch.testing.assert_close(net(x), plain(net.state_dict(), x, MEAN, 0.1, 2.0), rtol=0, atol=1e-6)


def test_grey_images_have_one_mean() -> None:
    net = EDSRDenoiser(1, 1, num_feat=8, num_block=2, rgb_mean=[0.25]).double()
    x = torch.rand(2, 1, 9, 14, dtype=torch.float64)
    torch.testing.assert_close(net(x), plain(net.state_dict(), x, 0.25, 1.0, 255.0))
    assert EDSRDenoiser(1, 1).mean.item() == pytest.approx(MEAN.mean().item())


def test_it_is_edsr_without_upsampler_around_the_image() -> None:
    net, edsr = EDSRDenoiser(3, 3, num_feat=8, num_block=2), EDSR(3, 3, num_feat=8, num_block=2, upscale=1)
    edsr.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(net(x), x + edsr(x) - MEAN.float(), rtol=0, atol=1e-6)
    assert len(Upsample(1, 8)) == 0


def test_without_its_last_layer_it_returns_the_input() -> None:
    net = EDSRDenoiser(3, 3, num_feat=8, num_block=2)
    torch.nn.init.zeros_(net.conv_last.weight)
    torch.nn.init.zeros_(net.conv_last.bias)
    x = torch.rand(2, 3, 7, 10)
    torch.testing.assert_close(net(x), x, rtol=0, atol=1e-6)


def test_parameters_of_the_baseline() -> None:
    """The paper's EDSR baseline x2 of 1.37 M parameters without the convolution of its upsampler."""
    count = sum(p.numel() for p in EDSRDenoiser(3, 3).parameters())
    assert count == 1_369_859 - (9 * 64 * 256 + 256)


@pytest.mark.parametrize(('channels', 'size'), [(1, (1, 1)), (3, (17, 30)), (4, (5, 5))])
def test_any_shape_is_kept(channels: int, size: tuple[int, int]) -> None:
    block = {'type': 'EDSRDenoiser', 'num_in_ch': channels, 'num_out_ch': channels, 'num_feat': 8, 'num_block': 1}
    assert build_network(block)(torch.rand(2, channels, *size)).shape == (2, channels, *size)


def test_mixed_precision_does_not_round_the_image() -> None:
    """The sum with the input is one in float32, not in the 8 bits of bfloat16."""
    net, x = EDSRDenoiser(3, 3, num_feat=8, num_block=1), torch.rand(1, 3, 8, 8)
    torch.nn.init.zeros_(net.conv_last.weight)
    torch.nn.init.zeros_(net.conv_last.bias)
    with torch.autocast('cpu', torch.bfloat16):
        output = net(x)
    torch.testing.assert_close(output, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'num_out_ch': 1}, r'EDSRDenoiser\.num_out_ch: expected num_in_ch = 3.*got 1\. Give both the same'),
        ({'rgb_mean': [0.5]}, r'EDSRDenoiser\.rgb_mean: expected 3 values, one per channel, got \[0\.5\]'),
    ],
)
def test_it_refuses(options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EDSRDenoiser(**{'num_in_ch': 3, 'num_out_ch': 3, **options})
