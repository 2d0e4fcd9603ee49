"""The loss that aligns two distributions: a divergence of the statistics of feature maps."""

from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from basicsr_ext.alignment.gaussian_kl import EPS, channel_statistics, gaussian_kl
from basicsr_ext.errors import OptionError


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
            'feature_kl_loss',
            'features of as many channels',
            f'{len(statistics[0])} and {len(targets[0])}',
            'Take both from the same layer.',
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
            raise OptionError('FeatureKLLoss.eps', 'a positive number', eps, 'Correct the value.')
        self.loss_weight, self.eps = loss_weight, eps

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Compare two batches of features.

        Args:
            features, target: N x C x H x W or N x C each; N, H and W may differ.

        Returns:
            A scalar.
        """
        return self.loss_weight * feature_kl_loss(features, target, self.eps)
