"""FFDNet: the keys of the official weights, its squares of pixels and its noise level."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basicsr_ext.archs.ffdnet_arch import FFDNet
from basicsr_ext.errors import OptionError


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ('channels', 'num_feat', 'num_layers', 'count'),
    # 9 (4 channels + 1) feat + feat, (layers - 2) (9 feat^2 + feat), 9 feat 4 channels + 4 channels
    [(1, 64, 15, 485_316), (3, 96, 12, 852_108)],
)
def test_number_of_parameters_and_official_keys(channels: int, num_feat: int, num_layers: int, count: int) -> None:
    with torch.device('meta'):
        net = FFDNet(channels, channels, num_feat, num_layers)
    assert sum(parameter.numel() for parameter in net.parameters()) == count
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    widths = [4 * channels + 1, *[num_feat] * (num_layers - 1), 4 * channels]
    expected: dict[str, tuple[int, ...]] = {}
    for layer in range(num_layers):
        expected[f'model.{2 * layer}.weight'] = (widths[layer + 1], widths[layer], 3, 3)
        expected[f'model.{2 * layer}.bias'] = (widths[layer + 1],)
    assert shapes == expected


def plain(state: dict[str, Tensor], x: Tensor, sigma: float) -> Tensor:
    """The network from its state dict, pixel by pixel."""
    batch, channels, height, width = x.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    squares = x.new_empty(batch, 4 * channels + 1, rows, columns)
    squares[:, -1] = sigma / 255
    for y in range(2 * rows):
        for z in range(2 * columns):
            for c in range(channels):
                squares[:, 4 * c + 2 * (y % 2) + z % 2, y // 2, z // 2] = x[:, c, min(y, height - 1), min(z, width - 1)]
    for layer in range(0, 2 * (len(state) // 2), 2):
        squares = squares if layer == 0 else squares.clamp(min=0)
        squares = F.conv2d(squares, state[f'model.{layer}.weight'], state[f'model.{layer}.bias'], padding=1)
    out = torch.empty_like(x)
    for y in range(height):
        for z in range(width):
            for c in range(channels):
                out[:, c, y, z] = squares[:, 4 * c + 2 * (y % 2) + z % 2, y // 2, z // 2]
    return out


@pytest.mark.parametrize('size', [(6, 8), (5, 8), (6, 7), (1, 1)])
@pytest.mark.parametrize('channels', [1, 3])
def test_equals_a_loop_over_pixels(channels: int, size: tuple[int, int]) -> None:
    net = FFDNet(channels, channels, num_feat=6, num_layers=4, sigma=40).double()
    x = torch.rand(2, channels, *size, dtype=torch.float64)
    assert not hasattr(net, 'size_multiple')
    torch.testing.assert_close(net(x), plain(net.state_dict(), x, 40))


def test_the_level_is_no_part_of_the_weights() -> None:
    net, other = FFDNet(1, 1, 6, 4, sigma=15), FFDNet(1, 1, 6, 4, sigma=50)
    other.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(1, 1, 8, 8)
    assert not torch.allclose(net(x), other(x))
    other.sigma = 15
    assert torch.equal(net(x), other(x))


def test_gradients_flow() -> None:
    net = FFDNet(3, 3, 6, 4)
    net(torch.rand(2, 3, 9, 11)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'num_out_ch': 3}, r'FFDNet\.num_out_ch: expected num_in_ch = 1, got 3\. Give both the same value'),
        ({'num_layers': 1}, r'FFDNet\.num_layers: expected at least 2, got 1'),
        ({'sigma': -1}, r'FFDNet\.sigma: expected at least 0, in 8-bit levels, got -1'),
        ({'sigma': float('nan')}, r'FFDNet\.sigma: expected at least 0'),
    ],
)
def test_refuses(options: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        FFDNet(**{'num_in_ch': 1, 'num_out_ch': 1, **options})
