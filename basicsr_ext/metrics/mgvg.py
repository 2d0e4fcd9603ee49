"""MGVG: sharpness from the largest gradient and the spread of the gradients."""

import math
from typing import Literal

import torch
from torch import Tensor

BALANCE = 0.61  # b
TRIMMED = 1 / 16  # of the shorter side, at each edge of the gradient map

Operator = Literal['forward', 'roberts']


def mgvg(grey: Tensor, operator: Operator = 'forward', mean: Literal['trimmed', 'whole'] = 'trimmed') -> Tensor:
    """Omega = MG^b VG^(1 - b) with b = 0.61, higher is sharper.

    Zhan and Zhang, "No-Reference Image Sharpness Assessment Based on Maximum Gradient and Variability of Gradients",
    IEEE TMM 2018: MG is the largest gradient, VG = (largest - smallest) / mean of the gradients; border gradients,
    round(min(H, W) / 16) at each edge, do not count. Omega(c I) = c^0.61 Omega(I).

    Readings chosen: gradients exist where both differences do, so that their map is (H - 1) x (W - 1); halves are
    rounded up; an image without any gradient has Omega = 0.

    Table 6 of the influence paper tells 0.27 to 0.37 for its groups of images, which Omega as published cannot be:
    over the 400 images of BSD400 its mean is 63 for pixels in [0, 255] and 2.1 for pixels in [0, 1]. Stretched to [0,
    1] over these images it is 0.39, which keeps order; with the standard deviation of the gradients in the place of VG
    it is 0.29. The paper does not tell, so that Omega stays as published here: compare its values with each other.

    Args:
        grey: N x H x W, [0, 255].
        operator: as in `gradients`; `forward` is the published one.
        mean: of the `trimmed` map, as published, or of the `whole` one.

    Returns:
        (N,), at least 0; 0 for images with a side of 1 pixel.
    """
    if min(grey.shape[-2:]) < 2:
        return grey.new_zeros(len(grey))
    every = gradients(grey, operator)
    border = math.floor(min(grey.shape[-2:]) * TRIMMED + 0.5)
    height, width = every.shape[-2:]
    trimmed = every[:, border : height - border, border : width - border]
    largest, smallest = trimmed.amax((1, 2)), trimmed.amin((1, 2))
    average = (trimmed if mean == 'trimmed' else every).mean((1, 2))
    variability = (largest - smallest) / average.clamp_min(torch.finfo(average.dtype).tiny)
    return largest**BALANCE * variability ** (1 - BALANCE)


def gradients(grey: Tensor, operator: Operator = 'forward') -> Tensor:
    """Magnitudes of gradients, N x (H - 1) x (W - 1).

    Args:
        grey: N x H x W.
        operator: `forward` differences, or the diagonal ones of `roberts`.
    """
    corner, right, below, diagonal = grey[:, :-1, :-1], grey[:, :-1, 1:], grey[:, 1:, :-1], grey[:, 1:, 1:]
    if operator == 'roberts':
        return torch.hypot(diagonal - corner, below - right)
    return torch.hypot(right - corner, below - corner)
