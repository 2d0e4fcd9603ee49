"""IRCNN's denoiser: seven dilated convolutions."""

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError

DILATIONS = (1, 2, 3, 4, 3, 2, 1)


@ARCH_REGISTRY.register()
class IRCNN(nn.Module):
    """Estimate the noise with seven dilated 3x3 convolutions and subtract it: output = x - model(x).

    Zhang et al., "Learning Deep CNN Denoiser Prior for Image Restoration", CVPR 2017, Section 4:
    dilations 1-2-3-4-3-2-1, ReLU between, receptive field 33x33. The keys of the state dict are those of the published
    PyTorch weights.

    Readings chosen: no batch norm, as in the published weights, which have it merged into the convolutions; the
    weights start with PyTorch's initialisation.

    .. code-block:: yaml

        network_g:
          type: IRCNN
          num_in_ch: 1
          num_out_ch: 1
          num_feat: 64

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output; the same number, because the estimated noise is subtracted from the input
            channel by channel.
        num_feat: channels between the layers.

    Raises:
        OptionError: the channels of input and output differ.
    """

    def __init__(self, num_in_ch: int, num_out_ch: int, num_feat: int = 64) -> None:
        super().__init__()
        if num_in_ch != num_out_ch:
            raise OptionError(
                'IRCNN.num_out_ch',
                f'num_in_ch = {num_in_ch}, because the output is the input minus the estimated noise',
                num_out_ch,
                'Give both the same value.',
            )
        widths = [num_in_ch, *[num_feat] * (len(DILATIONS) - 1), num_out_ch]
        layers: list[nn.Module] = []
        for inner, outer, dilation in zip(widths[:-1], widths[1:], DILATIONS, strict=True):
            layers += [nn.Conv2d(inner, outer, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Denoise a batch.

        Args:
            x: noisy images, (N, num_in_ch, H, W), RGB or grey, range [0, 1].

        Returns:
            The denoised images, same shape and range, not clipped.
        """
        return x - self.model(x)
