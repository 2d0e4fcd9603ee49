"""FFDNet, the denoiser that is told the noise level."""

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional

from basicsr_ext.errors import OptionError

SIDE = 2  # of the squares of pixels that become channels


@ARCH_REGISTRY.register()
class FFDNet(nn.Module):
    """Denoise at half the resolution with a chain of 3x3 convolutions that is given the noise level as a channel.

    Zhang et al., "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising", IEEE TIP 2018, Fig. 1 and
    Table I. 15 layers of 64 channels are the paper's grey denoiser, 12 layers of 96 its colour denoiser. The keys of
    the state dict are those of the published PyTorch weights, whose batch norms are merged into the convolutions.

    Readings chosen: the network knows one level, that of the block, for all pixels, because an item of a dataset
    does not carry its level; weights that were trained for a range of levels serve each of it, by another `sigma`. As
    in the authors' code, sides that are odd are extended by repeating the edge, inside the network, and the
    squares of 2 x 2 pixels become channels row by row, those of one colour side by side.

    .. code-block:: yaml

        network_g:
          type: FFDNet
          num_in_ch: 3
          num_out_ch: 3
          num_feat: 96
          num_layers: 12
          sigma: 25

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output, the same number.
        num_feat: channels between the layers.
        num_layers: number of convolutions, the first and the last included.
        sigma: standard deviation of the noise, in 8-bit levels; the paper trains on 0 to 75.

    Raises:
        OptionError: the channels of input and output differ, there are fewer than two layers, or sigma is negative.
    """

    def __init__(
        self, num_in_ch: int, num_out_ch: int, num_feat: int = 64, num_layers: int = 15, sigma: float = 25
    ) -> None:
        super().__init__()
        if num_in_ch != num_out_ch:
            raise OptionError('FFDNet.num_out_ch', f'num_in_ch = {num_in_ch}', num_out_ch, 'Give both the same value.')
        if num_layers < 2:
            raise OptionError('FFDNet.num_layers', 'at least 2', num_layers, 'Give 15 or 12 as the paper.')
        if not sigma >= 0:
            raise OptionError('FFDNet.sigma', 'at least 0, in 8-bit levels', sigma, 'Give 25, for instance.')
        self.sigma = sigma
        layers: list[nn.Module] = [nn.Conv2d(num_in_ch * SIDE**2 + 1, num_feat, 3, padding=1), nn.ReLU()]
        for _ in range(num_layers - 2):
            layers += [nn.Conv2d(num_feat, num_feat, 3, padding=1), nn.ReLU()]
        layers.append(nn.Conv2d(num_feat, num_out_ch * SIDE**2, 3, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            x: noisy images, (N, num_in_ch, H, W), RGB or grey, range [0, 1].

        Returns:
            The restored images, same shape and range, not clipped.
        """
        height, width = x.shape[-2:]
        even = functional.pad(x, (0, width % SIDE, 0, height % SIDE), mode='replicate')
        squares = functional.pixel_unshuffle(even, SIDE)
        level = squares.new_full((1, 1, 1, 1), self.sigma / 255).expand(x.shape[0], 1, *squares.shape[-2:])
        restored = functional.pixel_shuffle(self.model(torch.cat([squares, level], dim=1)), SIDE)
        return restored[..., :height, :width]
