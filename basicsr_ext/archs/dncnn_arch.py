"""DnCNN, the plain residual denoiser."""

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError


@ARCH_REGISTRY.register()
class DnCNN(nn.Module):
    """Estimate the degradation with a chain of 3x3 convolutions and subtract it: output = x - model(x).

    Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE TIP 2017, Eq. 1
    and Fig. 1. 17 layers are the paper's denoiser for one noise level; 20 layers are DnCNN-B and DnCNN-3. The keys of
    the state dict are those of the published PyTorch weights, whose batch norms are merged into the convolutions
    (`with_bn: false`).

    Readings chosen: convolutions keep their bias under batch norm, the first and the last layer have no batch norm and
    its epsilon is 1e-4, as in the authors' PyTorch code; its running averages use PyTorch's momentum of 0.1, and the
    weights start with PyTorch's initialisation (the paper: He et al. 2015).

    .. code-block:: yaml

        network_g:
          type: DnCNN
          num_in_ch: 1
          num_out_ch: 1
          num_feat: 64
          num_layers: 17
          with_bn: false

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output; the same number, because the estimated degradation is subtracted from the
            input channel by channel.
        num_feat: channels between the layers.
        num_layers: number of convolutions, the first and the last included.
        with_bn: batch norm after every convolution but the first and the last.

    Raises:
        OptionError: the channels of input and output differ, or there are fewer than two layers.
    """

    def __init__(
        self, num_in_ch: int, num_out_ch: int, num_feat: int = 64, num_layers: int = 17, with_bn: bool = False
    ) -> None:
        super().__init__()
        if num_in_ch != num_out_ch:
            raise OptionError(
                'DnCNN.num_out_ch',
                f'num_in_ch = {num_in_ch}, because the output is the input minus the estimated degradation',
                num_out_ch,
                'Give both the same value.',
            )
        if num_layers < 2:
            raise OptionError('DnCNN.num_layers', 'at least 2', num_layers, 'Give 17 or 20 as the paper.')
        layers: list[nn.Module] = [nn.Conv2d(num_in_ch, num_feat, 3, padding=1), nn.ReLU()]
        for _ in range(num_layers - 2):
            layers.append(nn.Conv2d(num_feat, num_feat, 3, padding=1))
            if with_bn:
                layers.append(nn.BatchNorm2d(num_feat, eps=1e-4))
            layers.append(nn.ReLU())
        layers.append(nn.Conv2d(num_feat, num_out_ch, 3, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            x: degraded images, (N, num_in_ch, H, W), RGB or grey, range [0, 1].

        Returns:
            The restored images, same shape and range, not clipped.
        """
        return x - self.model(x)
