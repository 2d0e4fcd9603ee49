"""Influence by dattri on the same data, as peers.py: conjugate gradients, TRAK, LoGra."""

import contextlib
import copy
import gc
import io
import logging
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
from denoising import CropDataset
from peers import Loss
from retraining import Crops
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

Parameters = dict[str, Tensor]


def half_square(output: Tensor, gt: Tensor) -> Tensor:
    """Half the mean squared error."""
    return functional.mse_loss(output, gt) / 2


def _measured(net: nn.Module, loss: Loss) -> Callable[[Parameters, tuple[Tensor, Tensor]], Tensor]:
    """A loss as dattri takes it; its images are (..., C, H, W)."""

    def function(parameters: Parameters, data: tuple[Tensor, Tensor]) -> Tensor:
        lq, gt = (images.reshape(-1, *images.shape[-3:]) for images in data)
        return loss(functional_call(net, parameters, (lq,)), gt)

    return function


def cg_scores(
    net: nn.Module, train: Crops, test: Crops, dampings: Sequence[float], loss: Loss, max_iter: int = 20
) -> np.ndarray:
    """Conjugate gradients with the exact Hessian by dattri's `IFAttributorCG`.

    Its loss is the squared error / 2 and its target the loss of all test images together, one solution instead of one a
    test image. The Hessian is that of all training images at once, as dattri recommends. `IFAttributorCG` itself
    multiplies gradients of the loss of its Hessian with those of the target; here both are gradients of the target.

    Args:
        net: any that torch.func can differentiate.
        train, test: pairs of images.
        dampings: absolute `regularization`s.
        loss: whose gradients are multiplied.
        max_iter: products, after a first one.

    Returns:
        (images, dampings).
    """
    # dattri keeps its graphs, some gigabytes a damping, until the process ends.
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
        return pool.submit(_cg_scores, net, train, test, dampings, loss, max_iter).result()


def _cg_scores(
    net: nn.Module, train: Crops, test: Crops, dampings: Sequence[float], loss: Loss, max_iter: int
) -> np.ndarray:
    from dattri.algorithm import IFAttributorCG
    from dattri.task import AttributionTask

    class WithGradientsOfTarget(IFAttributorCG):
        def generate_train_rep(self, ckpt_idx: int, data: tuple[Tensor, ...]) -> Tensor:
            return self.generate_test_rep(ckpt_idx, data)

    train_set = TensorDataset(train.lq, train.gt)
    whole_test_set = DataLoader(TensorDataset(test.lq[None], test.gt[None]))
    task = AttributionTask(_measured(net, half_square), net, net.state_dict(), _measured(net, loss))
    columns = []
    for damping in dampings:
        attributor = WithGradientsOfTarget(task, max_iter=max_iter, regularization=damping)
        attributor.cache(DataLoader(train_set, batch_size=len(train_set)))
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            scores = attributor.attribute(DataLoader(train_set, batch_size=len(train_set)), whole_test_set)
        columns.append(scores[:, 0].detach().double().numpy())
        del attributor, scores
        gc.collect()
    return np.stack(columns, 1)


def trak_scores(
    net: nn.Module,
    train: Crops,
    test: Crops,
    dampings: Sequence[float],
    loss: Loss,
    dimensions: int = 512,
    batch_size: int = 4,
) -> np.ndarray:
    """TRAK (Park et al., 2023) by dattri's `TRAKAttributor`: gradients at random, the images' Gram matrix as curvature.

    Its weights 1 - p, with the probability p of the right class, are one: restoration has no classes.

    Args:
        net: any that torch.func can differentiate.
        train, test: pairs of images.
        dampings: absolute `regularization`s; without one the matrix is singular where images are few.
        loss: whose gradients are multiplied.
        dimensions: of the projection; 512 is dattri's default.
        batch_size: images computed together.

    Returns:
        (images, dampings).
    """
    from dattri.algorithm import TRAKAttributor
    from dattri.task import AttributionTask

    task = AttributionTask(_measured(net, loss), net, net.state_dict())
    columns = []
    for damping in dampings:
        attributor = TRAKAttributor(
            task,
            lambda _, data: data[0].new_zeros(()),
            projector_kwargs={'proj_dim': dimensions, 'proj_max_batch_size': 8, 'device': 'cpu'},
            regularization=damping,
        )
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            attributor.cache(_loader(train, batch_size))
            scores = attributor.attribute(_loader(test, batch_size))
        columns.append(scores.mean(1).detach().double().numpy())
    return np.stack(columns, 1)


def logra_scores(
    net: nn.Module,
    train: Crops,
    test: Crops,
    dampings: Sequence[float],
    loss: Loss,
    dimensions: int = 1024,
    batch_size: int = 4,
) -> np.ndarray:
    """LoGra (Choe et al., 2024) by dattri's `LoGraAttributor`: gradients of layers, projected on both sides.

    It knows linear layers only, so the network is taken with its convolutions as matrices of unfolded inputs. Of the
    test images it would take the cross-entropy where the network does not give a loss itself, so the network does.

    Args:
        net: built of nn.Conv2d that keep the size, and layers without parameters.
        train, test: pairs of images.
        dampings: in units of the mean eigenvalue of each layer's Fisher matrix.
        loss: whose gradients are multiplied.
        dimensions: of the projection of each layer, a square.
        batch_size: images computed together.

    Returns:
        (images, dampings).
    """
    from dattri.algorithm import LoGraAttributor
    from dattri.task import AttributionTask

    logging.getLogger('dattri').setLevel(logging.ERROR)
    measured = _WithLoss(_unfolded(copy.deepcopy(net)), loss)
    layers = [name for name, layer in measured.named_modules() if isinstance(layer, nn.Linear)]
    task = AttributionTask(lambda model, batch, _: model(**batch).loss, measured, measured.state_dict())
    pairs = [DataLoader(CropDataset(crops), batch_size) for crops in (train, test)]
    columns = []
    for damping in dampings:
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stderr(io.StringIO()),  # its progress bars
        ):
            attributor = LoGraAttributor(task, layers, damping=damping, proj_dim=dimensions, cache_dir=folder)
            attributor.cache(pairs[0])
            scores = attributor.attribute(*pairs)
        columns.append(scores.mean(1).detach().double().numpy())
    return np.stack(columns, 1)


def _loader(crops: Crops, batch_size: int) -> DataLoader[Any]:
    return DataLoader(TensorDataset(crops.lq, crops.gt), batch_size=batch_size)


class _WithLoss(nn.Module):
    """A network that gives its loss, summed over the images."""

    def __init__(self, net: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, lq: Tensor, gt: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=self.loss(self.net(lq), gt) * len(gt))


class _UnfoldedConvolution(nn.Module):
    """A convolution that keeps the size, as a linear layer of the patches of its input."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.window = {name: getattr(convolution, name) for name in ('kernel_size', 'dilation', 'padding')}
        weight = convolution.weight.flatten(1)
        self.linear = nn.Linear(weight.shape[1], weight.shape[0])
        self.linear.load_state_dict({'weight': weight, 'bias': convolution.bias})

    def forward(self, x: Tensor) -> Tensor:
        patches = functional.unfold(x, **self.window).transpose(1, 2)  # (N, H * W, C * kernel)
        return self.linear(patches).transpose(1, 2).unflatten(2, x.shape[-2:])


def _unfolded(net: nn.Module) -> nn.Module:
    for name, layer in net.named_children():
        setattr(net, name, _UnfoldedConvolution(layer) if isinstance(layer, nn.Conv2d) else _unfolded(layer))
    return net
