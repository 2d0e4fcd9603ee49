"""The size of the scores: what leaving an image out of the training of a linear network really changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.losses import build_loss
from torch import Tensor, nn

from basicsr_ext.selection.coreset.prediction import first_order, second_order
from basicsr_ext.selection.influence.batches import ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss, per_image, smooth_loss
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.feature_engine import FeatureEngine
from basicsr_ext.selection.influence.loss_curvature import mean_curvature, second_derivatives, sums_of_curvature
from basicsr_ext.selection.influence.settings import RankSettings
from tests.selection.influence.test_features import features
from tests.selection.influence.test_influence import Images, Pair, design, linear_net, linear_pairs

IMAGES, SIZE, NOISE = 40, (16, 16), 0.2
EPS = 0.01  # added to the square by CharbonnierLoss: its curvature is eps / (d^2 + eps)^1.5
OF_PIXELS: dict[str, tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = {  # the loss, and what it adds up
    'mse': ({'type': 'MSELoss'}, lambda d: d**2),
    'weighted': ({'type': 'MSELoss', 'loss_weight': 2}, lambda d: 2 * d**2),
    'sum': ({'type': 'MSELoss', 'reduction': 'sum'}, lambda d: 256 * d**2),
    'charbonnier': ({'type': 'CharbonnierLoss', 'eps': EPS}, lambda d: (d**2 + EPS).sqrt()),
    'smooth': ({}, lambda d: d**2 / 2),
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(1)


def loss_of(name: str) -> ImageLoss:
    block, _ = OF_PIXELS[name]
    return per_image(build_loss(block)) if block else smooth_loss


def stacked(pairs: list[Pair]) -> tuple[Tensor, Tensor]:
    return torch.stack([design(lq) for lq, _ in pairs]), torch.stack([gt.flatten() for _, gt in pairs])


def trained(pairs: list[Pair], of_pixel: Callable[[Tensor], Tensor]) -> Tensor:
    """The weights with the least mean loss, by Newton's method."""
    matrix, gt = stacked(pairs)
    weight = torch.linalg.lstsq(matrix.flatten(0, 1), gt.flatten()).solution
    for _ in range(12):
        residual = ((matrix @ weight) - gt).requires_grad_()
        (first,) = torch.autograd.grad(of_pixel(residual).sum(), residual, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), residual)
        hessian = torch.einsum('npi,np,npj->ij', matrix, second, matrix)
        step = torch.linalg.solve(hessian, torch.einsum('npi,np->i', matrix, first.detach()))
        weight = weight - step
    assert step.norm() < 1e-12
    return weight


def images() -> tuple[list[Pair], list[Pair]]:
    """Of a training and of a target, whose networks differ, so that moving the weights matters to first order."""
    truth = torch.randn(9, dtype=torch.float64) / 3
    train = linear_pairs(IMAGES, truth, noise=NOISE, sizes=[SIZE])
    return train, linear_pairs(8, truth + 0.05 * torch.randn(9, dtype=torch.float64), noise=NOISE, sizes=[SIZE])


def made(kind: Any, name: str, train: list[Pair], test: list[Pair], weight: Tensor, folder: Path, **keys: Any) -> Any:
    settings = RankSettings(curvature_images=None, **{'damping': 0.0, **keys})
    batches = [ImageBatches(Images(pairs), 8) for pairs in (train, test)]
    return kind(Derivatives(linear_net(weight)), *batches, loss_of(name), settings, 5, folder)


@pytest.mark.parametrize(
    ('name', 'solver'), [*((name, 'gauss_newton') for name in OF_PIXELS), ('mse', 'cg'), ('mse', 'stochastic')]
)
def test_the_score_is_the_rise_of_the_mean_loss_without_the_image(tmp_path: Path, name: str, solver: str) -> None:
    """Up to n / (n - 1), as the mean of n - 1 losses has n / (n - 1) of their weight."""
    train, test = images()
    _, of_pixel = OF_PIXELS[name]
    matrix, gt = stacked(test)

    def target_loss(weight: Tensor) -> float:
        return of_pixel(matrix @ weight - gt).mean().item()

    whole = trained(train, of_pixel)
    without = [trained(train[:left] + train[left + 1 :], of_pixel) for left in range(IMAGES)]
    true = np.array([target_loss(weight) for weight in without]) - target_loss(whole)
    keys = {'times': 20 * IMAGES, 'scale': 100.0} if solver == 'stochastic' else {}
    found = made(InfluenceEngine, name, train, test, whole, tmp_path, solver=solver, **keys)
    predicted = found.scores()[:, 0] * IMAGES / (IMAGES - 1)
    ratio = (true @ predicted) / (predicted @ predicted)
    assert ratio == pytest.approx(1, abs=0.02)
    assert np.corrcoef(true, predicted)[0, 1] > 0.98


def test_the_curvature_changes_sizes_not_orders(tmp_path: Path) -> None:
    """Twice the squared error moves the weights as it does itself; its rise is twice as large."""
    train, test = images()
    weight = trained(train, lambda d: d**2)
    once, twice = (
        made(InfluenceEngine, name, train, test, weight, tmp_path / name).scores()[:, 0] for name in ('mse', 'weighted')
    )
    np.testing.assert_allclose(twice, 2 * once)


def test_features_predict_in_the_same_unit(tmp_path: Path) -> None:
    """To first order by the scores; to second order with the pool's curvature, as training on a part of it does."""
    train, test = images()
    weight, rows = trained(train, lambda d: d**2), [1, 5, 7, 20, 33]
    scores = made(InfluenceEngine, 'mse', train, test, weight, tmp_path / 'scores').scores()[:, 0]
    space, *_ = features(made(FeatureEngine, 'mse', train, test, weight, tmp_path / 'features'))
    at = space.at(0.0)
    np.testing.assert_allclose(at.influence / IMAGES, scores)
    assert first_order(at, rows) == pytest.approx(-IMAGES * scores[rows].mean())
    (matrix, gt), (target, wanted) = stacked(train), stacked(test)
    hessian = 2 * torch.einsum('npi,npj->ij', matrix, matrix) / gt.numel()
    residual = matrix @ weight - gt
    gradient = 2 * torch.einsum('npi,np->ni', matrix, residual)[rows].mean(0) / gt.shape[1]
    aim = 2 * torch.einsum('npi,np->i', target, target @ weight - wanted) / wanted.numel()
    move = -torch.linalg.solve(hessian, gradient)
    expected = float(aim @ move + move @ hessian @ move / 2)
    assert second_order(at, rows) == pytest.approx(expected)


# ---- the curvature of a loss ----


@pytest.mark.parametrize(
    ('block', 'expected'),
    [
        ({'type': 'MSELoss', 'loss_weight': 3.0}, lambda d: 6 + 0 * d),
        ({'type': 'MSELoss', 'reduction': 'sum'}, lambda d: 2 * 60 + 0 * d),
        ({'type': 'CharbonnierLoss', 'eps': 1e-2}, lambda d: 1e-2 / (d**2 + 1e-2) ** 1.5),
        ({'type': 'L1Loss'}, lambda d: 0 * d),
    ],
)
def test_second_derivatives_of_losses_of_values(block: dict[str, Any], expected: Callable[[Tensor], Tensor]) -> None:
    output, gt = torch.rand(2, 3, 4, 5, dtype=torch.float64), torch.rand(2, 3, 4, 5, dtype=torch.float64)
    found = second_derivatives(per_image(build_loss(block)), output, gt)
    torch.testing.assert_close(found, expected(output - gt))


def test_a_loss_without_a_curvature_of_its_values_has_none() -> None:
    output, gt = torch.rand(2, 1, 6, 6), torch.rand(2, 1, 6, 6)

    def of_differences(output: Tensor, gt: Tensor) -> Tensor:
        return (output - gt).diff(dim=-1).square().flatten(1).mean(1)

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, values: Tensor) -> Tensor:
            return values.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient

    def differentiable_once(output: Tensor, gt: Tensor) -> Tensor:
        return (Once.apply(output) - gt).square().flatten(1).mean(1)

    for loss in (of_differences, differentiable_once, per_image(nn.L1Loss())):
        assert mean_curvature(sums_of_curvature(loss, output, gt, torch.ones(2)) / 2, 2) is None


def test_a_curvature_that_lies_in_a_few_values_is_none() -> None:
    """With its default eps of 1e-12, CharbonnierLoss is bent in one of a million values."""
    output, gt = torch.rand(2, 1, 20, 20), torch.rand(2, 1, 20, 20)
    sharp, soft = (per_image(build_loss({'type': 'CharbonnierLoss', 'eps': eps})) for eps in (1e-12, 1e-2))
    found = [mean_curvature(sums_of_curvature(loss, output, gt, torch.ones(2)) / 2, 2) for loss in (sharp, soft)]
    assert found[0] is None
    expected = 1e-2 / ((output - gt).square() + 1e-2).pow(1.5)
    assert found[1] == pytest.approx(expected.mean().item(), rel=1e-4)
