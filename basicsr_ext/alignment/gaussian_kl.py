"""How far two distributions of features are apart, both taken as Gaussians with independent channels."""

import torch
from torch import Tensor

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
            'channel_statistics', 'features N x C x H x W or N x C', tuple(features.shape), 'Take those of one layer.'
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
