"""The weights of window attention in the form in which they are used."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from basicsr.archs.swinir_arch import WindowAttention
from torch import Tensor, nn
from torch.nn.functional import pad

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


_kept: WeakKeyDictionary[WindowAttention, tuple[object, PreparedAttention]] = WeakKeyDictionary()


def prepared_attention(attention: WindowAttention, shift: int) -> PreparedAttention:
    """Prepare the weights, or take them as they were prepared if they are the same and need no gradient."""
    sources = (attention.qkv.weight, attention.qkv.bias, attention.proj.weight, attention.relative_position_bias_table)
    parameters = [source for source in sources if source is not None]
    learning = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)
    plain = all(type(parameter) is nn.Parameter and not parameter.is_inference() for parameter in parameters)
    if learning or not plain or torch.compiler.is_compiling():
        return _prepare(attention, shift)
    stamp = [(p.data_ptr(), p.dtype, p.device, p._version) for p in parameters]
    known = _kept.get(attention)
    if known is None or known[0] != stamp:
        with torch.inference_mode(False), torch.no_grad():
            known = _kept[attention] = stamp, _prepare(attention, shift)
    return known[1]


def forget_prepared(net: nn.Module) -> None:
    """Drop what is kept of a network: writing through `.data` changes weights without leaving a trace."""
    for module in net.modules():
        if isinstance(module, WindowAttention):
            _kept.pop(module, None)


def _prepare(attention: WindowAttention, shift: int) -> PreparedAttention:
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
