"""Permuting the pixels of a patch."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def draw_permutations(rng: np.random.Generator, number: int, pixels: int) -> Tensor:
    """Independent, uniform permutations of 0 ... pixels - 1.

    Args:
        rng: seeds them.
        number: of permutations.
        pixels: of the patch.

    Returns:
        (number, pixels), int64.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    return torch.stack([torch.randperm(pixels, generator=generator) for _ in range(number)])


def permute_pixels(image: Tensor, order: Tensor, scale: int = 1) -> Tensor:
    """Move the pixels of every channel: out[c, i] = image[c, order[c, i]] with i over the pixels of a channel.

    With a scale it is blocks of scale x scale pixels that move, each kept whole: `pixel_unshuffle`, permute,
    `pixel_shuffle`. They belong to the pixels of a patch that is smaller by the scale and permuted by the same order.

    Args:
        image: (C, h scale, w scale).
        order: (C, h w), or (1, h w) for one order of all channels.
        scale: side of a block in pixels.

    Returns:
        The image with its pixels moved, of the same shape.
    """
    blocks = functional.pixel_unshuffle(image, scale) if scale > 1 else image
    height, width = blocks.shape[-2:]
    flat = blocks.reshape(len(image), scale * scale, height * width)
    moved = flat.gather(2, order.unsqueeze(1).expand_as(flat)).reshape_as(blocks)
    return functional.pixel_shuffle(moved, scale) if scale > 1 else moved
