"""AdaIR: Restormer whose decoder is told by the frequencies of the image which degradation it removes."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.archs.channel_transformer import channel_attention
from basicsr_ext.archs.restormer_arch import Restormer
from basicsr_ext.errors import OptionError

CELL = 128  # pixels of features that let the low frequencies reach one step further, at most


class ChannelCrossAttention(nn.Module):
    """Attention between channels with queries of one image and keys and values of another."""

    def __init__(self, dim: int, num_heads: int, bias: bool) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.q = nn.Conv2d(dim, dim, 1, bias=bias)
        self.q_dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=bias)
        self.kv = nn.Conv2d(dim, dim * 2, 1, bias=bias)
        self.kv_dwconv = nn.Conv2d(dim * 2, dim * 2, 3, padding=1, groups=dim * 2, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Ask `y` what `x` wants to know; both and the answer are (N, dim, H, W)."""
        k, v = self.kv_dwconv(self.kv(y)).chunk(2, dim=1)
        return self.project_out(channel_attention(self.q_dwconv(self.q(x)), k, v, self.temperature))


class SpatialGate(nn.Module):
    """A factor in (0, 1) for each pixel, of the largest and the mean channel around it."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)).sigmoid()


class ChannelGate(nn.Module):
    """A factor in (0, 1) for each channel, of its mean and its largest pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(dim, dim // 16, 1, bias=False), nn.ReLU(), nn.Conv2d(dim // 16, dim, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.mlp(x.mean((2, 3), keepdim=True)) + self.mlp(x.amax((2, 3), keepdim=True))).sigmoid()


class FreRefine(nn.Module):
    """Frequency modulation (FMoM): each band is weighted by what the other one shows, then both are added."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.SpatialGate = SpatialGate()
        self.ChannelGate = ChannelGate(dim)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return self.proj(low * self.SpatialGate(high) + high * self.ChannelGate(low))


def split_bands(x: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """The magnitudes of the high and of the low frequencies of feature maps (FMiM).

    Args:
        x: feature maps, (N, C, H, W).
        reach: how far the low frequencies go, down and to the right, in whole steps of the spectrum, (N, 2); the
            frequencies from -reach up to, but without, reach are low.

    Returns:
        High and low frequencies, (N, C, H, W) each, not negative.
    """

    def is_low(length: int, limit: Tensor) -> Tensor:
        numbers = torch.arange(length, device=x.device)
        frequency = (numbers + length // 2) % length - length // 2  # in the order of the transform
        return (frequency >= -limit[:, None]) & (frequency < limit[:, None])

    height, width = x.shape[-2:]
    low = is_low(height, reach[:, 0])[:, None, :, None] & is_low(width, reach[:, 1])[:, None, None, :]
    spectrum = torch.fft.fft2(x.to(torch.promote_types(x.dtype, torch.float32)))  # which knows no bfloat16
    high_part, low_part = (torch.fft.ifft2(spectrum * band).abs().to(x.dtype) for band in (~low, low))
    return high_part, low_part


class FreModule(nn.Module):
    """Adaptive frequency learning (AFLB): features ask the high and the low frequencies of the input image.

    `conv` and `score_gen` of the official weights are never used. Nor has the rounding of `reach` a gradient, so that
    `rate_conv` never learns. None of them is trained here.
    """

    def __init__(self, dim: int, num_heads: int, bias: bool, num_in_ch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_in_ch, dim, 3, padding=1, bias=False).requires_grad_(False)
        self.conv1 = nn.Conv2d(num_in_ch, dim, 3, padding=1, bias=False)
        self.score_gen = nn.Conv2d(2, 2, 7, padding=3).requires_grad_(False)
        self.para1 = nn.Parameter(torch.zeros(dim, 1, 1))
        self.para2 = nn.Parameter(torch.ones(dim, 1, 1))
        self.channel_cross_l = ChannelCrossAttention(dim, num_heads, bias)
        self.channel_cross_h = ChannelCrossAttention(dim, num_heads, bias)
        self.channel_cross_agg = ChannelCrossAttention(dim, num_heads, bias)
        self.frequency_refine = FreRefine(dim)
        self.rate_conv = nn.Sequential(
            nn.Conv2d(dim, dim // 8, 1, bias=False), nn.GELU(), nn.Conv2d(dim // 8, 2, 1, bias=False)
        ).requires_grad_(False)

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Modulate features.

        Args:
            image: the input of the network, (N, num_in_ch, H, W).
            features: (N, dim, h, w).

        Returns:
            (N, dim, h, w).
        """
        height, width = features.shape[-2:]
        embedded = self.conv1(F.interpolate(image, (height, width), mode='bilinear'))
        high, low = split_bands(embedded, self.reach(embedded))
        high = self.channel_cross_l(high, features)  # these two names stand so in the official weights
        low = self.channel_cross_h(low, features)
        learnt = self.channel_cross_agg(features, self.frequency_refine(low, high))
        return learnt * self.para1 + features * self.para2

    def reach(self, embedded: Tensor) -> Tensor:
        """How far the low frequencies of feature maps (N, dim, H, W) go, (N, 2); see `split_bands`."""
        with torch.no_grad():
            share = self.rate_conv(embedded.mean((2, 3), keepdim=True)).sigmoid().flatten(1)
            return (share * share.new_tensor([side // CELL for side in embedded.shape[-2:]])).int()


@ARCH_REGISTRY.register()
class AdaIR(Restormer):
    """Restore images of several degradations with one network, which their frequencies tell one from another.

    Cui et al., "AdaIR: Adaptive All-in-One Image Restoration via Frequency Mining and Modulation", ICLR 2025, Fig. 3
    and 4. Restormer, with an adaptive frequency learning block before each enlargement. The keys of the state dict are
    those of the official weights.

    Readings chosen, all from the authors' code: the low frequencies reach less than one step of the spectrum for every
    128 pixels of the features, rounded down, so that features below 256 pixels, as those of training patches of 128
    pixels are, have high frequencies only; how far within that, comes from random weights that are never trained, since
    rounding has no gradient (`FreModule`); all three blocks have the heads of level 3.

    .. code-block:: yaml

        network_g:
          type: AdaIR
          num_in_ch: 3
          num_out_ch: 3
          dim: 48
          num_blocks: [4, 6, 6, 8]
          num_refinement_blocks: 4
          heads: [1, 2, 4, 8]
          ffn_expansion_factor: 2.66
          bias: false
          norm_type: WithBias

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output, the same number.
        dim: channels of the first level, even and at least 8; each further level has twice as many.
        num_blocks: transformer blocks of the four levels, the last being the bottom.
        num_refinement_blocks: transformer blocks after the decoder, at full resolution.
        heads: attention heads of the four levels.
        ffn_expansion_factor: hidden channels of the feed-forward networks divided by their input channels.
        bias: whether the convolutions have a bias that may have one in Restormer, and those of the attention between
            features and frequencies.
        norm_type: `WithBias` or `BiasFree`.

    Raises:
        OptionError: channels, levels or heads that do not fit together, or an unknown norm.
    """

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
    ) -> None:
        super().__init__(
            num_in_ch,
            num_out_ch,
            dim,
            num_blocks,
            num_refinement_blocks,
            heads,
            ffn_expansion_factor,
            bias,
            norm_type,
        )
        if dim < 8 or dim * 2 % heads[2]:
            raise OptionError(
                'AdaIR.dim',
                f'at least 8, and {heads[2]} heads of level 3 that divide dim * 2',
                dim,
                'Change dim or heads.',
            )
        self.fre1, self.fre2, self.fre3 = (FreModule(dim * by, heads[2], bias, num_in_ch) for by in (8, 4, 2))

    def modulate(self, features: Tensor, level: int, image: Tensor) -> Tensor:
        """Let the features ask the frequencies of the input; see `Restormer.modulate`."""
        return {3: self.fre1, 2: self.fre2, 1: self.fre3}[level](image, features)
