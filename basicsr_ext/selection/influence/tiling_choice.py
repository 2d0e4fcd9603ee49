"""How images are cut for derivatives so that memory is bounded and results are those of whole images."""

from dataclasses import replace
from math import ceil
from typing import Literal

import torch
from basicsr.utils import get_root_logger

from basicsr_ext.networks.reach import FARTHEST, reach_of
from basicsr_ext.networks.tiling import Sides
from basicsr_ext.selection.influence.batches import Tiling
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss

LARGEST = 512  # pixels of the input that are computed together, with margins: so many squared


TileSize = int | Literal['auto'] | None


def tiling_of(tile_size: TileSize, derivatives: Derivatives, channels: int, loss: ImageLoss) -> Tiling | int | None:
    """What `tile_size` of an option file means; `auto` is told in the log."""
    if tile_size != 'auto':
        return tile_size
    tiling = tiling_for(derivatives, channels, loss)
    get_root_logger().info(in_words(tiling))
    return tiling


def tiling_for(derivatives: Derivatives, channels: int, loss: ImageLoss) -> Tiling:
    """Tiles of at most 512 x 512 pixels of the input, with margins as wide as the network looks.

    A network that looks farther than 96 pixels, or at the whole image, and a loss that is no mean over pixels, get
    tiles without margins: their scores are those of tiles.

    Args:
        derivatives: of the network.
        channels: of its input.
        loss: of images.
    """
    sides = derivatives.sides if isinstance(derivatives.sides, Sides) else Sides(derivatives.sides)
    parameter = derivatives.parameters[0]
    image = parameter.new_zeros(1, channels, *sides.fit(8, 8))
    is_mean = _is_mean(loss, derivatives.run(image).shape[1], parameter.device)
    reach = reach_of(derivatives.run, image, sides.multiple) if is_mean and not sides.square else None
    if reach is None:
        return Tiling(LARGEST, None, LARGEST**2)
    margin = ceil(reach / sides.multiple) * sides.multiple
    side = (LARGEST - 2 * margin) // sides.multiple * sides.multiple
    return Tiling(side, margin, LARGEST**2)


def without_margins(tiling: Tiling | int | None) -> Tiling | int | None:
    """The same tiles, alone: what a network is tried on."""
    return replace(tiling, margin=None) if isinstance(tiling, Tiling) else tiling


def in_words(tiling: Tiling) -> str:
    """What is done with large images, for the log."""
    if tiling.margin is None:
        return (
            f'Images of more than {LARGEST} x {LARGEST} pixels are cut into tiles: the network looks farther than '
            f'{FARTHEST} pixels, or the loss is no mean over pixels, so scores are those of tiles. tile_size: ~ takes '
            'whole images.'
        )
    return (
        f'Images of more than {LARGEST} x {LARGEST} pixels are cut into tiles of {tiling.side} pixels; beside each the '
        f'network sees {tiling.margin} pixels, as far as it looks, so that scores are those of whole images.'
    )


def _is_mean(loss: ImageLoss, channels: int, device: torch.device) -> bool:
    """Whether the loss of an image is the mean of those of its halves."""
    generator = torch.Generator().manual_seed(0)
    output, gt = (torch.rand(1, channels, 32, 64, generator=generator).to(device) for _ in range(2))
    whole = loss(output, gt)
    halves = [loss(output[..., columns], gt[..., columns]) for columns in (slice(0, 32), slice(32, 64))]
    return torch.allclose(whole, torch.stack(halves).mean(0), rtol=1e-4)
