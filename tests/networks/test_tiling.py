"""Tiling and padding against the network on the whole image."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.tiling import Sides, pad_to_multiple, run_padded, run_tiled

SIZES = [(16, 16), (13, 17), (5, 23), (4, 4), (1, 9)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def conv(num_in: int, num_out: int) -> nn.Conv2d:
    return nn.Conv2d(num_in, num_out, 3, padding=1)


def plain_net() -> nn.Module:
    """A network that sees 3 pixels to each side."""
    return nn.Sequential(conv(2, 4), nn.Tanh(), conv(4, 4), nn.Tanh(), conv(4, 3)).double()


def upscaling_net() -> nn.Module:
    """A network of scale 2 that sees 2 + 1 / 2 pixels of its input to each side."""
    return nn.Sequential(conv(2, 4), nn.Tanh(), conv(4, 8), nn.PixelShuffle(2), conv(2, 3)).double()


NETS = pytest.mark.parametrize(('build', 'scale'), [(plain_net, 1), (upscaling_net, 2)])


@NETS
@pytest.mark.parametrize('tile', [1, 5, 8, 64])
@torch.no_grad()
def test_tiled_equals_the_whole_image(build, scale: int, tile: int) -> None:
    for size in SIZES:
        net, image = build(), torch.rand(2, 2, *size, dtype=torch.float64)
        expected = net(image)
        tiled = run_tiled(net, image, tile, overlap=3)
        assert tiled.shape == (2, 3, size[0] * scale, size[1] * scale) and tiled.dtype == torch.float64
        torch.testing.assert_close(tiled, expected, rtol=0, atol=1e-12)


@NETS
@pytest.mark.parametrize('overlap', [0, 1, 2])
@torch.no_grad()
def test_tiled_differs_where_the_overlap_is_too_small(build, scale: int, overlap: int) -> None:
    net, image = build(), torch.rand(1, 2, 16, 16, dtype=torch.float64)
    difference = (run_tiled(net, image, 8, overlap) - net(image)).abs()
    assert difference.max() > 1e-6
    reach = 3 - overlap  # pixels from a seam that see beyond the overlap
    assert difference[..., : (8 - reach) * scale, : (8 - reach) * scale].max() < 1e-12


@pytest.mark.parametrize('size', SIZES)
def test_tiled_calls_the_network_on_small_tiles(size: tuple[int, int]) -> None:
    seen: list[tuple[int, ...]] = []

    def net(tile: Tensor) -> Tensor:
        seen.append(tuple(tile.shape[-2:]))
        return tile

    image = torch.rand(1, 1, *size)
    assert torch.equal(run_tiled(net, image, 4, overlap=2), image)
    assert len(seen) == math.ceil(size[0] / 4) * math.ceil(size[1] / 4)
    assert max(max(shape) for shape in seen) <= 8


def test_tiled_refuses_an_image_without_pixels() -> None:
    with pytest.raises(ValueError, match=r'expected an image with pixels, got \(1, 3, 0, 4\)'):
        run_tiled(nn.Identity(), torch.zeros(1, 3, 0, 4), 4, 0)


@pytest.mark.parametrize('multiple', [1, 3, 8])
def test_pad_to_multiple_mirrors_or_repeats_the_edge(multiple: int) -> None:
    for size in [*SIZES, (1, 1), (2, 3), (8, 1), (9, 8)]:
        image = torch.rand(2, 3, *size)
        bottom, right = (math.ceil(side / multiple) * multiple - side for side in size)
        mirrored = bottom < size[0] and right < size[1]
        widths = ((0, 0), (0, 0), (0, bottom), (0, right))
        expected = np.pad(image.numpy(), widths, mode='reflect' if mirrored else 'edge')
        assert torch.equal(pad_to_multiple(image, multiple), torch.from_numpy(expected))


def test_pad_to_multiple_known_value() -> None:
    row = torch.tensor([[[[1.0, 2, 3, 4, 5]]]])
    assert pad_to_multiple(row.expand(1, 1, 2, 5), 4)[0, 0].tolist() == [[1, 2, 3, 4, 5, 5, 5, 5]] * 4
    assert pad_to_multiple(row.expand(1, 1, 4, 5), 4)[0, 0].tolist() == [[1, 2, 3, 4, 5, 4, 3, 2]] * 4


@pytest.mark.parametrize(
    ('size', 'scale'), [((16, 16), 1), ((13, 17), 2), ((5, 23), 3), ((1, 9), 1), ((1, 1), 2), ((2, 3), 3)]
)
def test_padded_gives_the_size_of_the_image(size: tuple[int, int], scale: int) -> None:
    seen: list[tuple[int, ...]] = []

    def nearest(image: Tensor) -> Tensor:
        seen.append(tuple(image.shape[-2:]))
        return image.repeat_interleave(scale, -1).repeat_interleave(scale, -2)

    image = torch.rand(1, 2, *size)
    result = run_padded(nearest, image, sides=8)
    assert seen == [tuple(math.ceil(side / 8) * 8 for side in size)]
    assert torch.equal(result, nearest(image))


@pytest.mark.parametrize('sides', [Sides(), Sides(4), Sides(1, 7), Sides(4, 7), Sides(3, 0, True), Sides(4, 13, True)])
def test_sides_are_the_smallest_allowed(sides: Sides) -> None:
    for size in SIZES:
        allowed = [
            (height, width)
            for height in range(size[0], 40)
            for width in range(size[1], 40)
            if height % sides.multiple == width % sides.multiple == 0
            and min(height, width) >= sides.minimum
            and (height == width or not sides.square)
        ]
        assert sides.fit(*size) == min(allowed)
        image = torch.rand(1, 2, *size)
        assert pad_to_multiple(image, sides).shape[-2:] == min(allowed)
        assert torch.equal(run_padded(nn.Identity(), image, sides), image)


def test_input_sides_come_from_the_network_or_its_option_block() -> None:
    net = nn.Identity()
    assert input_sides(net) == Sides(1, 1, False)
    assert input_sides(net, {'window_size': 8}) == Sides(8)
    net.size_multiple = 4
    assert input_sides(net, {'window_size': 8}) == Sides(4)
    net.size_minimum, net.size_square = 16, True
    assert input_sides(net) == Sides(4, 16, True)
