"""Restore images region by region with any network."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference.adaptive import ExitNetwork, restore_adaptively, restore_as_planned, restore_regularly
from basicsr_ext.inference.exit_costs import known_costs
from basicsr_ext.inference.planning import Planner
from basicsr_ext.inference.regions import Place, RegionGrid
from basicsr_ext.inference.settings import InferenceSettings
from basicsr_ext.networks.tiling import evaluating

PLANNED_PIXELS = 2**22  # of regions whose features are kept until their exits are planned
Runner = Callable[[Iterable[Tensor], list[list[Place]]], Iterable[tuple[Tensor, Tensor]]]


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
    like = next((p for p in net.parameters() if p.is_floating_point()), image)
    grid = settings.grid(image.shape[2], image.shape[3])
    run = _runner(net, settings, grid, image.shape[1])
    exits = torch.ones(len(image), *grid.shape, dtype=torch.long)
    total, scaled = image.new_empty(0), grid
    with evaluating(net):
        for group in _groups(grid, len(image), settings.batch_limit(like.device.type)):
            batches = (grid.cut(image, places).to(like) for places in group)
            for places, (regions, depths) in zip(group, run(batches, group), strict=True):
                if not total.numel():
                    scale = regions.shape[-1] // grid.columns.size
                    scaled = grid.scaled(scale)
                    size = scaled.rows.length, scaled.columns.length
                    total = image.new_zeros(len(image), regions.shape[1], *size)
                scaled.add(total, regions.to(total), places)
                exits[tuple(zip(*places, strict=True))] = depths.cpu()
    return Restored(total, exits, scaled)


def _groups(grid: RegionGrid, images: int, limit: int) -> Iterator[list[list[Place]]]:
    """Batches of regions, as many together as a plan of exits is made for."""
    height, width = grid.region_size
    group: list[list[Place]] = []
    for places in grid.batches(images, limit):
        group.append(places)
        if sum(map(len, group)) * height * width >= PLANNED_PIXELS:
            yield group
            group = []
    if group:
        yield group


def _runner(net: nn.Module, settings: InferenceSettings, grid: RegionGrid, channels: int) -> Runner:
    """The function that gives the restored images and the exits, (N,), of each of some batches at these places."""
    if not isinstance(net, ExitNetwork):
        if settings.pointer is not None or settings.adaptive is not None:
            raise OptionError(
                'pointer, adaptive', 'a network that has exits, as FlexIR', 'one that has none', 'Remove them.'
            )
        return lambda batches, group: ((net(images), torch.ones(len(images), dtype=torch.long)) for images in batches)
    last = net.pointer if settings.pointer is None else settings.pointer
    if last > net.num_branches:
        raise OptionError('pointer', f'at most {net.num_branches}', last, 'Correct the value.')
    adaptive = settings.adaptive
    if adaptive is None:
        return lambda batches, group: (
            (restore_regularly(net, images, last), torch.full((len(images),), last)) for images in batches
        )
    if adaptive.budget is None:
        return lambda batches, group: (restore_adaptively(net, images, adaptive, last) for images in batches)
    planner = Planner(adaptive, grid, known_costs(net, channels, grid.region_size), last)
    return lambda batches, group: restore_as_planned(
        net, batches, adaptive, partial(planner.plan, images=[image for places in group for image, _, _ in places])
    )
