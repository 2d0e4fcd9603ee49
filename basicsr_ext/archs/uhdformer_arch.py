"""UHDformer: attention at an eighth of the resolution, fed by what is seen at full resolution."""

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.archs.channel_transformer import named
from basicsr_ext.archs.correlation_matching import CMTBlock, CMTGroup
from basicsr_ext.errors import OptionError
from basicsr_ext.networks.tiling import refuse_sides


class ConvNeXtBlock(nn.Module):
    """The residual block of full resolution; its 3x3 convolution is a full one, in spite of its name."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1)
        self.pwconv1 = nn.Linear(dim, dim)
        self.pwconv2 = nn.Linear(dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        out = self.pwconv2(F.gelu(self.pwconv1(self.dwconv(x).movedim(1, -1))))
        return x + (out * self.gamma).movedim(-1, 1)


class AdaptiveChannelModulator(nn.Module):
    """Features of three depths as one: softmax over the channels weights them, and a bias of each pixel is added."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv11 = nn.Conv2d(3 * dim, 3 * dim, 1)
        self.dwconv = nn.Conv2d(3 * dim, 6 * dim, 3, padding=1, groups=3 * dim)

    def forward(self, *features: Tensor) -> Tensor:
        joined = torch.cat(features, dim=1)
        weight, bias = self.dwconv(self.conv11(joined)).chunk(2, dim=1)
        return weight.softmax(dim=1) * joined + bias


class _Restoration(nn.Module):
    """The network itself, below the prefix that the official weights have."""

    def __init__(
        self,
        num_in_ch: int,
        num_out_ch: int,
        dim: int,
        num_groups: int,
        num_blocks: int,
        num_heads: int,
        match_factor: int,
        ffn_expansion_factor: int,
        scale_factor: int,
    ) -> None:
        super().__init__()

        def group() -> CMTGroup:
            matched = dim // match_factor
            return CMTGroup(
                [CMTBlock(dim, num_heads, matched, ffn_expansion_factor, scale_factor) for _ in range(num_blocks)]
            )

        self.enter = nn.Sequential(nn.Conv2d(num_in_ch, dim, 3, padding=1))
        self.shallow, self.middle, self.deep = (ConvNeXtBlock(dim) for _ in range(3))
        self.perception_fusion = AdaptiveChannelModulator(dim)
        self.block = nn.ModuleList(group() for _ in range(num_groups))
        self.downsample = named(body=nn.Sequential(nn.Conv2d(dim, dim, scale_factor, scale_factor, bias=False)))
        self.upsample = named(
            body=nn.Sequential(
                nn.Conv2d(dim, dim * scale_factor**2, 3, padding=1, bias=False), nn.PixelShuffle(scale_factor)
            )
        )
        self.fusion = nn.Conv2d(2 * dim, dim, 1)
        self.out = nn.Sequential(ConvNeXtBlock(dim), ConvNeXtBlock(dim), nn.Conv2d(dim, num_out_ch, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        shallow = self.shallow(entered)
        middle = self.middle(shallow)
        deep = self.deep(middle)
        perception = self.perception_fusion(shallow, middle, deep)
        small = self.downsample(entered)
        out = small
        for block in self.block:
            out = block(out, perception)
        out = self.upsample(small + out)
        return x + self.out(self.fusion(torch.cat([out, deep], dim=1)))


@ARCH_REGISTRY.register()
class UHDformer(nn.Module):
    """Restore images of ultra-high definition with attention at low resolution and few parameters.

    Wang et al., "Correlation Matching Transformation Transformers for UHD Image Restoration", AAAI 2024, Fig. 2 and 3.
    The keys of the state dict are those of the official weights, all below `restoration_network`.

    Readings chosen, all from the authors' code: the squeezing factor r of the matching is 4; each group of three blocks
    adds a fifth of its result; the feed-forward networks pass on only what the matching gives. Their first projection
    and the norm before it therefore have no gradient, there as here, and keep what they start with. The network needs
    multiples of `scale_factor`; the authors pad images to multiples of 128 pixels, and since attention sees whole
    images, that changes the result a little.

    .. code-block:: yaml

        network_g:
          type: UHDformer
          num_in_ch: 3
          num_out_ch: 3
          dim: 16
          num_groups: 5
          num_blocks: 3
          num_heads: 8
          match_factor: 4
          ffn_expansion_factor: 4
          scale_factor: 8

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output, the same number, because the input is added.
        dim: channels between the layers.
        num_groups: groups of transformer blocks.
        num_blocks: transformer blocks of a group.
        num_heads: attention heads.
        match_factor: `dim` divided by the number of channels that each matching takes.
        ffn_expansion_factor: hidden channels of the feed-forward networks divided by their input channels.
        scale_factor: how much smaller the images of low resolution are; it divides the sides of the input.

    Raises:
        OptionError: channels of input and output, or channels and heads, that do not fit together.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        dim: int = 16,
        num_groups: int = 5,
        num_blocks: int = 3,
        num_heads: int = 8,
        match_factor: int = 4,
        ffn_expansion_factor: int = 4,
        scale_factor: int = 8,
    ) -> None:
        super().__init__()
        if num_in_ch != num_out_ch:
            raise OptionError(
                'UHDformer.num_out_ch',
                f'num_in_ch = {num_in_ch}, because the input is added to the output',
                num_out_ch,
                'Give both the same value.',
            )
        if dim % num_heads or not 1 <= match_factor <= dim:
            raise OptionError(
                'UHDformer.dim',
                f'a multiple of num_heads = {num_heads}, and at least match_factor = {match_factor}, itself at least 1',
                dim,
                'Change one of them.',
            )
        self.size_multiple = scale_factor
        self.restoration_network = _Restoration(
            num_in_ch,
            num_out_ch,
            dim,
            num_groups,
            num_blocks,
            num_heads,
            match_factor,
            ffn_expansion_factor,
            scale_factor,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            x: degraded images, (N, num_in_ch, H, W), RGB, range [0, 1]; H and W multiples of `size_multiple`.

        Returns:
            The restored images, same shape and range, not clipped.

        Raises:
            ValueError: H or W is not a multiple of `size_multiple`.
        """
        refuse_sides(x, self.size_multiple, 'UHDformer')
        restored: Tensor = self.restoration_network(x)
        return restored
