"""EDSR as a denoiser: no upsampler, and a residual around the whole network."""

from collections.abc import Sequence

import torch
from basicsr.archs.edsr_arch import EDSR
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from basicsr_ext.errors import OptionError

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


@ARCH_REGISTRY.register()
class EDSRDenoiser(EDSR):
    """Estimate the residual with EDSR's trunk and add it to the input: output = x + network(x).

    Soh and Cho, "Training Patch Analysis and Mining Skills for Image Restoration Deep Neural Networks", 2021, Sec.
    VI.B: the EDSR baseline (Lim et al., CVPRW 2017) without its upsampling module, with the residual learning of DnCNN
    at the level of the image. The keys of the state dict are those of BasicSR's EDSR with `upscale: 1`.

    Reading chosen: the network sees the image with its mean subtracted, times `img_range`, as in EDSR; its output,
    divided by `img_range`, is the residual, to which no mean is added.

    .. code-block:: yaml

        network_g:
          type: EDSRDenoiser
          num_in_ch: 3
          num_out_ch: 3
          num_feat: 64
          num_block: 16

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output; the same number, because the residual is added to the input channel by
            channel.
        num_feat: channels between the layers.
        num_block: residual blocks.
        res_scale: factor of what a block adds.
        img_range: the network computes on images in [0, img_range].
        rgb_mean: mean of the images in [0, 1], one value per channel in the order RGB; None takes that of DIV2K, for
            grey images the mean of its channels.

    Raises:
        OptionError: the channels of input and output differ, or there is not one mean per channel.
    """

    def __init__(
        self,
        num_in_ch: int,
        num_out_ch: int,
        num_feat: int = 64,
        num_block: int = 16,
        res_scale: float = 1.0,
        img_range: float = 255.0,
        rgb_mean: Sequence[float] | None = None,
    ) -> None:
        if num_in_ch != num_out_ch:
            raise OptionError(
                'EDSRDenoiser.num_out_ch',
                f'num_in_ch = {num_in_ch}, because the output is the input plus a residual',
                num_out_ch,
                'Give both the same value.',
            )
        if rgb_mean is None:
            rgb_mean = DIV2K_MEAN if num_in_ch == 3 else [sum(DIV2K_MEAN) / 3] * num_in_ch
        if len(rgb_mean) != num_in_ch:
            raise OptionError(
                'EDSRDenoiser.rgb_mean', f'{num_in_ch} values, one per channel', list(rgb_mean), 'Correct them.'
            )
        super().__init__(num_in_ch, num_out_ch, num_feat, num_block, 1, res_scale, img_range)
        self.mean = torch.tensor(rgb_mean, dtype=torch.float32).view(1, -1, 1, 1)  # EDSR's own is for three channels

    def forward(self, x: Tensor) -> Tensor:
        """Denoise a batch.

        Args:
            x: noisy images, (N, num_in_ch, H, W), RGB or grey, range [0, 1].

        Returns:
            The denoised images, same shape and range, not clipped.
        """
        output: Tensor = super().forward(x)  # the residual plus the mean
        return x + (output - self.mean)
