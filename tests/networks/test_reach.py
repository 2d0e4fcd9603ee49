"""How far networks look, against their kernels."""

import pytest
import torch
from basicsr.archs import build_network
from torch import nn

from basicsr_ext.networks.reach import reach_of

GREY = torch.zeros(1, 1, 8, 8)


def layers(*reaches: int) -> nn.Module:
    """Convolutions that look so many pixels to each side, with activations and weights of which some are 0."""
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for reach in reaches:
        conv = nn.Conv2d(1, 1, 2 * reach + 1, padding=reach)
        with torch.no_grad():
            conv.weight[..., 0, 0] = 0
        parts += [conv, nn.ReLU()]
    return nn.Sequential(*parts)


@pytest.mark.parametrize(('reaches', 'expected'), [((1,), 1), ((1, 2, 3), 6), ((0,), 0), ((5,) * 19, 95)])
def test_convolutions_look_as_far_as_their_kernels_together(reaches: tuple[int, ...], expected: int) -> None:
    assert reach_of(layers(*reaches), GREY) == expected


def test_a_network_that_looks_farther_than_that_looks_everywhere() -> None:
    assert reach_of(layers(*(5,) * 20), GREY) is None
    assert reach_of(lambda image: image - image.mean((2, 3), keepdim=True), GREY) is None


def test_dilations_count() -> None:
    net = build_network({'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}).eval()
    assert reach_of(net, GREY) == 1 + 2 + 3 + 4 + 3 + 2 + 1


def test_pixels_of_the_input_are_counted_when_the_output_is_larger() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.PixelShuffle(2))
    assert reach_of(net, GREY) == 2


def test_every_phase_of_a_period_counts() -> None:
    """A pixel reaches as far as the farthest one of its block of 4 x 4."""
    blocks = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(16, 16, 1), nn.PixelShuffle(4))
    assert reach_of(blocks, GREY, multiple=4) == 3
