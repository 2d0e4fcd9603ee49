"""The loss that aligns two distributions: a divergence of the statistics of feature maps."""

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError

EPS = 1e-6


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over everything else; the variance divides by the number of values.

    Args:
        features: N x C x H x W, or N x C.

    Returns:
        (C,) twice.

    Raises:
        OptionError: features of other dimensions.
    """
    if features.ndim not in (2, 4):
        raise OptionError(
            f'channel_statistics: expected features N x C x H x W or N x C, got {tuple(features.shape)}. Take those of '
            'one layer.'
        )
    others = [axis for axis in range(features.ndim) if axis != 1]
    variance, mean = torch.var_mean(features, others, correction=0)
    return mean, variance


def gaussian_kl(mean: Tensor, var: Tensor, target_mean: Tensor, target_var: Tensor, eps: float = EPS) -> Tensor:
    """KL divergence of diagonal Gaussians: sum_c (ln(t_c / v_c) + (v_c + (m_c - n_c)^2) / t_c - 1) / 2.

    This is KL(N(m, v) || N(n, t)) with its sum over the channels c, which are independent; N(1, 1) against N(0, 1)
    gives 0.5. It is the "KL" of TripleD, Eq. 4, whose distribution the paper does not say [reading chosen].

    Args:
        mean, var: (C,), m and v; those of a batch, or of all images of a dataset.
        target_mean, target_var: (C,), n and t.
        eps: least value of the variances; smaller ones are raised to it, so that a constant channel stays finite.

    Returns:
        A scalar, at least 0.
    """
    var, target_var = var.clamp_min(eps), target_var.clamp_min(eps)
    terms = (target_var / var).log() + (var + (mean - target_mean) ** 2) / target_var - 1
    return terms.sum() / 2


def feature_kl_loss(features: Tensor, target: Tensor, eps: float = EPS) -> Tensor:
    """`gaussian_kl` of the `channel_statistics` of two batches of features.

    Args:
        features, target: N x C x H x W or N x C each; N, H and W may differ.
        eps: least variance.

    Raises:
        OptionError: they differ in the number of channels.
    """
    statistics, targets = channel_statistics(features), channel_statistics(target)
    if statistics[0].shape != targets[0].shape:
        raise OptionError(
            f'feature_kl_loss: expected features of as many channels, got {len(statistics[0])} and {len(targets[0])}. '
            'Take both from the same layer.'
        )
    return gaussian_kl(*statistics, *targets, eps)


@LOSS_REGISTRY.register()
class FeatureKLLoss(nn.Module):
    """KL divergence of the statistics of two batches of features, taken as diagonal Gaussians (TripleD, Eq. 4).

    Mean and variance of each channel are taken over batch and places; the divergence is the sum over the channels, as
    that of independent Gaussians is. See `gaussian_kl`.

    .. code-block:: yaml

        train:
          losses:
            - type: FeatureKLLoss
              loss_weight: 1e-3
              eps: 1e-6

    Args:
        loss_weight: factor of the whole.
        eps: least variance of a channel.

    Raises:
        OptionError: `eps` is not positive.
    """

    def __init__(self, loss_weight: float = 1.0, eps: float = EPS) -> None:
        super().__init__()
        if eps <= 0:
            raise OptionError(f'FeatureKLLoss.eps: expected a positive number, got {eps}. Correct the value.')
        self.loss_weight, self.eps = loss_weight, eps

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            features, target: N x C x H x W or N x C each; N, H and W may differ. Nothing flows back to the target.

        Returns:
            A scalar.
        """
        return self.loss_weight * feature_kl_loss(features, target.detach(), self.eps)
