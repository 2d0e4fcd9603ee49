"""The weights of window attention in the form in which they are used."""

from typing import NamedTuple

import torch
from basicsr.archs.swinir_arch import WindowAttention
from torch import Tensor
from torch.nn.functional import pad

from basicsr_ext.archs.prepared import prepared
from basicsr_ext.archs.window_order import window_masks

HEAD_MULTIPLE = 8  # of channels per head; fused kernels need it and matrix products are faster


class PreparedAttention(NamedTuple):
    """Weights with the scale of the queries inside and every head filled up with zeros.

    Attributes:
        qkv_weight, qkv_bias, proj_weight: of the two linear layers.
        bias: relative-position bias plus mask of each kind of windows, kinds x heads x n x n.
    """

    qkv_weight: Tensor
    qkv_bias: Tensor | None
    proj_weight: Tensor
    bias: Tensor

    @property
    def head_width(self) -> int:
        """Channels of a head, zeros included."""
        return self.proj_weight.shape[1] // self.bias.shape[1]


def prepared_attention(attention: WindowAttention, shift: int) -> PreparedAttention:
    """Prepare the weights, or take them as they were prepared if they are the same and need no gradient."""
    sources = (attention.qkv.weight, attention.qkv.bias, attention.proj.weight, attention.relative_position_bias_table)
    return prepared(attention, sources, lambda: prepare_attention(attention, shift))


def prepare_attention(attention: WindowAttention, shift: int) -> PreparedAttention:
    """Prepare the weights of an attention whose windows are rolled by `shift`."""
    heads, dim = attention.num_heads, attention.dim
    extra = -(dim // heads) % HEAD_MULTIPLE
    weight = attention.qkv.weight.view(3, heads, -1, dim)
    weight = pad(torch.cat([weight[:1] * attention.scale, weight[1:]]), (0, 0, 0, extra)).reshape(-1, dim)
    qkv_bias = attention.qkv.bias
    if qkv_bias is not None:
        qkv_bias = qkv_bias.view(3, heads, -1)
        qkv_bias = pad(torch.cat([qkv_bias[:1] * attention.scale, qkv_bias[1:]]), (0, extra)).flatten()
    proj_weight = pad(attention.proj.weight.view(dim, heads, -1), (0, extra)).reshape(dim, -1)
    return PreparedAttention(weight, qkv_bias, proj_weight, _bias(attention, shift))


def _bias(attention: WindowAttention, shift: int) -> Tensor:
    """B of Eq. 4 in Liu et al., "Swin Transformer", ICCV 2021, with the masks of a shifted layer."""
    table, index = attention.relative_position_bias_table, attention.relative_position_index
    bias = table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1).contiguous()
    if shift == 0:
        return bias[None]
    return bias + window_masks(attention.window_size[0], shift, bias.device)[:, None].to(bias.dtype)
