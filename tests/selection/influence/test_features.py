"""Features of gradients against the scores, dense algebra and the retraining of a linear network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from basicsr_ext.archs.dncnn_arch import DnCNN
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.selection.coreset.prediction import first_order, second_order
from basicsr_ext.selection.influence.batches import ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives, smooth_loss
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.feature_engine import FeatureEngine
from basicsr_ext.selection.influence.gradient_features import GradientFeatures
from basicsr_ext.selection.influence.settings import RankSettings
from tests.selection.influence.test_derivatives import Network, dncnn, make_batch
from tests.selection.influence.test_influence import Images, design, gradient, hessian, linear_net, linear_pairs, mean

SEED = 5


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def engine(net: torch.nn.Module, train: Sequence[Any], test: Sequence[Any], folder: Path, kind: Any, **settings: Any):
    rank = RankSettings(**settings)
    tiling = None if rank.tile_size == 'auto' else rank.tile_size
    batches = [ImageBatches(Images(pairs), rank.batch_size, tiling) for pairs in (train, test)]
    return kind(Derivatives(net), *batches, smooth_loss, rank, SEED, folder)


def features(found: FeatureEngine) -> list[GradientFeatures]:
    with Progress('Ranking', found.work(), unit='derivative') as progress:
        return found.features(progress)


def noisy_pairs(number: int) -> list[tuple[Tensor, Tensor]]:
    clean = torch.rand(number, 1, 12, 14, dtype=torch.float64)
    return [(image + 0.1 * torch.randn_like(image), image) for image in clean]


def test_their_products_with_the_target_are_the_influence(tmp_path: Path) -> None:
    net, train, test = DnCNN(1, 1, num_feat=4, num_layers=3).double(), noisy_pairs(7), noisy_pairs(3)
    options = {'iterations': 6, 'curvature_images': 5, 'tile_size': 8}
    expected = engine(net, train, test, tmp_path / 'scores', InfluenceEngine, damping=[1e-3, 1e-1], **options).scores()
    found = engine(net, train, test, tmp_path / 'features', FeatureEngine, **options)
    space, *_ = features(found)
    for column, damping in enumerate((1e-3, 1e-1)):
        at = space.at(damping)
        assert at.images.shape == (7, 6) and at.targets.shape == (3, 6)
        np.testing.assert_allclose(at.influence / 7, expected[:, column], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose((at.images @ at.targets.T).mean(1), at.influence, rtol=1e-9)


def test_parts_of_the_target_have_spaces_of_their_own(tmp_path: Path) -> None:
    net, train, test = DnCNN(1, 1, num_feat=4, num_layers=3).double(), noisy_pairs(6), noisy_pairs(4)
    found = engine(net, train, test, tmp_path / 'all', FeatureEngine, iterations=5)
    found.parts = [[0, 2], [1, 3]]
    _, *others = features(found)
    for part, space in zip(found.parts, others, strict=True):
        alone = engine(net, train, [test[row] for row in part], tmp_path / str(part), InfluenceEngine, iterations=5)
        scores = alone.scores()[:, 0]
        aimed = space.at(1e-6).aimed_at(part)
        np.testing.assert_allclose(aimed.influence / 6, scores, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize('forward_mode', [True, False])
def test_the_curvature_of_an_image_equals_its_dense_jacobian(forward_mode: bool) -> None:
    network, batch = Network(dncnn), make_batch(size=(5, 6), reach=0.5)
    directions = torch.randn(3, len(network.flat), dtype=torch.float64)
    found = Derivatives(network.net, forward_mode=forward_mode).curvature(batch, directions)
    jacobian = torch.func.jacrev(network.output)(network.flat, batch.lq).flatten(1, 3)
    curved = ((network.output(network.flat, batch.lq) - batch.gt).abs() < 1).flatten(1)
    assert 0 < curved.sum() < curved.numel()
    for row in range(2):
        moved = (jacobian[row] @ directions.T)[curved[row]]
        torch.testing.assert_close(found[row], moved.T @ moved / curved.shape[1])


def test_with_the_curvature_of_a_subset_the_prediction_is_its_retraining(tmp_path: Path) -> None:
    """A linear network trained anew on a subset ends at its least squares; the target's curvature is taken as the
    pool's."""
    truth = torch.randn(9, dtype=torch.float64) / 3
    train, test = linear_pairs(10, truth, noise=0.2), linear_pairs(3, truth)
    pool = mean([hessian(pair) for pair in train])
    right = mean([design(lq).T @ gt.flatten() / lq.numel() for lq, gt in train])
    start = torch.linalg.solve(pool, right)  # trained on the pool
    found = engine(linear_net(start), train, test, tmp_path, FeatureEngine, damping=1e-9, curvature_images=None)
    found.directions = 9
    space, *_ = features(found)
    at = space.at(1e-9)
    for rows in ([0, 1, 2], [3, 5, 7, 9], list(range(10))):
        own = mean([hessian(train[row]) for row in rows])
        move = -torch.linalg.solve(own, mean([gradient(train[row], start) for row in rows]))
        aim = mean([gradient(pair, start) for pair in test])
        expected = float(aim @ move + move @ pool @ move / 2)
        assert second_order(at, rows) == pytest.approx(expected, rel=1e-5, abs=1e-12)
    linear = -float(mean([gradient(train[row], start) for row in [0, 1, 2]]) @ torch.linalg.solve(pool, aim))
    assert first_order(at, [0, 1, 2]) == pytest.approx(linear, rel=1e-5)
