"""The curvature of a loss in the space of images, which gives influence scores their size.

The solvers invert the curvature of Eq. 7 of the influence paper, whose second derivative by a value of the output is 1
where the error is below 1. Training by another loss has another curvature H' = c H, with its own second derivative c in
the place of that 1: leaving an image out then moves the weights by H^-1 g_i / (n c).
"""

from collections.abc import Iterable
from math import sqrt

import torch
from torch import Tensor

from basicsr_ext.selection.influence.derivatives import ImageLoss

SCORES = 'units of grad_loss'  # in identities: earlier versions left out the curvature of the loss
UNCERTAIN = 0.25  # relative error of a mean curvature that says nothing

RISE = 'predicted rise of the mean {} over the target when the image is left out'
FALL = 'predicted fall of the mean {} over the target by training on the images up to this one in place of all'


def unit_of(curvatures: Iterable[float | None], loss: str, together: bool) -> str | None:
    """What the scores of a ranking are, for its header; None where they have no unit.

    Args:
        curvatures: of the loss, at each level.
        loss: its type.
        together: whether the images are chosen together.
    """
    values = list(curvatures)
    if None in values or together and len(values) > 1:
        return None
    return (FALL if together else RISE).format(loss)


def second_derivatives(loss: ImageLoss, output: Tensor, gt: Tensor) -> Tensor:
    """The second derivative of the loss of an image by each value of its output, times their number: 2 for the mean
    squared error.

    Args:
        loss: of images, a sum over their values; its gradients may be those of autograd alone.
        output, gt: (N, C, H, W), [0, 1].

    Returns:
        (N, C, H, W); NaN where the loss is no such sum, or cannot be differentiated twice.
    """
    values = output.detach().clone().requires_grad_()
    ones = torch.ones_like(values)
    signs = (1 - 2 * (torch.arange(values.numel(), device=values.device) % 2)).view_as(values).to(values)
    try:
        (first,) = torch.autograd.grad(loss(values, gt).sum(), values, create_graph=True)
        if not first.requires_grad:  # linear in pieces
            return torch.zeros_like(values)
        rows, mixed = (
            torch.autograd.grad(first, values, each, retain_graph=True, materialize_grads=True)[0]
            for each in (ones, signs)
        )
    except RuntimeError as error:
        if 'deriv' not in str(error) and 'differentiate' not in str(error):
            raise
        return torch.full_like(values, torch.nan)
    is_sum = torch.allclose(mixed, rows * signs, rtol=1e-3, atol=float(rows.abs().max()) * 1e-6)
    return rows * gt[0].numel() if is_sum else torch.full_like(values, torch.nan)


def sums_of_curvature(loss: ImageLoss, output: Tensor, gt: Tensor, weights: Tensor) -> Tensor:
    """What `mean_curvature` is told of a batch, (5,) float64: over images the weighted means of the second derivatives
    and of Eq. 7's, over values the sums of their powers 0, 1 and 2.

    Args:
        loss, output, gt: as for `second_derivatives`.
        weights: (N,), of the images.
    """
    second = second_derivatives(loss, output, gt).double().flatten(1)
    curved = ((output - gt).abs() < 1).double().flatten(1)
    weighted = [(each.mean(1) * weights).sum() for each in (second, curved)]
    return torch.stack([*weighted, *((second**power).sum() for power in range(3))])


def mean_curvature(sums: Tensor, images: int) -> float | None:
    """The curvature c of a loss, where that of Eq. 7 is 1.

    Args:
        sums: the mean over images of `sums_of_curvature`.
        images: their number.

    Returns:
        None for a loss without one: L1, whose second derivative is 0 almost everywhere; one that is no sum over values;
        one whose curvature lies in so few values that their mean is uncertain by more than a quarter.
    """
    own, of_eq7, number, first, second = sums.tolist()
    if not (own > 0 and of_eq7 > 0):
        return None
    variance = max(second * number / first**2 - 1, 0) / (number * images)
    return None if sqrt(variance) > UNCERTAIN else own / of_eq7
