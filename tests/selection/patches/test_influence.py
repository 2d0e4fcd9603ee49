"""The influence of patches against gradients of single patches and the scores of whole images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor, nn

from basicsr_ext.errors import DivergenceError, OptionError
from basicsr_ext.selection.influence.batches import Batch, ImageBatches
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.patches.criteria import PatchGrid
from basicsr_ext.selection.patches.influence import PatchInfluence, SomeItems, squared_error
from basicsr_ext.selection.patches.settings import InfluenceSettings

IRCNN = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
EDSR = {
    'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 2, 'img_range': 1.0
}  # fmt: skip


class Pairs:
    """Random pairs, as a dataset."""

    def __init__(self, seed: int, *sizes: tuple[int, int], scale: int = 1) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.opt: dict[str, Any] = {}
        self.pairs = []
        for height, width in sizes:
            lq = torch.rand(3, height // scale, width // scale, generator=generator)
            gt = torch.nn.functional.interpolate(lq[None], scale_factor=scale)[0]
            self.pairs.append((lq, (gt + 0.2 * torch.randn(gt.shape, generator=generator)).clamp(0, 1)))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        lq, gt = self.pairs[index]
        return {'lq': lq, 'gt': gt}


def network(block: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = build_network(dict(block)).double()
    return net


def double(data: Pairs) -> Pairs:
    data.pairs = [(lq.double(), gt.double()) for lq, gt in data.pairs]
    return data


def influence_of(net: nn.Module, train: Pairs, target: Pairs, folder: Path, sides: int = 1, **keys: Any) -> Any:
    return PatchInfluence(net, sides, train, target, InfluenceSettings(**{'iterations': 4, **keys}), 5, folder)


def scores_of(influence: PatchInfluence, folder: Path, tile_size: int | None = None) -> np.ndarray:
    """The scores of whole images by the engine of `rank`."""
    engine = influence.engine
    train, test = (ImageBatches(each.dataset, 2, tile_size) for each in (engine.train, engine.test))
    settings = (squared_error, engine.settings, 5, folder)
    return InfluenceEngine(influence.derivatives, train, test, *settings).scores()[:, 0]


def by_autograd(
    net: Callable[[Tensor], Tensor], parameters: list[Tensor], lq: Tensor, gt: Tensor, grid: PatchGrid, s: Tensor
) -> list[float]:
    """The gradient of the mean squared error of each patch within the whole image, times s."""
    values = []
    for y, x in zip(*(side.tolist() for side in grid.corners()), strict=True):
        error = (net(lq[None])[0] - gt)[:, y : y + grid.size, x : x + grid.size]
        gradient = torch.autograd.grad(error.square().mean(), parameters)
        values.append(float(torch.cat([part.flatten() for part in gradient]) @ s))
    return values


@pytest.mark.parametrize(('block', 'sides', 'scale'), [(IRCNN, 1, 1), (EDSR, 1, 2), (IRCNN, 16, 1)])
@pytest.mark.parametrize('forward_mode', [True, False])
def test_a_patch_is_the_gradient_of_its_error_along_the_direction(
    tmp_path: Path, block: dict[str, Any], sides: int, scale: int, forward_mode: bool
) -> None:
    """Patches overlap, and end before the image does; images are padded to what the network asks for."""

    def padded(image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        output: Tensor = net(nn.functional.pad(image, (0, -width % sides, 0, -height % sides), mode='reflect'))
        return output[..., : scale * height, : scale * width]

    net, train = network(block), double(Pairs(1, (16, 20), (20, 16), (16, 20), scale=scale))
    influence = influence_of(net, train, double(Pairs(2, (16, 16), scale=scale)), tmp_path, sides)
    influence.derivatives.forward_mode = forward_mode
    influence.solve()
    for lq, gt in train.pairs[:1]:
        grid = PatchGrid(*gt.shape[1:], 10, 6)
        parameters = influence.derivatives.parameters
        expected = np.array(by_autograd(padded, parameters, lq, gt, grid, influence.direction)) / 3
        found = influence(lq, gt, grid)
        assert found.dtype == np.float64 and found.shape == (len(grid),)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize('tile_size', [None, 16])
def test_the_mean_over_a_tiling_is_the_score_of_the_image(tmp_path: Path, tile_size: int | None) -> None:
    """With tiles too, where these do not overlap."""
    train, target = double(Pairs(1, (16, 32), (16, 16))), double(Pairs(2, (16, 16)))
    influence = influence_of(network(IRCNN), train, target, tmp_path / 'patches', tile_size=tile_size)
    influence.solve()
    rtol = 1e-9 if tile_size is None else 1e-6  # the weights of tiles are float32
    means = [influence(lq, gt, PatchGrid(*gt.shape[1:], 8, 8)).mean() for lq, gt in train.pairs]
    np.testing.assert_allclose(means, scores_of(influence, tmp_path / 'images', tile_size), rtol=rtol)


def test_a_pixel_of_several_tiles_counts_with_their_mean(tmp_path: Path) -> None:
    """Tiles of 12 cover a side of 20 from 0 and from 8 on."""
    net, train = network(IRCNN), double(Pairs(1, (12, 20)))
    influence = influence_of(net, train, train, tmp_path, tile_size=12)
    influence.solve()
    lq, gt = train.pairs[0]
    derivative = torch.zeros(2, 12, 20, dtype=torch.float64)
    for number, left in enumerate((0, 8)):
        part, there = lq[None, :, :, left : left + 12], gt[:, :, left : left + 12]
        batch = Batch(part, there[None], torch.zeros(1, dtype=torch.long), torch.ones(1))
        output, moved = influence.derivatives.moved_output(batch, influence.direction)
        derivative[number, :, left : left + 12] = (2 * (output[0] - there) * moved[0]).sum(0)
    expected = derivative[0] + derivative[1]
    expected[:, 8:12] /= 2
    np.testing.assert_allclose(
        influence(lq, gt, PatchGrid(12, 20, 4, 4)).reshape(3, 5),
        expected.reshape(3, 4, 5, 4).mean((1, 3)) / 3,
        rtol=1e-9,
    )


def test_positive_helps(tmp_path: Path) -> None:
    """A bias that is fitted to two images: a part that agrees with the target helps, one that does not harms."""

    class Bias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.bias

    train, target = Pairs(0, (8, 16)), Pairs(0, (8, 8))
    lq, gt = torch.zeros(3, 8, 16, dtype=torch.float64), torch.full((3, 8, 16), 0.7, dtype=torch.float64)
    gt[..., 8:] = 0.3
    train.pairs, target.pairs = [(lq, gt)], [(lq[..., :8], gt[..., :8])]
    influence = influence_of(Bias(), train, target, tmp_path, damping=0.0)
    influence.solve()
    # g_target = 2 (0.5 - 0.7), the curvature of the squared error is 2, and g_patch = 2 (0.5 - y).
    np.testing.assert_allclose(influence(lq, gt, PatchGrid(8, 16, 8, 8)), [0.4 * 0.4 / 2, -0.4 * 0.4 / 2], rtol=1e-6)


def test_what_is_solved_is_read_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, target = Pairs(1, (16, 16)), Pairs(2, (16, 16))
    first, second = (influence_of(network(IRCNN), double(train), double(target), tmp_path) for _ in range(2))
    chosen = first.solve()
    assert chosen['products'] == 4 and len(chosen['damping']) == 1
    monkeypatch.setattr(InfluenceEngine, 'direction', None)
    assert second.solve() == chosen
    assert torch.equal(second.direction, first.direction)


def test_images_that_are_left_out_do_not_count(tmp_path: Path) -> None:
    train, target = double(Pairs(1, (16, 16), (24, 16), (16, 24))), double(Pairs(2, (16, 16)))
    some = SomeItems(train, [0, 2])
    alone = double(Pairs(0))
    alone.pairs = [train.pairs[0], train.pairs[2]]
    found = []
    for number, images in enumerate((some, alone)):
        influence = influence_of(network(IRCNN), images, target, tmp_path / str(number))
        influence.solve()
        found.append(influence(*train.pairs[2], PatchGrid(16, 24, 8, 8)))
    assert (found[0] == found[1]).all()


def test_a_network_that_does_not_fit_the_target_is_refused(tmp_path: Path) -> None:
    train, target = double(Pairs(1, (16, 16))), double(Pairs(2, (16, 16)))
    target.pairs = [(lq[:1], gt[:1]) for lq, gt in target.pairs]
    influence = influence_of(network(IRCNN), train, target, tmp_path)
    with pytest.raises(OptionError, match='datasets.test: expected input that IRCNN takes'):
        influence.check(*train.pairs[0], PatchGrid(16, 16, 8, 8))


@pytest.mark.parametrize('damping', [-1.0, float('inf')])
def test_a_damping_out_of_bounds_is_refused(damping: float) -> None:
    with pytest.raises(OptionError, match='damping: expected different numbers of at least 0, or auto'):
        InfluenceSettings(damping=damping)


def test_an_error_of_the_solver_names_the_block_of_the_patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(engine: InfluenceEngine) -> None:
        raise DivergenceError('damping 0', 'a positive matrix', 'another', 'Raise rank.damping.')

    monkeypatch.setattr(InfluenceEngine, 'direction', fail)
    influence = influence_of(network(IRCNN), double(Pairs(1, (16, 16))), double(Pairs(2, (16, 16))), tmp_path)
    with pytest.raises(DivergenceError, match=r'Raise mine\.influence\.damping'):
        influence.solve()
