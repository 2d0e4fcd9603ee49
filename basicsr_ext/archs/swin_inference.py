"""A Swin block on a CPU without gradients: part by part, so that what is read again is still in the caches."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from basicsr.archs.swinir_arch import SwinTransformerBlock
from torch import Tensor

from basicsr_ext.archs.packed_linear import PackedLinear, pack_linear
from basicsr_ext.archs.prepared import prepared
from basicsr_ext.archs.prepared_attention import prepare_attention
from basicsr_ext.archs.window_order import WindowOrder

CACHED_BYTES = 2_600_000  # features of this size go through a whole block


class BlockLayers(NamedTuple):
    """The linear layers of a block, and the bias of its attention: kinds of windows x heads x n x n."""

    qkv: PackedLinear
    proj: PackedLinear
    fc1: PackedLinear
    fc2: PackedLinear
    bias: Tensor


def infer_block(block: SwinTransformerBlock, rows: Tensor, order: Tensor, windows: WindowOrder) -> Tensor:
    """Sort pixels by windows and pass them through a Swin block.

    Args:
        block: BasicSR's module, in evaluation.
        rows: pixels x C.
        order: the place in `rows` of each pixel of the result.
        windows: the windows that the result consists of.

    Returns:
        Pixels x C, window by window.
    """
    layers, pixels = _layers(block), block.window_size**2
    limit = max(1, CACHED_BYTES // (pixels * rows.shape[1] * rows.element_size()))
    out, done = torch.empty_like(rows), 0
    for count, kind in _parts(windows.groups, limit):
        part = slice(done * pixels, (done + count) * pixels)
        taken = rows.index_select(0, order[part])
        merged = _attend(layers.qkv(block.norm1(taken)), layers.bias[kind])
        taken.add_(layers.proj(merged))
        torch.add(taken, layers.fc2(layers.fc1(block.norm2(taken))), out=out[part])
        done += count
    return out


def _parts(groups: tuple[tuple[int, int], ...], limit: int) -> Iterator[tuple[int, int]]:
    return ((min(limit, count - start), kind) for count, kind in groups for start in range(0, count, limit))


def _attend(qkv: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k^T + bias) v, pixels x (heads * width); this takes less time than the kernel for long sequences."""
    (heads, pixels, _), bias = bias.shape, bias.to(qkv.dtype)
    qkv = qkv.view(-1, pixels, 3, heads, qkv.shape[1] // (3 * heads))
    if qkv.dtype == torch.bfloat16:  # oneDNN would copy every head
        q, k, v = qkv.permute(2, 0, 3, 1, 4).contiguous().unbind()
        weights = (q @ k.transpose(-2, -1)).add_(bias).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(-1, heads * qkv.shape[-1])
    merged = torch.empty_like(qkv[:, :, 0])
    for head in range(heads):
        q, k, v = qkv[:, :, :, head].unbind(2)
        weights = torch.bmm(q, k.transpose(1, 2)).add_(bias[head]).softmax(-1)
        merged[:, :, head] = torch.bmm(weights, v)
    return merged.view(-1, heads * qkv.shape[-1])


def _layers(block: SwinTransformerBlock) -> BlockLayers:
    attention, mlp = block.attn, block.mlp
    sources = [attention.relative_position_bias_table]
    for layer in (attention.qkv, attention.proj, mlp.fc1, mlp.fc2):
        sources += [layer.weight, layer.bias]
    return prepared(block, sources, lambda: _prepare(block))


def _prepare(block: SwinTransformerBlock) -> BlockLayers:
    weights, mlp = prepare_attention(block.attn, block.shift_size), block.mlp
    return BlockLayers(
        pack_linear(weights.qkv_weight, weights.qkv_bias),
        pack_linear(weights.proj_weight, block.attn.proj.bias),
        pack_linear(mlp.fc1.weight, mlp.fc1.bias, activated=True),
        pack_linear(mlp.fc2.weight, mlp.fc2.bias),
        weights.bias.to(weights.qkv_weight.dtype),
    )
