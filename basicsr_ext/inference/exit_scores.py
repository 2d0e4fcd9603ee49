"""Scores that tell whether a restored region is good enough to be returned early: higher is better."""

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from basicsr_ext.images.pixels import LUMA
from basicsr_ext.metrics.mgvg import Operator, gradients, mgvg

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
    operator: Operator = 'forward',
    mean: Literal['trimmed', 'whole'] = 'trimmed',
) -> Tensor:
    """Omega of the grey image in [0, 255], see `mgvg`: FlexIR, Sec. 3.3, Eq. 6 to 8.

    A region without any gradient has Omega = 0, which no threshold of 0 or more lets exit.

    Args:
        restored, previous: as ExitScore; `previous` is not used.
        operator: magnitudes of `forward` differences, or of the diagonal ones of Roberts, which FlexIR names.
        mean: of the `trimmed` map, as published, or of the `whole` one, as Eq. 7 of FlexIR prints it.
    """
    return mgvg(_grey(restored), operator, mean)


def mean_gradient(restored: Tensor, previous: Tensor, operator: Operator = 'forward') -> Tensor:
    """The mean magnitude of the gradients of the grey image in [0, 255].

    Args:
        restored, previous: as ExitScore; `previous` is not used.
        operator: as in `sharpness`.
    """
    if min(restored.shape[-2:]) < 2:
        return restored.new_zeros(len(restored), dtype=torch.float32)
    return gradients(_grey(restored), operator).mean((1, 2))


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
