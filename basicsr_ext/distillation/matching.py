"""The gradients of a restoration network that synthetic images are to share with real ones."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from basicsr_ext.networks.tiling import Sides, run_padded

Loss = Callable[[Tensor, Tensor], Tensor]


def parameter_gradients(
    net: nn.Module, loss: Loss, sides: Sides, lq: Tensor, gt: Tensor, create_graph: bool = False
) -> list[Tensor]:
    """The gradient of the restoration loss on a batch with respect to the parameters of a network.

    Args:
        net: maps N x C x H x W to N x C' x (H scale) x (W scale).
        loss: of output and `gt`, a scalar.
        sides: what the network asks of the sides of its input.
        lq, gt: the batch.
        create_graph: let gradients pass through the result, to `lq` and `gt`.

    Returns:
        One tensor a parameter that needs a gradient, zero where the output does not depend on it.
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
        value = loss(run_padded(net, lq.contiguous(memory_format=torch.channels_last), sides), gt)
        gradients = torch.autograd.grad(value, parameters, create_graph=create_graph, materialize_grads=True)
    return list(gradients)
