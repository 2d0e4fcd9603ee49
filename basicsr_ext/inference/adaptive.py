"""Early exits of a batch: who is good enough leaves, the others go on together."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from basicsr_ext.inference.settings import AdaptiveSettings


@runtime_checkable
class ExitNetwork(Protocol):
    """A network that restores after each of its stages, as FlexIR; `state[mask]` is a part of the batch."""

    pointer: int

    @property
    def num_branches(self) -> int:
        """Exits, and stages."""

    def begin(self, image: Tensor) -> Any:
        """The state before the first stage."""

    def step(self, state: Any) -> Any:
        """The state after the next stage."""

    def restore(self, state: Any) -> Tensor:
        """The images of the exit after the last stage passed."""


def restore_regularly(net: ExitNetwork, images: Tensor, last: int) -> Tensor:
    """Restore a batch by one exit (FlexIR, Algorithm 2, regular).

    Args:
        net: in evaluation mode.
        images: N x C x h x w, [0, 1].
        last: P, the exit, from 1.

    Returns:
        N x C x (h scale) x (w scale).
    """
    state = net.begin(images)
    for _ in range(last):
        state = net.step(state)
    return net.restore(state)


def restore_adaptively(
    net: ExitNetwork, images: Tensor, settings: AdaptiveSettings, last: int
) -> tuple[Tensor, Tensor]:
    """Restore a batch, each image by the first exit whose score is above the threshold (FlexIR, Algorithm 2, adaptive).

    The paper takes one region after the other. Here all pass a stage together, and those that exit leave the batch, so
    that the others take less time. An exit runs for all that have not left, because its score is needed.

    Args:
        net: in evaluation mode.
        images: N x C x h x w, [0, 1].
        settings: score and threshold.
        last: P, the exit for those that did not leave before, from 1; it is not scored.

    Returns:
        Restored images, N x C x (h scale) x (w scale), and the exits they left by, (N,), 1 to `last`.
    """
    score = settings.exit_score()
    state, previous = net.begin(images), images
    reference = None if settings.relative is None else score(images, images)
    inside = torch.arange(len(images), device=images.device)
    left: list[tuple[Tensor, Tensor, int]] = []  # which, their images, the exit
    for branch in range(1, last + 1):
        state = net.step(state)
        current = net.restore(state)
        if branch == last:
            left.append((inside, current, last))
            break
        scores = score(current, previous)
        leave = scores > (settings.threshold if reference is None else settings.threshold * reference)
        left.append((inside[leave], current[leave], branch))
        if leave.all():
            break
        if settings.relative == 'previous':
            reference = scores
        if leave.any():
            stay = ~leave
            state, current, inside = state[stay], current[stay], inside[stay]
            reference = None if reference is None else reference[stay]
        previous = current
    order = torch.cat([which for which, _, _ in left]).argsort()
    exits = torch.cat([torch.full_like(which, branch) for which, _, branch in left])
    return torch.cat([restored for _, restored, _ in left])[order], exits[order]
