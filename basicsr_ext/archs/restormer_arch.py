"""Restormer: a U-shaped transformer whose attention runs over channels."""

from collections.abc import Sequence
from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.archs.channel_transformer import TransformerBlock, enlarge, named, shrink
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.networks.tiling import refuse_sides

NORM_TYPES = ('WithBias', 'BiasFree')


@ARCH_REGISTRY.register()
class Restormer(nn.Module):
    """Restore images of high resolution with channel attention in a U-shape of four levels.

    Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022, Fig. 2, Eq. 1
    and 2. The keys of the state dict are those of the official weights.

    Readings chosen: the topmost decoder level and the refinement keep the 2 * dim channels of the concatenation, and
    only convolutions inside the blocks, between concatenations and at the output follow `bias`. With
    `dual_pixel_task` the embedded input, not the image, is added before the output convolution, since six channels go
    in and three come out.

    .. code-block:: yaml

        network_g:
          type: Restormer
          num_in_ch: 3
          num_out_ch: 3
          dim: 48
          num_blocks: [4, 6, 6, 8]
          num_refinement_blocks: 4
          heads: [1, 2, 4, 8]
          ffn_expansion_factor: 2.66
          bias: false
          norm_type: BiasFree
          dual_pixel_task: false

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output; the same number unless `dual_pixel_task`, because the input is added.
        dim: channels of the first level, even; each further level has twice as many.
        num_blocks: transformer blocks of the four levels, the last being the bottom.
        num_refinement_blocks: transformer blocks after the decoder, at full resolution.
        heads: attention heads of the four levels.
        ffn_expansion_factor: hidden channels of the feed-forward networks divided by their input channels.
        bias: whether those convolutions have a bias.
        norm_type: `WithBias` (deraining, deblurring, real denoising) or `BiasFree` (Gaussian denoising).
        dual_pixel_task: left and right view in, one image out.

    Raises:
        OptionError: channels, levels or heads that do not fit together, or an unknown norm.
    """

    size_multiple: int = 8

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        norm_type: Literal['WithBias', 'BiasFree'] = 'WithBias',
        dual_pixel_task: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        _check(name, num_in_ch, num_out_ch, dim, num_blocks, heads, norm_type, dual_pixel_task)

        def blocks(count: int, width: int, level: int) -> nn.Sequential:
            return nn.Sequential(
                *(TransformerBlock(width, heads[level], ffn_expansion_factor, bias, norm_type) for _ in range(count))
            )

        self.patch_embed = named(proj=nn.Conv2d(num_in_ch, dim, 3, padding=1, bias=False))
        self.encoder_level1 = blocks(num_blocks[0], dim, 0)
        self.down1_2 = shrink(dim)
        self.encoder_level2 = blocks(num_blocks[1], dim * 2, 1)
        self.down2_3 = shrink(dim * 2)
        self.encoder_level3 = blocks(num_blocks[2], dim * 4, 2)
        self.down3_4 = shrink(dim * 4)
        self.latent = blocks(num_blocks[3], dim * 8, 3)
        self.up4_3 = enlarge(dim * 8)
        self.reduce_chan_level3 = nn.Conv2d(dim * 8, dim * 4, 1, bias=bias)
        self.decoder_level3 = blocks(num_blocks[2], dim * 4, 2)
        self.up3_2 = enlarge(dim * 4)
        self.reduce_chan_level2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=bias)
        self.decoder_level2 = blocks(num_blocks[1], dim * 2, 1)
        self.up2_1 = enlarge(dim * 2)
        self.decoder_level1 = blocks(num_blocks[0], dim * 2, 0)
        self.refinement = blocks(num_refinement_blocks, dim * 2, 0)
        self.skip_conv = nn.Conv2d(dim, dim * 2, 1, bias=bias) if dual_pixel_task else None
        self.output = nn.Conv2d(dim * 2, num_out_ch, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            x: degraded images, (N, num_in_ch, H, W), RGB or grey, range [0, 1]; H and W multiples of `size_multiple`.

        Returns:
            The restored images, (N, num_out_ch, H, W), same range, not clipped.

        Raises:
            ValueError: H or W is not a multiple of `size_multiple`.
        """
        refuse_sides(x, self.size_multiple, type(self).__name__)
        embedded = self.patch_embed(x)
        level1 = self.encoder_level1(embedded)
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        out = self.up4_3(self.modulate(self.latent(self.down3_4(level3)), 3, x))
        out = self.decoder_level3(self.reduce_chan_level3(torch.cat([out, level3], dim=1)))
        out = self.up3_2(self.modulate(out, 2, x))
        out = self.decoder_level2(self.reduce_chan_level2(torch.cat([out, level2], dim=1)))
        out = self.modulate(out, 1, x)
        out = self.decoder_level1(torch.cat([self.up2_1(out), level1], dim=1))
        out = self.refinement(out)
        if self.skip_conv is not None:
            return self.output(out + self.skip_conv(embedded))
        return self.output(out) + x

    def modulate(self, features: Tensor, level: int, image: Tensor) -> Tensor:
        """What a network derived from this one does to features before they are enlarged; here nothing.

        Args:
            features: of the bottom or of the decoder, (N, C, h, w).
            level: that which they are enlarged to, counted from the top: 3 from the bottom, then 2 and 1.
            image: the input, (N, num_in_ch, H, W).

        Returns:
            Features of the same height and width.
        """
        del level, image
        return features


def _check(
    name: str,
    num_in_ch: int,
    num_out_ch: int,
    dim: int,
    num_blocks: Sequence[int],
    heads: Sequence[int],
    norm_type: str,
    dual_pixel_task: bool,
) -> None:
    if num_in_ch != num_out_ch and not dual_pixel_task:
        raise OptionError(
            f'{name}.num_out_ch',
            f'num_in_ch = {num_in_ch}, because the input is added to the output',
            num_out_ch,
            'Give both the same value; Restormer can have dual_pixel_task: true instead.',
        )
    for key, levels in (('num_blocks', num_blocks), ('heads', heads)):
        if len(levels) != 4:
            raise OptionError(f'{name}.{key}', '4 values, one per level', list(levels), 'Give four.')
    for level, count in enumerate(heads):
        if dim % 2 or dim * 2**level % count:
            raise OptionError(
                f'{name}.dim',
                f'an even number, {dim * 2**level} channels of level {level + 1} divisible by its {count} heads',
                dim,
                'Change dim or heads.',
            )
    if norm_type not in NORM_TYPES:
        raise OptionError(f'{name}.norm_type', 'WithBias or BiasFree', shown(norm_type), 'Correct the name.')
