"""The loss of a network on patches against a loop over single patches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor, nn
from torch.nn import functional

from basicsr_ext.selection.patches.criteria import PatchGrid
from basicsr_ext.selection.patches.losses import PatchLosses

IRCNN = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
EDSR = {
    'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 2, 'img_range': 1.0
}  # fmt: skip
RESTORMER = {
    'type': 'Restormer', 'num_in_ch': 3, 'num_out_ch': 3, 'dim': 8, 'num_blocks': [1, 1, 1, 1], 'heads': [1, 1, 2, 2]
}  # fmt: skip


def network(block: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = build_network(dict(block)).eval()
    return net


def images(height: int, width: int, scale: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height)
    lq = torch.rand(3, height // scale, width // scale, generator=generator)
    return lq, torch.rand(3, height, width, generator=generator)


@torch.no_grad()
def one_by_one(net: Callable[[Tensor], Tensor], lq: Tensor, gt: Tensor, grid: PatchGrid, scale: int = 1) -> list[float]:
    losses = []
    for top, left in zip(*(side.tolist() for side in grid.corners()), strict=True):
        bottom, right = top + grid.size, left + grid.size
        patch = lq[None, :, top // scale : bottom // scale, left // scale : right // scale]
        error = net(patch)[0].double() - gt[:, top:bottom, left:right].double()
        losses.append(float((error**2).mean()))
    return losses


@pytest.mark.parametrize('batch_size', [1, 4, 9, 32])
@pytest.mark.parametrize('edge', [False, True])
def test_equals_the_loop(batch_size: int, edge: bool) -> None:
    """9 patches, or 16 with those at the edge."""
    net, grid = network(IRCNN), PatchGrid(40, 37, 12, 10, edge)
    found = PatchLosses(net, batch_size=batch_size)(*images(40, 37), grid)
    assert found.dtype == np.float64 and found.shape == (len(grid),) == ((16 if edge else 9),)
    np.testing.assert_allclose(found, one_by_one(net, *images(40, 37), grid), rtol=1e-6)


@pytest.mark.parametrize('batch_size', [3, 32])
@pytest.mark.parametrize('edge', [False, True])
def test_patches_of_the_input_are_smaller_by_the_scale(batch_size: int, edge: bool) -> None:
    net, grid = network(EDSR), PatchGrid(40, 34, 12, 10, edge)
    found = PatchLosses(net, batch_size=batch_size)(*images(40, 34, 2), grid)
    np.testing.assert_allclose(found, one_by_one(net, *images(40, 34, 2), grid, scale=2), rtol=1e-6)


def test_patches_are_padded_to_what_the_network_needs() -> None:
    """Sides of 12 for a Restormer, which takes multiples of 8."""
    net, grid = network(RESTORMER), PatchGrid(30, 26, 12, 7)

    def padded(patch: Tensor) -> Tensor:
        output: Tensor = net(functional.pad(patch, (0, 4, 0, 4), mode='reflect'))
        return output[..., :12, :12]

    found = PatchLosses(net, sides=8)(*images(30, 26), grid)
    np.testing.assert_allclose(found, one_by_one(padded, *images(30, 26), grid), rtol=1e-5)


def test_nothing_around_a_patch_is_seen() -> None:
    net, grid = network(IRCNN), PatchGrid(24, 24, 8, 8)
    lq, gt = images(24, 24)
    before = PatchLosses(net)(lq, gt, grid)
    lq[:, :8], gt[:, :8], lq[:, 16:], gt[:, 16:] = 0, 1, 1, 0
    after = PatchLosses(net)(lq, gt, grid)
    np.testing.assert_allclose(after[3:6], before[3:6], rtol=1e-6)
    assert not np.isclose(after[:3], before[:3]).any() and not np.isclose(after[6:], before[6:]).any()


class Plain(nn.Module):
    """The input itself, and whether it was called for training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.calls: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((self.training, torch.is_grad_enabled()))
        return x * self.weight


def test_known_values() -> None:
    """gt - lq is 0.5 in the left half and 0 in the right one."""
    lq, gt = torch.zeros(1, 8, 16), torch.zeros(1, 8, 16)
    gt[..., :8] = 0.5
    net = Plain().train()
    assert PatchLosses(net)(lq, gt, PatchGrid(8, 16, 8, 4)).tolist() == [0.25, 0.125, 0.0]
    assert net.calls == [(False, False)]


def test_mixed_precision_is_close() -> None:
    net, grid = network(IRCNN), PatchGrid(40, 37, 12, 10)
    exact, mixed = (PatchLosses(net, bfloat16=flag)(*images(40, 37), grid) for flag in (False, True))
    np.testing.assert_allclose(mixed, exact, rtol=0.02)
    assert (mixed != exact).any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_gives_the_losses_of_the_cpu() -> None:
    net, grid = network(IRCNN), PatchGrid(40, 37, 12, 10)
    expected = PatchLosses(net)(*images(40, 37), grid)
    np.testing.assert_allclose(PatchLosses(net.cuda())(*images(40, 37), grid), expected, rtol=1e-3)
