"""OISR-RK2: the keys of the official weights, and its block against Heun's method."""

import math

import pytest
import torch
from torch import nn

from basicsr_ext.archs.oisr_arch import OISR, HeunBlock
from basicsr_ext.errors import OptionError
from basicsr_ext.networks.described import output_scale

TINY = {'num_feat': 8, 'num_block': 2}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(('options', 'count'), [({}, 1_371_915), ({'upscale': 4}, 1_519_627)])
def test_number_of_parameters(options: dict, count: int) -> None:
    """Soh and Cho, Table IV: 1.37 M at x2; the authors: 1.52 M at x4. The shifts, 24 values, are not counted."""
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in OISR(**options).parameters()) == count


def test_has_the_official_keys() -> None:
    with torch.device('meta'):
        state = OISR().state_dict()
    expected: dict[str, tuple[int, ...]] = {}
    for shift in ('sub_mean', 'add_mean'):
        expected |= {f'{shift}.weight': (3, 3, 1, 1), f'{shift}.bias': (3,)}
    for block in range(8):
        for number in (1, 2, 3, 4):
            expected[f'body.{block}.conv{number}.weight'] = (64, 64, 3, 3)
            expected[f'body.{block}.conv{number}.bias'] = (64,)
            expected[f'body.{block}.relu{number}.weight'] = (64,)
        expected[f'body.{block}.scale1'] = (1,)
    for key, width, channels in (('head.0', 64, 3), ('body.8', 64, 64), ('tail.0.0', 256, 64), ('tail.1', 3, 64)):
        expected |= {f'{key}.weight': (width, channels, 3, 3), f'{key}.bias': (width,)}
    assert {key: tuple(value.shape) for key, value in state.items()} == expected
    with torch.device('meta'):
        state = OISR(upscale=4).state_dict()
    assert {key for key in state if key.startswith('tail.')} == {
        f'tail.{layer}.{kind}' for layer in ('0.0', '0.2', '1') for kind in ('weight', 'bias')
    }


@pytest.mark.parametrize('upscale', [2, 3, 4])
def test_shape_weights_and_gradients(upscale: int) -> None:
    net, again = OISR(upscale=upscale, **TINY), OISR(upscale=upscale, **TINY, rgb_mean=(0, 0, 0))
    again.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(2, 3, 7, 9)
    out = net(x)
    assert torch.equal(out, again(x))  # the mean is loaded too
    assert out.shape == (2, 3, 7 * upscale, 9 * upscale) and output_scale(net) == upscale
    out.square().sum().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


class Field(nn.Module):
    """G(y) = rate y, in place of a convolution."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.rate * y


@pytest.mark.parametrize('step', [0.1, 0.05])
def test_a_block_is_a_step_of_heuns_method(step: float) -> None:
    """Of y' = y: what one step makes of y(0) = 1 differs from e^step by step^3 / 6, as of a method of order 2."""
    block = HeunBlock(1).double()
    for number in (1, 2, 3, 4):
        setattr(block, f'conv{number}', Field(step if number < 3 else 1.0))
        setattr(block, f'relu{number}', nn.Identity())
    y = block(torch.ones(1, 1, 1, 1, dtype=torch.float64)).item()
    assert y == pytest.approx(1 + step + step**2 / 2, abs=1e-15)
    assert math.exp(step) - y == pytest.approx(step**3 / 6, rel=0.05)


def test_a_block_equals_its_formula() -> None:
    block, y = HeunBlock(6).double(), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    torch.nn.init.constant_(block.scale1, 0.3)

    def layer(number: int, x: torch.Tensor) -> torch.Tensor:
        slope, conv = getattr(block, f'relu{number}').weight, getattr(block, f'conv{number}')
        bent = torch.where(x > 0, x, slope[:, None, None] * x)
        return torch.conv2d(bent, conv.weight, conv.bias, padding=1)

    first = layer(3, layer(1, y))
    second = layer(4, layer(2, y + first))
    torch.testing.assert_close(block(y), y + 0.3 * first + 0.3 * second)


def test_the_values_inside_are_of_the_range() -> None:
    net, seen = OISR(**TINY), []
    net.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 3, 4, 4)
    nn.init.zeros_(net.tail[1].weight)
    nn.init.zeros_(net.tail[1].bias)
    mean = torch.tensor([0.4488, 0.4371, 0.4040])[:, None, None]
    torch.testing.assert_close(net(x), mean.expand(1, 3, 8, 8))
    torch.testing.assert_close(seen[0], 255 * (x - mean), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'upscale': 1}, r'OISR\.upscale: expected 2, 3 or 4, got 1'),
        ({'num_in_ch': 1, 'num_out_ch': 1}, r'OISR\.rgb_mean: expected a value for each of num_in_ch = 1'),
        ({'num_out_ch': 1}, r'OISR\.rgb_mean: expected .* num_in_ch = 3 .*num_out_ch = 1\. Give as many of each'),
    ],
)
def test_refuses(options: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        OISR(**{**TINY, **options})
