"""Tiles with margins give the scores of whole images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor

from basicsr_ext.selection.influence.batches import ImageBatches, Tiling, tiles_of
from basicsr_ext.selection.influence.derivatives import Derivatives, smooth_loss
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.influence.tiling_choice import LARGEST, tiling_for
from tests.selection.influence.test_influence import Images

NETWORKS = {
    'IRCNN': ({'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}, 1, 16),
    'EDSR': ({'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 2}, 2, 7),
}


def pairs(count: int, channels: int, scale: int, height: int, width: int) -> list[tuple[Tensor, Tensor]]:
    return [
        (
            torch.rand(channels, height, width, dtype=torch.float64),
            torch.rand(channels, scale * height, scale * width, dtype=torch.float64),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(('name', 'solver'), [('IRCNN', 'gauss_newton'), ('IRCNN', 'cg'), ('EDSR', 'gauss_newton')])
def test_scores_are_those_of_whole_images(tmp_path: Path, name: str, solver: str) -> None:
    block, scale, margin = NETWORKS[name]
    torch.manual_seed(1)
    net = build_network(dict(block)).double()
    channels = block['num_in_ch']
    train, test = pairs(3, channels, scale, 45, 38), pairs(1, channels, scale, 30, 33)
    settings = RankSettings(iterations=3, solver=solver, damping=0.1)
    scores = {}
    for kind, tiling in (('whole', None), ('tiles', Tiling(16, margin)), ('near', Tiling(16, 1))):
        batches = [ImageBatches(Images(each), 4, tiling) for each in (train, test)]
        engine = InfluenceEngine(Derivatives(net), *batches, smooth_loss, settings, 0, tmp_path / kind)
        scores[kind] = engine.scores()
    np.testing.assert_allclose(scores['tiles'], scores['whole'], rtol=1e-5)  # weights of tiles are float32
    assert np.abs(scores['near'] / scores['whole'] - 1).max() > 1e-4  # what lies farther plays a part


@pytest.mark.parametrize('scale', [1, 3])
def test_tiles_with_margins_cover_every_pixel_once(scale: int) -> None:
    height, width = 21, 34
    lq = torch.arange(height * width, dtype=torch.float32).reshape(1, height, width)
    gt = lq.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    seen, weight = torch.zeros(gt.shape), 0.0
    for tile in tiles_of(lq, gt, Tiling(8, 3)):
        top, left = tile.place
        rows, columns = slice(top, top + tile.gt.shape[1]), slice(left, left + tile.gt.shape[2])
        assert torch.equal(gt[:, rows, columns], tile.gt)
        seen[:, rows, columns] += 1
        weight += tile.weight
        above, before = (start // scale for start in tile.corner)
        assert above == min(3, top // scale) and before == min(3, left // scale)
        inner = tile.lq[:, above:, before:][:, : tile.gt.shape[1] // scale, : tile.gt.shape[2] // scale]
        assert torch.equal(inner.repeat_interleave(scale, 1).repeat_interleave(scale, 2), tile.gt)
    assert (seen == 1).all() and weight == pytest.approx(1)


def test_small_images_are_not_cut() -> None:
    lq = torch.rand(1, 20, 20)
    (tile,) = tiles_of(lq, lq, Tiling(8, 3, above=400))
    assert torch.equal(tile.lq, lq) and tile.weight == 1
    assert len(list(tiles_of(lq, lq, Tiling(8, 3, above=399)))) == 9


def test_margins_are_as_wide_as_the_network_looks() -> None:
    block, _, margin = NETWORKS['IRCNN']
    derivatives = Derivatives(build_network(dict(block)))
    assert tiling_for(derivatives, 1, smooth_loss) == Tiling(LARGEST - 2 * margin, margin, LARGEST**2)
    aligned = tiling_for(Derivatives(derivatives.net, 8), 1, smooth_loss)
    assert aligned.margin == 16 and aligned.side % 8 == 0


def test_where_tiles_cannot_be_exact_they_have_no_margins() -> None:
    derivatives = Derivatives(build_network(dict(NETWORKS['IRCNN'][0])))

    def summed(output: Tensor, gt: Tensor) -> Tensor:
        return (output - gt).square().flatten(1).sum(1)

    assert tiling_for(derivatives, 1, summed).margin is None
