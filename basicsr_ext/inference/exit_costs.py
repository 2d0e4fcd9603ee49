"""The cost of leaving a network by each of its exits."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import accumulate
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.networks.described import CuttableNetwork
from basicsr_ext.networks.macs import full_macs


@dataclass(frozen=True)
class ExitCosts:
    """Multiply-accumulates (MACs) a pixel, in parts of those of the full network, which leaves by its last exit.

    Attributes:
        regular: of leaving by the exits 1 to n, the others not being computed.
        adaptive: the same when the tails of all exits passed are computed too, as their scores need them.
        window: sides are extended to multiples of it before they are computed.
    """

    regular: tuple[float, ...]
    adaptive: tuple[float, ...]
    window: int

    def pixels(self, height: int, width: int) -> int:
        """The number of pixels that are computed for an image or region of this size."""
        return -(-height // self.window) * -(-width // self.window) * self.window**2

    def share(self, grid: RegionGrid) -> float:
        """The pixels computed for a region, in parts of those of the whole image."""
        return self.pixels(*grid.region_size) / self.pixels(grid.rows.length, grid.columns.length)

    def fraction(self, grid: RegionGrid, exits: Tensor, tails_passed: bool) -> float:
        """MACs of an image in parts of those of the full network on the whole image.

        Regions that overlap, or that windows do not divide, make it larger.

        Args:
            grid: regions of the input.
            exits: rows x columns, from 1.
            tails_passed: whether the tails of the exits passed were computed, as a threshold needs them.
        """
        each = torch.tensor(self.adaptive if tails_passed else self.regular, dtype=torch.float64)
        return float(each[exits.cpu() - 1].sum()) * self.share(grid)


_known: WeakKeyDictionary[ExitNetwork, dict[tuple[int, int, int], ExitCosts]] = WeakKeyDictionary()


def known_costs(net: ExitNetwork, channels: int, size: tuple[int, int]) -> ExitCosts:
    """As `exit_costs`, which counts once for a network, channels and size."""
    counted = _known.setdefault(net, {})
    key = (channels, *_tile(net, size))
    if key not in counted:
        counted[key] = exit_costs(net, channels, size)
    return counted[key]


def exit_costs(net: ExitNetwork, channels: int, size: tuple[int, int]) -> ExitCosts:
    """Count the MACs of every exit as `full_macs` does, attention products included.

    Args:
        net: FlexIR, or another network with exits; it is copied.
        channels: of its input.
        size: height and width of a region, for networks that do not work window by window.
    """
    window, tile = getattr(net, 'window_size', 1), _tile(net, size)
    image = torch.zeros(1, channels, *tile)
    plain = cast(ExitNetwork, deepcopy(cast(nn.Module, net)).cpu().float().eval())
    if hasattr(plain, 'plain'):
        plain.plain = True  # BasicSR's own layers, as the tables of complexity count
    stages, tails = [], []
    with torch.no_grad():
        state = plain.begin(image)
        first = _macs(plain, lambda given: plain.restore(plain.step(plain.begin(given))), image)
        for _ in range(plain.num_branches):
            before, state = state, plain.step(state)
            after = state
            stages.append(_macs(plain, lambda _: plain.restore(plain.step(before)), image))  # noqa: B023  called here
            tails.append(_macs(plain, lambda _: plain.restore(after), image))  # noqa: B023
    adaptive = list(accumulate(stages, initial=first - stages[0]))[1:]
    passed = accumulate(tails[:-1], initial=0)
    regular = [cost - others for cost, others in zip(adaptive, passed, strict=True)]
    full = regular[-1]
    return ExitCosts(tuple(cost / full for cost in regular), tuple(cost / full for cost in adaptive), window)


def _tile(net: ExitNetwork, size: tuple[int, int]) -> tuple[int, int]:
    """The size of what is counted: a window, for networks that do the same in each."""
    return net.equal_part(*size)[0] if isinstance(net, CuttableNetwork) else size


class _Part(nn.Module):
    """A part of a network, which shares its layers."""

    def __init__(self, net: nn.Module, work: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.work = net, work

    def forward(self, image: Tensor) -> Tensor:
        return self.work(image)


def _macs(net: ExitNetwork, work: Callable[[Tensor], Tensor], image: Tensor) -> int:
    return full_macs(_Part(cast(nn.Module, net), work), image)
