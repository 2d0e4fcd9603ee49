"""The blocks of Restormer and of the networks made after it: attention between channels, and how levels are joined.

Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022. Names of the modules
are those of the official weights.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def named(**modules: nn.Module) -> nn.Sequential:
    """A sequence with names, which spell the keys of the official weights (`norm1.body.weight`)."""
    return nn.Sequential(OrderedDict(modules))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of every pixel.

    `BiasFree` divides by the standard deviation but does not subtract the mean, so that scaling the input by c > 0
    changes nothing: the network then generalises over noise levels (Mohan et al., ICLR 2020).
    """

    def __init__(self, dim: int, norm_type: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if norm_type == 'WithBias' else None

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        scale = torch.rsqrt(variance + 1e-5) * self.weight[:, None, None]
        if self.bias is None:
            return x * scale
        return (x - mean) * scale + self.bias[:, None, None]


def channel_attention(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    """Attention between channels, not pixels, in heads: softmax(temperature * Q K^T) V (Eq. 1).

    Queries and keys are unit vectors over the pixels, as in the authors' code; the learnt temperature of each head
    multiplies their product (the paper writes a division by alpha).

    Args:
        q, k, v: queries, keys and values, (N, C, H, W).
        temperature: one for each head, (heads, 1, 1); C is divisible by their number.

    Returns:
        (N, C, H, W).
    """
    height, heads = q.shape[2], temperature.shape[0]
    q, k, v = (rearrange(part, 'b (head c) h w -> b head c (h w)', head=heads) for part in (q, k, v))
    similarity = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
    out = (similarity * temperature).softmax(dim=-1) @ v
    return rearrange(out, 'b head c (h w) -> b (head c) h w', h=height)


class MDTA(nn.Module):
    """Multi-Dconv head transposed attention: queries, keys and values see their 3x3 neighbours."""

    def __init__(self, dim: int, num_heads: int, bias: bool) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(dim, dim * 3, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(dim * 3, dim * 3, 3, padding=1, groups=dim * 3, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        return self.project_out(channel_attention(q, k, v, self.temperature))


class GDFN(nn.Module):
    """Gated-Dconv feed-forward network (Eq. 2): GELU of one half of the features gates the other half."""

    def __init__(self, dim: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = nn.Conv2d(dim, hidden * 2, 1, bias=bias)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=bias)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, content = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * content)


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each after a norm and with a skip connection (Fig. 2)."""

    def __init__(self, dim: int, num_heads: int, expansion: float, bias: bool, norm_type: str) -> None:
        super().__init__()
        self.norm1 = named(body=ChannelNorm(dim, norm_type))
        self.attn = MDTA(dim, num_heads, bias)
        self.norm2 = named(body=ChannelNorm(dim, norm_type))
        self.ffn = GDFN(dim, expansion, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


def shrink(dim: int) -> nn.Sequential:
    """Halve the height and width, double the channels."""
    return named(body=nn.Sequential(nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2)))


def enlarge(dim: int) -> nn.Sequential:
    """Double the height and width, halve the channels."""
    return named(body=nn.Sequential(nn.Conv2d(dim, dim * 2, 3, padding=1, bias=False), nn.PixelShuffle(2)))
