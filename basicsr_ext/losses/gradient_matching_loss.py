"""The loss of dataset distillation: how far two gradients of one network point apart."""

from collections.abc import Sequence

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError

Gradients = Sequence[Tensor] | Tensor


def gradient_matching_loss(gradients: Gradients, targets: Gradients, per_layer: bool = False) -> Tensor:
    """1 - cos of the angle between two gradients (TripleD, Eq. 3): 0 equal, 1 orthogonal, 2 opposite directions.

    Reading chosen: as printed, all parameters are one vector. Per layer, 1 - cos of each tensor is summed; so do Zhao
    et al. ("Dataset condensation with gradient matching", 2021) and GLaD (Cazenavette et al., 2023), whose code takes
    one cosine per output channel of each layer.

    A gradient of zero has no direction: it counts as orthogonal to everything (1), and nothing flows back to it.

    Args:
        gradients, targets: one tensor per parameter, of equal shapes; or a single tensor.
        per_layer: one cosine per tensor, summed, instead of one of all.

    Returns:
        A scalar.

    Raises:
        OptionError: they differ in number or shape, or there is none.
    """
    first, second = ([item] if isinstance(item, Tensor) else list(item) for item in (gradients, targets))
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (first, second)]
    if not first or shapes[0] != shapes[1]:
        raise OptionError(
            'gradient_matching_loss',
            'gradients of equal shapes',
            f'{shapes[0]} and {shapes[1]}',
            'Take both with respect to the same parameters.',
        )
    if per_layer:
        return torch.stack([_one_minus_cosine([a], [b]) for a, b in zip(first, second, strict=True)]).sum()
    return _one_minus_cosine(first, second)


def _one_minus_cosine(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """1 - cosine of the vectors that tensors make together, which are not copied into one."""
    dot = torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()
    lengths = [torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in v])) for v in (first, second)]
    product = lengths[0] * lengths[1]
    # Twice, because a gradient of 0 / 0 in the branch that is not taken would still be NaN.
    cosine = torch.where(product > 0, dot / torch.where(product > 0, product, 1), 0)
    return 1 - cosine


@LOSS_REGISTRY.register()
class GradientMatchingLoss(nn.Module):
    """1 - cosine of the gradients of a network on synthetic and on real images (TripleD, Eq. 3).

    The job `distill` minimises it; see `gradient_matching_loss`.

    .. code-block:: yaml

        distill:
          grad_match:
            type: GradientMatchingLoss
            per_layer: false

    Args:
        per_layer: one cosine per tensor, summed, instead of one of all parameters.
        loss_weight: factor of the whole.
    """

    def __init__(self, per_layer: bool = False, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.per_layer, self.loss_weight = per_layer, loss_weight

    def forward(self, gradients: Gradients, targets: Gradients) -> Tensor:
        """Compare gradients.

        Args:
            gradients, targets: one tensor per parameter, of equal shapes; or a single tensor.

        Returns:
            A scalar.
        """
        return self.loss_weight * gradient_matching_loss(gradients, targets, self.per_layer)
