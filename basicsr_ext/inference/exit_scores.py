"""Scores that tell whether a restored region is good enough to be returned early: higher is better."""

import math
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

BALANCE = 0.61  # b
TRIMMED = 1 / 16  # of the shorter side, at each edge of the gradient map
LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601
PEAK = 255


class ExitScore(Protocol):
    """A function that gives each region of a batch a score; its further arguments, if any, have defaults."""

    def __call__(self, restored: Tensor, previous: Tensor) -> Tensor:
        """Score the regions of a batch.

        Args:
            restored: by this exit, N x C x h x w, RGB or grey, [0, 1]; values beyond are those of the network.
            previous: by the exit before, of the same size, or the input for the first exit, which may be smaller.

        Returns:
            (N,).
        """


def sharpness(
    restored: Tensor,
    previous: Tensor,
    operator: Literal['forward', 'roberts'] = 'forward',
    mean: Literal['trimmed', 'whole'] = 'trimmed',
) -> Tensor:
    """Omega = MG^b VG^(1 - b) with b = 0.61: FlexIR, Sec. 3.3, Eq. 6 to 8.

    Zhan and Zhang, "No-Reference Image Sharpness Assessment Based on Maximum Gradient and Variability of Gradients",
    IEEE TMM 2018: MG is the largest gradient of the grey image in [0, 255], VG = (largest - smallest) / mean; border
    gradients, round(min(h, w) / 16) at each edge, do not count. Omega(c I) = c^0.61 Omega(I). As `calculate_mgvg`.

    Readings chosen: gradients exist where both differences do, so that their map is (h - 1) x (w - 1); halves are
    rounded up; a region without any gradient has Omega = 0, which no threshold of 0 or more lets exit.

    Args:
        restored, previous: as ExitScore; `previous` is not used.
        operator: magnitudes of `forward` differences, or of the diagonal ones of Roberts, which FlexIR names.
        mean: of the `trimmed` map, as published, or of the `whole` one, as Eq. 7 of FlexIR prints it.
    """
    if min(restored.shape[-2:]) < 2:
        return restored.new_zeros(len(restored), dtype=torch.float32)
    gradients = _gradients(_grey(restored), operator)
    border = math.floor(min(restored.shape[-2:]) * TRIMMED + 0.5)
    height, width = gradients.shape[-2:]
    trimmed = gradients[:, border : height - border, border : width - border]
    largest, smallest = trimmed.amax((1, 2)), trimmed.amin((1, 2))
    average = (trimmed if mean == 'trimmed' else gradients).mean((1, 2))
    variability = (largest - smallest) / average.clamp_min(torch.finfo(average.dtype).tiny)
    return largest**BALANCE * variability ** (1 - BALANCE)


def mean_gradient(restored: Tensor, previous: Tensor, operator: Literal['forward', 'roberts'] = 'forward') -> Tensor:
    """The mean magnitude of the gradients of the grey image in [0, 255].

    Args:
        restored, previous: as ExitScore; `previous` is not used.
        operator: as in `sharpness`.
    """
    if min(restored.shape[-2:]) < 2:
        return restored.new_zeros(len(restored), dtype=torch.float32)
    return _gradients(_grey(restored), operator).mean((1, 2))


def change(restored: Tensor, previous: Tensor) -> Tensor:
    """PSNR, in dB, of what this exit restored against the exit before: high where a further exit changes little.

    The first exit is compared with the input, enlarged bilinearly in super-resolution. Equal images give inf.

    Args:
        restored, previous: as ExitScore.
    """
    previous = previous.float().clamp(0, 1)
    if previous.shape[-2:] != restored.shape[-2:]:
        previous = interpolate(previous, restored.shape[-2:], mode='bilinear')
    return -10 * (restored.float().clamp(0, 1) - previous).square().mean((1, 2, 3)).log10()


# A further one is added by EXIT_SCORES['name'] = function.
EXIT_SCORES: dict[str, ExitScore] = {'sharpness': sharpness, 'mean_gradient': mean_gradient, 'change': change}


def _grey(images: Tensor) -> Tensor:
    """The grey images of a batch, N x h x w in [0, 255], float32."""
    clipped = images.float().clamp(0, 1) * PEAK
    if images.shape[1] == 1:
        return clipped[:, 0]
    return (clipped * clipped.new_tensor(LUMA)[:, None, None]).sum(1)


def _gradients(grey: Tensor, operator: str) -> Tensor:
    """Magnitudes, N x (h - 1) x (w - 1)."""
    corner, right, below, diagonal = grey[:, :-1, :-1], grey[:, :-1, 1:], grey[:, 1:, :-1], grey[:, 1:, 1:]
    if operator == 'roberts':
        return torch.hypot(diagonal - corner, below - right)
    return torch.hypot(right - corner, below - corner)
