"""The part of SwinIR that turns features into an image."""

from copy import deepcopy

from basicsr.archs.swinir_arch import SwinIR
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

TAIL_PARTS = (
    'norm', 'conv_after_body', 'conv_before_upsample', 'upsample', 'conv_up1', 'conv_up2', 'conv_hr', 'conv_last',
)  # fmt: skip


class SwinIRTail(nn.Module):
    """A copy of what follows the last RSTB of a SwinIR, under SwinIR's names (Liang et al., 2021, Eq. 3, 6 and 7)."""

    norm: nn.Module
    conv_after_body: nn.Module
    conv_before_upsample: nn.Module
    upsample: nn.Module
    conv_up1: nn.Module
    conv_up2: nn.Module
    conv_hr: nn.Module
    conv_last: nn.Module

    def __init__(self, net: SwinIR) -> None:
        super().__init__()
        self.upsampler = net.upsampler
        for name in TAIL_PARTS:
            if hasattr(net, name):
                self.add_module(name, deepcopy(getattr(net, name)))

    def forward(self, features: Tensor, shallow: Tensor, image: Tensor) -> Tensor:
        """Reconstruct the image from features.

        Args:
            features: of an RSTB, N x H x W x C.
            shallow: of the first convolution, N x C x H x W.
            image: the input, N x 3 or 1 x H x W, which is added to the output where there is no upsampler.

        Returns:
            N x 3 or 1 x (H scale) x (W scale), normalised as `image`.
        """
        x = self.conv_after_body(self.norm(features).permute(0, 3, 1, 2)) + shallow
        if self.upsampler == 'pixelshuffle':
            return self.conv_last(self.upsample(self.conv_before_upsample(x)))
        if self.upsampler == 'pixelshuffledirect':
            return self.upsample(x)
        if self.upsampler == 'nearest+conv':
            x = self.conv_before_upsample(x)
            for conv in self._doublings():
                x = leaky_relu(conv(interpolate(x, scale_factor=2, mode='nearest')), 0.2)
            return self.conv_last(leaky_relu(self.conv_hr(x), 0.2))
        return image + self.conv_last(x)

    def _doublings(self) -> list[nn.Module]:
        """The convolutions behind each doubling of the size: two for x4, one for x2."""
        return [getattr(self, name) for name in ('conv_up1', 'conv_up2') if hasattr(self, name)]
