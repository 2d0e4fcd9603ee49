"""The losses of dataset distillation: known values, closed forms, plain loops, derivatives."""

import pytest
import torch
from basicsr.losses import build_loss
from torch import Tensor
from torch.autograd import gradcheck
from torch.distributions import Independent, Normal, kl_divergence

from basicsr_ext.alignment.gaussian_kl import channel_statistics, gaussian_kl
from basicsr_ext.errors import OptionError
from basicsr_ext.losses.feature_kl_loss import FeatureKLLoss, feature_kl_loss
from basicsr_ext.losses.gradient_matching_loss import GradientMatchingLoss, gradient_matching_loss


def tensors(*shapes: tuple[int, ...], grad: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, dtype=torch.float64, generator=generator, requires_grad=grad) for s in shapes]


SHAPES = [(4, 3), (4,), (2, 3, 3, 3)]


# ---- gradients ----


@pytest.mark.parametrize(
    ('other', 'value'), [([3.0, 0.0], 0), ([0.0, 5.0], 1), ([-0.1, 0.0], 2), ([1.0, 1.0], 1 - 2**-0.5)]
)
def test_known_values(other: list[float], value: float) -> None:
    gradient = torch.tensor([2.0, 0.0])
    assert gradient_matching_loss(gradient, torch.tensor(other)).item() == pytest.approx(value, abs=1e-7)
    # Split into two tensors the same numbers make the same vector.
    first, second = ([t[:1], t[1:]] for t in (gradient, torch.tensor(other)))
    assert gradient_matching_loss(first, second).item() == pytest.approx(value, abs=1e-7)


def test_equal_orthogonal_and_opposite_gradients_of_many_tensors() -> None:
    gradients = tensors(*SHAPES)
    assert gradient_matching_loss(gradients, [3 * t for t in gradients]).item() == pytest.approx(0, abs=1e-12)
    assert gradient_matching_loss(gradients, [-t for t in gradients]).item() == pytest.approx(2)
    assert gradient_matching_loss(gradients, gradients, per_layer=True).item() == pytest.approx(0, abs=1e-12)
    assert gradient_matching_loss(gradients, [-t for t in gradients], per_layer=True).item() == pytest.approx(6)
    apart = [torch.cat([t, torch.zeros_like(t)]) for t in gradients], [torch.cat([0 * t, t]) for t in gradients]
    assert gradient_matching_loss(*apart).item() == pytest.approx(1)
    assert gradient_matching_loss(*apart, per_layer=True).item() == pytest.approx(3)


@pytest.mark.parametrize('per_layer', [False, True])
def test_it_is_the_cosine_of_a_plain_computation(per_layer: bool) -> None:
    first, second = tensors(*SHAPES), tensors(*SHAPES, *SHAPES)[3:]
    parts = list(zip(first, second, strict=True))
    if not per_layer:
        parts = [(torch.cat([t.flatten() for t in first]), torch.cat([t.flatten() for t in second]))]
    expected = sum(1 - (a * b).sum() / ((a**2).sum() * (b**2).sum()).sqrt() for a, b in parts)
    torch.testing.assert_close(gradient_matching_loss(first, second, per_layer), expected)
    loss = build_loss({'type': 'GradientMatchingLoss', 'per_layer': per_layer, 'loss_weight': 0.3})
    assert isinstance(loss, GradientMatchingLoss)
    torch.testing.assert_close(loss(first, second), 0.3 * expected)


@pytest.mark.parametrize('per_layer', [False, True])
def test_the_derivative_of_gradient_matching(per_layer: bool) -> None:
    inputs, targets = tensors(*SHAPES, grad=True), tensors(*SHAPES, *SHAPES)[3:]
    assert gradcheck(lambda *gradients: gradient_matching_loss(gradients, targets, per_layer), inputs)
    assert gradcheck(lambda *others: gradient_matching_loss(targets, others, per_layer), inputs)


@pytest.mark.parametrize('per_layer', [False, True])
@pytest.mark.parametrize('zero', ['first', 'second', 'both'])
def test_a_gradient_of_zero_counts_as_orthogonal(zero: str, per_layer: bool) -> None:
    first, second = torch.ones(3), torch.ones(3)
    first = torch.zeros(3) if zero != 'second' else first
    second = torch.zeros(3) if zero != 'first' else second
    first.requires_grad_()
    loss = gradient_matching_loss([first], [second], per_layer)
    loss.backward()
    assert loss.item() == 1
    assert first.grad is not None and not first.grad.any()


def test_one_tensor_of_zeros_among_others_is_harmless() -> None:
    first = [torch.zeros(2, requires_grad=True), torch.ones(3, requires_grad=True)]
    second = [torch.ones(2), torch.tensor([1.0, 2.0, 3.0])]
    gradient_matching_loss(first, second).backward()
    assert all(t.grad is not None and t.grad.isfinite().all() and t.grad.any() for t in first)


@pytest.mark.parametrize('second', [[], [torch.ones(3)], [torch.ones(3), torch.ones(1, 2)]])
def test_gradients_that_differ_in_shape_are_refused(second: list[Tensor]) -> None:
    with pytest.raises(OptionError, match=r'expected gradients of equal shapes, got \[\(3,\), \(2,\)\] and \['):
        gradient_matching_loss([torch.ones(3), torch.ones(2)], second)


# ---- features ----


def test_the_divergence_of_two_gaussians() -> None:
    one, zero = torch.ones(1), torch.zeros(1)
    assert gaussian_kl(one, one, zero, one).item() == 0.5
    assert gaussian_kl(torch.ones(4), torch.ones(4), torch.zeros(4), torch.ones(4)).item() == 2  # the sum over channels
    assert gaussian_kl(one, 2 * one, one, 2 * one).item() == 0


def test_it_is_that_of_torch_distributions() -> None:
    mean, log_var, target_mean, target_log_var = tensors(*[(5,)] * 4)
    var, target_var = log_var.exp(), target_log_var.exp()
    expected = kl_divergence(
        Independent(Normal(mean, var.sqrt()), 1), Independent(Normal(target_mean, target_var.sqrt()), 1)
    )
    torch.testing.assert_close(gaussian_kl(mean, var, target_mean, target_var), expected)


@pytest.mark.parametrize('shape', [(6, 3, 4, 5), (6, 3)])
def test_statistics_are_those_of_a_loop(shape: tuple[int, ...]) -> None:
    (features,) = tensors(shape)
    mean, var = channel_statistics(features)
    for channel in range(3):
        values = [float(v) for v in features[:, channel].flatten()]
        middle = sum(values) / len(values)
        assert mean[channel].item() == pytest.approx(middle)
        assert var[channel].item() == pytest.approx(sum((v - middle) ** 2 for v in values) / len(values))


def test_statistics_taken_once_give_the_same_loss() -> None:
    features, target = tensors((2, 3, 4, 4), (5, 3, 2, 2))
    loss = build_loss({'type': 'FeatureKLLoss', 'loss_weight': 2})
    assert isinstance(loss, FeatureKLLoss)
    expected = 2 * gaussian_kl(*channel_statistics(features), *channel_statistics(target))
    torch.testing.assert_close(loss(features, target), expected)
    assert loss(features, features).item() == 0


@pytest.mark.parametrize('shapes', [[(2, 3, 3, 2), (3, 3, 2, 2)], [(4, 3), (5, 3)]])
def test_the_derivative_of_the_divergence(shapes: list[tuple[int, ...]]) -> None:
    assert gradcheck(feature_kl_loss, tensors(*shapes, grad=True))


def test_a_constant_channel_stays_finite() -> None:
    features = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = FeatureKLLoss()(features, torch.ones(2, 3, 4, 4))
    loss.backward()
    assert loss.isfinite() and features.grad is not None and features.grad.isfinite().all()


def test_features_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(OptionError, match='expected features of as many channels, got 3 and 4'):
        feature_kl_loss(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(OptionError, match=r'expected features N x C x H x W or N x C, got \(3,\)'):
        channel_statistics(torch.ones(3))
    with pytest.raises(OptionError, match='FeatureKLLoss.eps: expected a positive number, got 0'):
        FeatureKLLoss(eps=0)
