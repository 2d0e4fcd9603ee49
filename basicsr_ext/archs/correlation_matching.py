"""The blocks of UHDformer at low resolution: features are replaced by those of full resolution that are next to them.

Wang et al., "Correlation Matching Transformation Transformers for UHD Image Restoration", AAAI 2024. Names of the
modules are those of the official weights.
"""

import torch
from torch import Tensor, nn

from basicsr_ext.archs.channel_transformer import ChannelNorm, channel_attention, named


def nearest_channels(x: Tensor, candidates: Tensor, count: int) -> Tensor:
    """Correlation matching: the candidates next to those channels that have the nearest ones.

    Every channel has a nearest candidate by the Euclidean distance of their pixels; the `count` channels for which that
    distance is least give theirs, in the order of the channels. One candidate may be given several times. No gradient
    flows to `x`, which only chooses.

    Args:
        x: (N, C, H, W).
        candidates: (N, C', H, W).
        count: at most C.

    Returns:
        (N, count, H, W).
    """
    pixels = candidates.flatten(2)
    with torch.no_grad():
        exact = torch.promote_types(x.dtype, torch.float32)  # distances know no bfloat16
        distance, nearest = torch.cdist(x.flatten(2).to(exact), pixels.to(exact)).min(dim=2)
        kept = distance.topk(count, dim=1, largest=False).indices.sort(dim=1).values
        chosen = nearest.gather(1, kept)
    return pixels.gather(1, chosen[..., None].expand(-1, -1, pixels.shape[2])).unflatten(2, x.shape[2:])


class DualCMT(nn.Module):
    """Dual-path correlation matching transformation: max- and mean-pooled features replace those of low resolution."""

    def __init__(self, dim: int, num_matched: int, expansion: int, scale_factor: int) -> None:
        super().__init__()
        self.num_matched = num_matched
        hidden, both = dim * expansion, 2 * num_matched
        self.perception = nn.Conv2d(3 * dim, dim, 1)
        self.max = nn.MaxPool2d(scale_factor)
        self.mean = nn.AvgPool2d(scale_factor)
        self.dwconv = nn.Sequential(
            nn.Conv2d(both, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Conv2d(hidden, both, 1),
        )
        self.conv12 = nn.Conv2d(both, dim, 1)

    def forward(self, x: Tensor, perception: Tensor) -> Tensor:
        """Replace (N, dim, h, w) by what (N, 3 dim, H, W) has of it; returns (N, dim, h, w)."""
        seen = self.perception(perception)
        pooled = (self.max(seen), self.mean(seen))
        matched = torch.cat([nearest_channels(x, maps, self.num_matched) for maps in pooled], dim=1)
        return self.conv12(self.dwconv(matched) * matched)


class Attention(nn.Module):
    """Channel attention whose queries are matched with what is seen at full resolution."""

    def __init__(self, dim: int, num_heads: int, matching: DualCMT) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(dim, dim * 3, 1)
        self.qkv_dwconv = nn.Conv2d(dim * 3, dim * 3, 3, padding=1, groups=dim * 3)
        self.project_out = nn.Conv2d(dim, dim, 1)
        self.matching_transformation = matching

    def forward(self, x: Tensor, perception: Tensor) -> Tensor:
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        q = self.matching_transformation(q, perception)
        return self.project_out(channel_attention(q, k, v, self.temperature))


class FeedForward(nn.Module):
    """A feed-forward network through the matching; what comes before it only chooses and is not trained."""

    def __init__(self, dim: int, expansion: int, matching: DualCMT) -> None:
        super().__init__()
        hidden = dim * expansion
        self.project_in = nn.Sequential(
            nn.Conv2d(dim, hidden, 1), nn.Conv2d(hidden, dim, 3, padding=1, groups=dim)
        ).requires_grad_(False)
        self.matching_transformation = matching
        self.project_out = nn.Sequential(nn.Conv2d(dim, hidden, 3, padding=1, groups=dim), nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor, perception: Tensor) -> Tensor:
        return self.project_out(self.matching_transformation(self.project_in(x), perception))


class CMTBlock(nn.Module):
    """Correlation matching transformation transformer block: attention, then feed-forward."""

    def __init__(self, dim: int, num_heads: int, num_matched: int, expansion: int, scale_factor: int) -> None:
        super().__init__()
        self.norm1 = named(body=ChannelNorm(dim, 'WithBias'))
        self.attn = Attention(dim, num_heads, DualCMT(dim, num_matched, expansion, scale_factor))
        self.norm2 = named(body=ChannelNorm(dim, 'WithBias')).requires_grad_(False)
        self.ffn = FeedForward(dim, expansion, DualCMT(dim, num_matched, expansion, scale_factor))
        self.LayerNorm = named(body=ChannelNorm(dim * 3, 'WithBias'))

    def forward(self, x: Tensor, perception: Tensor) -> Tensor:
        perception = self.LayerNorm(perception)
        x = x + self.attn(self.norm1(x), perception)
        return x + self.ffn(self.norm2(x), perception)


class CMTGroup(nn.Module):
    """Blocks in a row, a fifth of whose result is added to what came in."""

    def __init__(self, blocks: list[CMTBlock]) -> None:
        super().__init__()
        self.TransformerBlock = nn.ModuleList(blocks)

    def forward(self, x: Tensor, perception: Tensor) -> Tensor:
        out = x
        for block in self.TransformerBlock:
            out = block(out, perception)
        return x + 0.2 * out
