"""BasicSR's residual Swin transformer blocks, computed without moving every block's result back into the image.

Everything but the attention treats pixels one by one. So pixels stay sorted by windows from block to block, and one
reordering takes the place of roll, partition, their inverses and the copies between.
"""

import torch
from basicsr.archs.swinir_arch import RSTB, SwinTransformerBlock, WindowAttention
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from basicsr_ext.archs.prepared_attention import prepared_attention
from basicsr_ext.archs.swin_inference import infer_block
from basicsr_ext.archs.window_order import WindowOrder, reorder, reordering, window_order

Groups = tuple[tuple[int, int], ...]
MOST_WINDOWS = 2**15  # in one call: the fused kernels of CUDA take fewer than 2**16 (PyTorch issue 146704)


def residual_swin_block(layer: RSTB, features: Tensor) -> Tensor:
    """Compute what `layer` does: Swin blocks, a convolution, and its input added (Liang et al., "SwinIR", 2021, Eq. 5).

    Args:
        layer: BasicSR's module.
        features: N x H x W x C with sides that the window divides.

    Returns:
        N x H x W x C.
    """
    batch, height, width, channels = features.shape
    body, device = layer.residual_group, features.device
    geometry = (batch, height, width, body.blocks[0].window_size)
    rows, shift = features.reshape(-1, channels), None
    for block in body.blocks:
        windows = window_order(*geometry, block.shift_size, device)
        order = windows.order if shift is None else reordering(*geometry, (shift, block.shift_size), device)
        if body.use_checkpoint and torch.is_grad_enabled():
            rows = checkpoint(_swin_block, block, rows, order, windows, use_reentrant=False)
        else:
            rows = _swin_block(block, rows, order, windows)
        shift = block.shift_size
    image = reorder(rows, windows.back).view(batch, height, width, channels).permute(0, 3, 1, 2)
    return layer.conv(image).permute(0, 2, 3, 1) + features


def _swin_block(block: SwinTransformerBlock, rows: Tensor, order: Tensor, windows: WindowOrder) -> Tensor:
    """Sort pixels by windows and pass them through a Swin block."""
    if rows.device.type == 'cpu' and not (torch.is_grad_enabled() or block.training):
        return infer_block(block, rows, order, windows)
    return _layers(block, reorder(rows, order), windows.groups, windows.samples)


def _layers(block: SwinTransformerBlock, rows: Tensor, groups: Groups, samples: Tensor | None) -> Tensor:
    """Attention and MLP, each after a norm and with a skip connection."""
    attended = _attention(block.attn, block.norm1(rows), groups, block.shift_size)
    rows = rows + _drop_path(block, attended, samples)
    return rows + _drop_path(block, block.mlp(block.norm2(rows)), samples)


def _drop_path(block: SwinTransformerBlock, rows: Tensor, samples: Tensor | None) -> Tensor:
    """Drop whole images in training: BasicSR's module draws which."""
    probability = getattr(block.drop_path, 'drop_prob', 0)
    if not (block.training and probability and samples is not None):
        return rows
    factors = block.drop_path(rows.new_ones(int(samples.max()) + 1, 1))[samples]
    return (rows.view(len(samples), -1) * factors).view_as(rows)


def _attention(attention: WindowAttention, rows: Tensor, groups: Groups, shift: int) -> Tensor:
    """Multi-head attention within windows, whose pixels follow each other."""
    weights = prepared_attention(attention, shift)
    pixels = weights.bias.shape[-1]
    qkv = linear(rows, weights.qkv_weight, weights.qkv_bias).view(
        -1, pixels, 3, attention.num_heads, weights.head_width
    )
    dropout = attention.attn_drop.p if attention.training else 0.0
    parts = zip(qkv.split([count for count, _ in groups]), (kind for _, kind in groups), strict=True)
    attended = [_attend(some, weights.bias[kind], dropout) for part, kind in parts for some in part.split(MOST_WINDOWS)]
    joined = attended[0] if len(attended) == 1 else torch.cat(attended)
    merged = joined.transpose(1, 2).reshape(len(rows), -1)
    return attention.proj_drop(linear(merged, weights.proj_weight, attention.proj.bias))


def _attend(qkv: Tensor, bias: Tensor, dropout: float) -> Tensor:
    """softmax(q k^T + bias) v of windows x pixels x 3 x heads x width, the scale being in q."""
    bias = bias.to(qkv.dtype)
    if qkv.device.type == 'cpu' and not dropout:
        # This takes two thirds of the time of the fused kernel, which is made for long sequences.
        q, k, v = qkv.permute(2, 0, 3, 1, 4).contiguous().unbind()
        attended: Tensor = (q @ k.transpose(-2, -1)).add_(bias).softmax(-1) @ v
        return attended
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
    return scaled_dot_product_attention(q, k, v, attn_mask=bias[None], dropout_p=dropout, scale=1.0)
