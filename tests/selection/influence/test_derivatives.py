"""Derivatives of losses against dense matrices, finite differences and plain loops."""

from collections.abc import Callable

import pytest
import torch
from basicsr.archs.swinir_arch import SwinIR
from torch import Tensor, nn
from torch.func import functional_call

from basicsr_ext.archs.dncnn_arch import DnCNN
from basicsr_ext.archs.ircnn_arch import IRCNN
from basicsr_ext.archs.restormer_arch import Restormer
from basicsr_ext.networks.tiling import pad_to_multiple
from basicsr_ext.selection.influence.batches import Batch
from basicsr_ext.selection.influence.derivatives import Derivatives, smooth_loss
from tests.helpers.device_cases import AttentionNet

MODES = pytest.mark.parametrize('forward_mode', [True, False])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def conv(num_in: int, num_out: int) -> nn.Conv2d:
    return nn.Conv2d(num_in, num_out, 3, padding=1)


def conv_net() -> nn.Module:
    """105 parameters; its output lies in (-1, 1)."""
    return nn.Sequential(conv(1, 3), nn.Tanh(), conv(3, 2), nn.Softplus(), conv(2, 1), nn.Softsign())


def dncnn() -> nn.Module:
    return DnCNN(1, 1, num_feat=4, num_layers=4)


def dncnn_with_bn() -> nn.Module:
    net = DnCNN(1, 1, num_feat=4, num_layers=4, with_bn=True)
    for _ in range(3):  # running averages that are not 0 and 1
        net(torch.rand(4, 1, 8, 8))
    return net


def ircnn() -> nn.Module:
    return IRCNN(1, 1, num_feat=4)


def restormer() -> nn.Module:
    return Restormer(1, 1, dim=4, num_blocks=(1, 1, 1, 1), heads=(1, 1, 2, 2), num_refinement_blocks=1)


def swinir() -> nn.Module:
    """Two blocks, the second with a shifted window and its mask."""
    return SwinIR(img_size=16, in_chans=1, embed_dim=8, depths=[2], num_heads=[2], window_size=8, mlp_ratio=2)


class Network:
    """A network as a function of one flat vector, written without the package.

    Args:
        build: makes the network.
        multiple: of its input.
        dtype: of its parameters.
    """

    def __init__(self, build: Callable[[], nn.Module], multiple: int = 1, dtype: torch.dtype = torch.float64) -> None:
        self.net, self.multiple = build().to(dtype).eval(), multiple
        self.parameters = {name: p.detach() for name, p in self.net.named_parameters() if p.requires_grad}
        self.flat = torch.cat([parameter.flatten() for parameter in self.parameters.values()])

    def output(self, flat: Tensor, lq: Tensor) -> Tensor:
        named, start = {}, 0
        for name, parameter in self.parameters.items():
            named[name] = flat[start : start + parameter.numel()].reshape(parameter.shape)
            start += parameter.numel()
        restored = functional_call(self.net, named, (pad_to_multiple(lq, self.multiple),))
        return restored[..., : lq.shape[-2], : lq.shape[-1]]

    def total(self, flat: Tensor, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return (loss(self.output(flat, batch.lq), batch.gt) * batch.weights).sum()

    def gradient(self, flat: Tensor, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return torch.func.grad(self.total)(flat, batch, loss)


NETWORKS = {
    'conv': (conv_net, 1),
    'DnCNN': (dncnn, 1),
    'DnCNN with bn': (dncnn_with_bn, 1),
    'IRCNN': (ircnn, 1),
    'Restormer': (restormer, 8),
    'SwinIR': (swinir, 8),
    'fused attention': (AttentionNet, 1),
}
ALL = pytest.mark.parametrize(('build', 'multiple'), NETWORKS.values(), ids=NETWORKS)


def make_batch(size: tuple[int, int] = (12, 20), dtype: torch.dtype = torch.float64, reach: float = 0.0) -> Batch:
    """Two images with uneven weights; with `reach` some residuals are larger than 1."""
    gt = 0.2 + 0.4 * torch.rand(2, 1, *size, dtype=dtype)
    lq = gt + 0.1 * torch.randn_like(gt)
    return Batch(lq, gt + reach * torch.randn_like(gt), torch.tensor([4, 7]), torch.tensor([1.0, 0.3], dtype=dtype))


def l1_loss(output: Tensor, gt: Tensor) -> Tensor:
    return (output - gt).abs().mean(dim=(1, 2, 3))


def relative_error(value: Tensor, expected: Tensor) -> float:
    return ((value - expected).norm() / expected.norm()).item()


# ---- the loss ----


def test_smooth_loss_equals_a_loop_over_pixels() -> None:
    output, gt = 2 * torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    output[0, 0, 0, :3] = gt[0, 0, 0, :3] + torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
    expected, larger = [], 0
    for image in range(2):
        values = []
        for d in (output[image] - gt[image]).flatten().tolist():
            values.append(0.5 * d**2 if abs(d) < 1 else abs(d) - 0.5)
            larger += abs(d) > 1
        expected.append(sum(values) / len(values))
    assert 20 < larger < 100
    torch.testing.assert_close(smooth_loss(output, gt), torch.tensor(expected, dtype=torch.float64))


def test_losses_are_one_number_an_image() -> None:
    network, batch = Network(swinir, 8), make_batch((10, 13))
    with torch.no_grad():
        expected = l1_loss(network.output(network.flat, batch.lq), batch.gt)
    losses = Derivatives(network.net, sides=8).losses(batch, l1_loss)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=0)
    assert not losses.requires_grad


# ---- sums over a batch ----


@ALL
def test_gradient_equals_func_grad(build, multiple: int) -> None:
    for loss in (l1_loss, smooth_loss):
        network, batch = Network(build, multiple), make_batch()
        expected = network.gradient(network.flat, batch, loss)
        derivatives = Derivatives(network.net, multiple)
        assert derivatives.size == len(network.flat)
        assert relative_error(derivatives.gradient(batch, loss), expected) < 1e-10


@MODES
@pytest.mark.parametrize('reach', [0.0, 1.5])
def test_gauss_newton_product_equals_the_dense_matrix(forward_mode: bool, reach: float) -> None:
    network, batch = Network(conv_net), make_batch((5, 6), reach=reach)
    jacobian = torch.func.jacrev(network.output)(network.flat, batch.lq).reshape(2, 30, -1)
    residual = (network.output(network.flat, batch.lq) - batch.gt).reshape(2, 30)
    assert (residual.abs() > 1).any() == (reach > 0)
    dense = torch.zeros(len(network.flat), len(network.flat), dtype=torch.float64)
    for image in range(2):
        for pixel in range(30):
            if abs(residual[image, pixel]) < 1:
                row = jacobian[image, pixel]
                dense += batch.weights[image] * torch.outer(row, row) / 30
    derivatives = Derivatives(network.net, forward_mode=forward_mode)
    for vector in torch.randn(3, len(network.flat), dtype=torch.float64):
        assert relative_error(derivatives.gauss_newton_product(batch, vector), dense @ vector) < 1e-12


@MODES
@pytest.mark.parametrize('reach', [0.0, 1.5])
def test_hessian_product_equals_the_dense_matrix(forward_mode: bool, reach: float) -> None:
    network, batch = Network(conv_net), make_batch((5, 6), reach=reach)
    dense = torch.func.hessian(network.total)(network.flat, batch, smooth_loss)
    derivatives = Derivatives(network.net, forward_mode=forward_mode)
    for vector in torch.randn(3, len(network.flat), dtype=torch.float64):
        product = derivatives.hessian_product(batch, vector)
        assert relative_error(product, dense @ vector) < 1e-12
        assert not product.requires_grad


@ALL
@MODES
def test_products_equal_finite_differences(build, multiple: int, forward_mode: bool) -> None:
    network, batch = Network(build, multiple), make_batch()
    vector = torch.randn_like(network.flat)
    step = 1e-6 / vector.norm()
    with torch.no_grad():
        moved = [network.output(network.flat + sign * step * vector, batch.lq) for sign in (1, -1)]
        curved = (network.output(network.flat, batch.lq) - batch.gt).abs() < 1
    assert curved.float().mean() > 0.9
    weights = batch.weights[:, None, None, None] / batch.gt[0].numel()
    cotangent = (moved[0] - moved[1]) / (2 * step) * curved * weights
    _, pull_back = torch.func.vjp(lambda flat: network.output(flat, batch.lq), network.flat)
    gradients = [network.gradient(network.flat + sign * step * vector, batch, smooth_loss) for sign in (1, -1)]
    derivatives = Derivatives(network.net, multiple, forward_mode=forward_mode)
    assert relative_error(derivatives.gauss_newton_product(batch, vector), pull_back(cotangent)[0]) < 1e-6
    assert relative_error(derivatives.hessian_product(batch, vector), (gradients[0] - gradients[1]) / (2 * step)) < 1e-6


@ALL
def test_gauss_newton_is_symmetric_and_positive(build, multiple: int) -> None:
    network, batch = Network(build, multiple), make_batch()
    derivatives = Derivatives(network.net, multiple)
    first, second = torch.randn(2, len(network.flat), dtype=torch.float64)
    moved, moved_too = (derivatives.gauss_newton_product(batch, vector) for vector in (first, second))
    torch.testing.assert_close(second @ moved, first @ moved_too, rtol=1e-9, atol=1e-12)
    assert first @ moved > 0 and second @ moved_too > 0


def test_residuals_beyond_the_quadratic_part_have_no_curvature() -> None:
    network, batch = Network(conv_net), make_batch((5, 6))
    far = Batch(batch.lq, batch.gt + 9, batch.images, batch.weights)
    vector = torch.randn_like(network.flat)
    assert not Derivatives(network.net).gauss_newton_product(far, vector).any()


# ---- one number an image ----


@ALL
@MODES
def test_directional_in_float32_equals_gradient_dot_products(build, multiple: int, forward_mode: bool) -> None:
    for count in (1, 3):
        network, batch = Network(build, multiple, torch.float32), make_batch(dtype=torch.float32)
        derivatives = Derivatives(network.net, multiple, forward_mode=forward_mode)
        directions = torch.randn(count, derivatives.size)
        found = derivatives.directional(batch, l1_loss, directions)
        rows = [network.gradient(network.flat, batch.row(number), l1_loss) for number in range(2)]
        assert found.shape == (2, count) and found.dtype == torch.float32 and not found.requires_grad
        for row, gradient in enumerate(rows):
            for column, direction in enumerate(directions):
                # Terms of both signs cancel: the error is measured against the length of what is multiplied.
                scale = max(abs(gradient @ direction), gradient.norm())
                assert abs(found[row, column] - gradient @ direction) <= 1e-5 * scale


@MODES
def test_directional_in_float64_equals_finite_differences(forward_mode: bool) -> None:
    for count in (1, 3):
        network, batch = Network(restormer, 8), make_batch()
        directions = torch.randn(count, len(network.flat), dtype=torch.float64)
        found = Derivatives(network.net, 8, forward_mode=forward_mode).directional(batch, smooth_loss, directions)
        for column, direction in enumerate(directions):
            step = 1e-6 / direction.norm()
            with torch.no_grad():
                up, down = (
                    smooth_loss(network.output(network.flat + s * direction, batch.lq), batch.gt) for s in (step, -step)
                )
            torch.testing.assert_close(found[:, column], (up - down) / (2 * step), rtol=1e-6, atol=1e-9)


def test_directional_of_a_loss_without_derivative_is_zero() -> None:
    network, batch = Network(conv_net), make_batch((5, 6))
    vector = torch.randn_like(network.flat)[None]

    def constant(output: Tensor, gt: Tensor) -> Tensor:
        return gt.flatten(1).mean(1)

    assert Derivatives(network.net).directional(batch, constant, vector).tolist() == [[0.0], [0.0]]


# ---- weights, frozen parameters, precision ----


def test_sums_are_linear_in_the_weights() -> None:
    network, batch = Network(conv_net), make_batch((5, 6))
    derivatives, vector = Derivatives(network.net), torch.randn_like(network.flat)
    for product in (
        lambda part: derivatives.gradient(part, l1_loss),
        lambda part: derivatives.gauss_newton_product(part, vector),
        lambda part: derivatives.hessian_product(part, vector),
    ):
        expected = sum(weight * product(batch.row(row)) for row, weight in enumerate(batch.weights))
        torch.testing.assert_close(product(batch), expected, rtol=1e-10, atol=1e-14)


@MODES
def test_frozen_parameters_are_constants(forward_mode: bool) -> None:
    def frozen() -> nn.Module:
        net = conv_net()
        net[0].requires_grad_(False)
        net[4].bias.requires_grad_(False)
        return net

    network, batch = Network(frozen), make_batch((5, 6))
    assert len(network.flat) == 2 * 3 * 9 + 2 + 2 * 9
    derivatives = Derivatives(network.net, forward_mode=forward_mode)
    vector = torch.randn_like(network.flat)
    gradient = network.gradient(network.flat, batch, smooth_loss)
    hessian = torch.func.hessian(network.total)(network.flat, batch, smooth_loss)
    jacobian = torch.func.jacrev(network.output)(network.flat, batch.lq).reshape(2, 30, -1)
    gauss_newton = sum(w * j.T @ j / 30 for w, j in zip(batch.weights, jacobian, strict=True))
    rows = torch.stack([network.gradient(network.flat, batch.row(row), smooth_loss) for row in range(2)])
    assert derivatives.size == len(network.flat)
    assert relative_error(derivatives.gradient(batch, smooth_loss), gradient) < 1e-12
    assert relative_error(derivatives.hessian_product(batch, vector), hessian @ vector) < 1e-12
    assert relative_error(derivatives.gauss_newton_product(batch, vector), gauss_newton @ vector) < 1e-12
    assert relative_error(derivatives.directional(batch, smooth_loss, vector[None])[:, 0], rows @ vector) < 1e-12


@pytest.mark.parametrize(
    ('name', 'forward_mode'), [('IRCNN', False), ('IRCNN', True), ('SwinIR', True), ('Restormer', False)]
)
def test_bfloat16_is_float32_within_rounding(name: str, forward_mode: bool) -> None:
    """bfloat16 rounds to 2^-9, and some ten roundings follow each other: 5 % of the length of a vector."""
    build, multiple = NETWORKS[name]
    network, batch = Network(build, multiple, torch.float32), make_batch(dtype=torch.float32)
    exact = Derivatives(network.net, multiple, forward_mode=forward_mode)
    rounded = Derivatives(network.net, multiple, bfloat16=True, forward_mode=forward_mode)
    vector = torch.randn_like(network.flat)
    losses = smooth_loss
    for found, expected in (
        (rounded.losses(batch, losses), exact.losses(batch, losses)),
        (rounded.gradient(batch, losses), exact.gradient(batch, losses)),
        (rounded.gauss_newton_product(batch, vector), exact.gauss_newton_product(batch, vector)),
        (rounded.hessian_product(batch, vector), exact.hessian_product(batch, vector)),
    ):
        assert found.dtype == torch.float32
        assert 0 < relative_error(found, expected) < 0.05
    direction = exact.gradient(batch, losses)[None]
    found, expected = (d.directional(batch, losses, direction) for d in (rounded, exact))
    assert found.dtype == torch.float32
    assert 0 < relative_error(found, expected) < 0.05


# ---- networks that forward mode does not know ----


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


class SquareWithoutForwardMode(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _Square.apply(x)


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * grad


def square_net(square: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(conv(1, 2), square, conv(2, 1)).double()


PRODUCTS = pytest.mark.parametrize(
    'product',
    [
        lambda derivatives, batch, vector: derivatives.gauss_newton_product(batch, vector),
        lambda derivatives, batch, vector: derivatives.hessian_product(batch, vector),
        lambda derivatives, batch, vector: derivatives.directional(batch, l1_loss, vector[None]),
    ],
    ids=['gauss_newton', 'hessian', 'directional'],
)


@PRODUCTS
def test_networks_without_forward_mode_need_it_off(product) -> None:
    batch, vector = make_batch((5, 6)), torch.randn(39, dtype=torch.float64)
    net = square_net(SquareWithoutForwardMode())
    with pytest.raises((RuntimeError, NotImplementedError), match='forward'):
        product(Derivatives(net), batch, vector)
    found = product(Derivatives(net, forward_mode=False), batch, vector)
    expected = product(Derivatives(square_net(Square())), batch, vector)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize('exact_hessian', [True, False])
def test_forward_mode_is_left_where_it_is_missing(exact_hessian: bool) -> None:
    batch = make_batch((5, 6))
    derivatives = Derivatives(square_net(Square()))
    assert derivatives.leave_forward_mode_if_missing(batch, exact_hessian) is None
    assert derivatives.forward_mode
    derivatives = Derivatives(square_net(SquareWithoutForwardMode()))
    assert 'forward' in derivatives.leave_forward_mode_if_missing(batch, exact_hessian)
    assert not derivatives.forward_mode


def test_other_errors_of_a_network_are_not_taken_for_a_missing_forward_mode() -> None:
    with pytest.raises(RuntimeError, match='channels'):
        Derivatives(square_net(conv(3, 2))).leave_forward_mode_if_missing(make_batch((5, 6)), False)


@MODES
def test_unused_parameters_have_derivative_zero(forward_mode: bool) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = conv(1, 1), conv(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    net, batch, vector = Half().double(), make_batch((5, 6)), torch.randn(20, dtype=torch.float64)
    whole, used = (Derivatives(part, forward_mode=forward_mode) for part in (net, net.used))
    zeros = torch.zeros(10, dtype=torch.float64)
    for found, expected in (
        (whole.gradient(batch, l1_loss), used.gradient(batch, l1_loss)),
        (whole.gauss_newton_product(batch, vector), used.gauss_newton_product(batch, vector[:10])),
        (whole.hessian_product(batch, vector), used.hessian_product(batch, vector[:10])),
    ):
        torch.testing.assert_close(found, torch.cat([expected, zeros]))
    along = whole.directional(batch, l1_loss, vector[None])
    torch.testing.assert_close(along, used.directional(batch, l1_loss, vector[None, :10]))


def test_output_shape() -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.PixelShuffle(2)).double()
    assert Derivatives(net, sides=4).output_shape(make_batch((5, 6))) == (2, 2, 10, 12)
