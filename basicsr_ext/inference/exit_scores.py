"""Scores of restored regions, from which follows whether they are good enough to be returned early."""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from basicsr_ext.images.pixels import LUMA
from basicsr_ext.metrics.mgvg import Operator, gradients, mgvg

PEAK = 255
LAPLACIAN = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))


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


def noise(restored: Tensor, previous: Tensor) -> Tensor:
    """The standard deviation of white noise of the grey image in [0, 255]; fine texture counts as noise too.

    Immerkaer, "Fast Noise Variance Estimation", CVIU 1996, Eq. 3: the mean magnitude of the difference of two
    Laplacians, times sqrt(pi / 2) / 6. Regions with a side below 3 have 0.

    Args:
        restored, previous: as ExitScore; `previous` is not used.
    """
    grey = _grey(restored)[:, None]
    if min(grey.shape[-2:]) < 3:
        return restored.new_zeros(len(restored), dtype=torch.float32)
    response = conv2d(grey, grey.new_tensor(LAPLACIAN)[None, None])
    return math.sqrt(math.pi / 2) / 6 * response.abs().mean((1, 2, 3))


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
EXIT_SCORES: dict[str, ExitScore] = {
    'sharpness': sharpness,
    'mean_gradient': mean_gradient,
    'noise': noise,
    'change': change,
}


def region_scores(scores: Sequence[ExitScore], images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Score regions when the first stage has passed and no exit has run: what the input looks like, what was changed.

    Args:
        scores: what is asked. `change` tells of features: 10 log10 of their mean square before the stage over that of
            what it changed, in dB, again high where little was changed.
        images: the input, N x C x h x w, [0, 1].
        before, after: features around the first stage, N x C x H x W.

    Returns:
        N x scores, float32.
    """

    def one(score: ExitScore) -> Tensor:
        if score is not change:
            return score(images, images).float()
        kept, changed = before.float().square(), (after.float() - before.float()).square()
        return 10 * (kept.mean((1, 2, 3)) / changed.mean((1, 2, 3))).log10()

    return torch.stack([one(score) for score in scores], 1)


def _grey(images: Tensor) -> Tensor:
    """The grey images of a batch, N x h x w in [0, 255], float32."""
    clipped = images.float().clamp(0, 1) * PEAK
    if images.shape[1] == 1:
        return clipped[:, 0]
    return (clipped * clipped.new_tensor(LUMA)[:, None, None]).sum(1)
