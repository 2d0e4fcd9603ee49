"""A degradation of images in NumPy as a step that gradients pass."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def degraded(gt: Tensor, degrades: Sequence[Degrade], rngs: Sequence[np.random.Generator]) -> Tensor:
    """The degraded images, with a straight-through gradient (Bengio et al., 2013).

    The value is exactly that of the degradation. The gradient is that of a surrogate: the identity where the size
    stays, so that for additive noise it is exact, or an antialiased bicubic reduction. For JPEG, rounding and other
    steps without a useful derivative it is an approximation.

    Args:
        gt: N x C x H x W, RGB or grey, [0, 1].
        degrades: one per image; takes H x W x C, float32, and the source of everything random; gives h x w x C, of one
            size for all.
        rngs: one per image.

    Returns:
        N x C x h x w.
    """
    pixels = gt.detach().float().cpu().permute(0, 2, 3, 1).contiguous().numpy()
    triples = zip(degrades, pixels, rngs, strict=True)
    images = [np.ascontiguousarray(degrade(image, rng)) for degrade, image, rng in triples]
    value = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(gt)
    surrogate = gt
    if value.shape[-2:] != gt.shape[-2:]:
        size = (value.shape[-2], value.shape[-1])
        surrogate = functional.interpolate(gt, size=size, mode='bicubic', antialias=True, align_corners=False)
    return value + (surrogate - surrogate.detach())
