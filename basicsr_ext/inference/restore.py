"""Restore images region by region with any network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference.adaptive import ExitNetwork, restore_adaptively, restore_regularly
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.inference.settings import InferenceSettings
from basicsr_ext.networks.tiling import evaluating


@dataclass(frozen=True)
class Restored:
    """Images and how they were restored.

    Attributes:
        image: N x C x (H scale) x (W scale), not clipped.
        exits: the exit of each region, N x rows x columns, from 1; 1 for a network without exits.
        grid: the regions in the restored image.
    """

    image: Tensor
    exits: Tensor
    grid: RegionGrid


@torch.no_grad()
def restore(net: nn.Module, image: Tensor, settings: InferenceSettings) -> Restored:
    """Cut images into regions, restore those in batches, and blend them.

    The images may be on another device than the network and of another precision: only a batch of regions is moved.

    Args:
        net: with the methods of ExitNetwork, as FlexIR, for `pointer` and `adaptive`; otherwise any network that maps
            N x C x h x w to N x C' x (h scale) x (w scale). It is run in evaluation mode.
        image: N x C x H x W, RGB or grey, [0, 1].
        settings: regions, pointer, threshold.

    Raises:
        OptionError: the network has no exits, or fewer than `pointer`.
        DataError: no image.
    """
    if image.ndim != 4 or not image.is_floating_point() or not image.numel():
        raise DataError(
            'restore',
            'floating-point images, N x C x H x W',
            f'{image.dtype}, {tuple(image.shape)}',
            'Divide 8-bit images by 255 and add a dimension to a single one.',
        )
    run = _runner(net, settings)
    like = next((p for p in net.parameters() if p.is_floating_point()), image)
    grid = settings.grid(image.shape[2], image.shape[3])
    exits = torch.ones(len(image), *grid.shape, dtype=torch.long)
    total, scaled = image.new_empty(0), grid
    with evaluating(net):
        for places in grid.batches(len(image), settings.batch_limit(like.device.type)):
            regions, depths = run(grid.cut(image, places).to(like))
            if not total.numel():
                scale = regions.shape[-1] // grid.columns.size
                scaled = grid.scaled(scale)
                size = scaled.rows.length, scaled.columns.length
                total = image.new_zeros(len(image), regions.shape[1], *size)
            scaled.add(total, regions.to(total), places)
            exits[tuple(zip(*places, strict=True))] = depths.cpu()
    return Restored(total, exits, scaled)


def _runner(net: nn.Module, settings: InferenceSettings) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The function that gives the restored images and the exits, (N,), of a batch."""
    if not isinstance(net, ExitNetwork):
        if settings.pointer is not None or settings.adaptive is not None:
            raise OptionError(
                'pointer, adaptive', 'a network that has exits, as FlexIR', 'one that has none', 'Remove them.'
            )
        return lambda images: (net(images), torch.ones(len(images), dtype=torch.long))
    last = net.pointer if settings.pointer is None else settings.pointer
    if last > net.num_branches:
        raise OptionError('pointer', f'at most {net.num_branches}', last, 'Correct the value.')
    adaptive = settings.adaptive
    if adaptive is None:
        return lambda images: (restore_regularly(net, images, last), torch.full((len(images),), last))
    return lambda images: restore_adaptively(net, images, adaptive, last)
