"""Early exits of a batch: who is good enough leaves, the others go on together."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from basicsr_ext.inference.exit_scores import region_scores
from basicsr_ext.inference.settings import AdaptiveSettings


@runtime_checkable
class ExitNetwork(Protocol):
    """A network that restores after each of its stages, as FlexIR.

    Of a state, `state[mask]` is a part of the batch, and `feature` what the stages so far gave, N x C x H x W.
    """

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
    """Restore a batch, each image by the first exit whose score passes the threshold (FlexIR, Algorithm 2, adaptive).

    The paper takes one region after the other. Here all pass a stage together, and those that exit leave the batch, so
    that the others take less time. An exit runs for all that have not left, because its score is needed. Relative to
    the exit before, no score of the first exit counts.

    Args:
        net: in evaluation mode.
        images: N x C x h x w, [0, 1].
        settings: score and threshold.
        last: P, the exit for those that did not leave before, from 1; it is not scored.

    Returns:
        Restored images, N x C x (h scale) x (w scale), and the exits they left by, (N,), 1 to `last`.
    """
    rule = ThresholdScores(settings)
    state, previous = net.begin(images), images
    rule.begin(images)
    inside = torch.arange(len(images), device=images.device)
    left: list[tuple[Tensor, Tensor, int]] = []  # which, their images, the exit
    for branch in range(1, last + 1):
        state = net.step(state)
        current = net.restore(state)
        if branch == last:
            left.append((inside, current, last))
            break
        leave = settings.leaves(rule.scores(current, previous))
        left.append((inside[leave], current[leave], branch))
        if leave.all():
            break
        if leave.any():
            stay = ~leave
            state, current, inside = state[stay], current[stay], inside[stay]
            rule.keep(stay)
        previous = current
    order = torch.cat([which for which, _, _ in left]).argsort()
    exits = torch.cat([torch.full_like(which, branch) for which, _, branch in left])
    return torch.cat([restored for _, restored, _ in left])[order], exits[order]


class ThresholdScores:
    """Scores in the unit of the threshold: parts of a reference if it is relative to one.

    Args:
        settings: whose threshold is not read.
    """

    def __init__(self, settings: AdaptiveSettings) -> None:
        self.score, self.relative = settings.exit_score(), settings.relative
        self.above = settings.side == 'above'
        self.reference: Tensor | None = None

    def begin(self, images: Tensor) -> None:
        """Take the images before the first exit."""
        self.reference = self.score(images, images) if self.relative == 'input' else None

    def scores(self, restored: Tensor, previous: Tensor) -> Tensor:
        """What is compared with the threshold, (N,); that which never passes where there is no reference.

        A score above 0 is beyond every multiple of a reference of 0, one of 0 is not.
        """
        scores, reference = self.score(restored, previous), self.reference
        if self.relative is None:
            return scores
        if self.relative == 'previous':
            self.reference = scores
        never = torch.full_like(scores, -torch.inf if self.above else torch.inf)
        if reference is None:
            return never
        return torch.where(reference > 0, scores / reference, torch.where(scores > 0, torch.inf, never))

    def keep(self, stay: Tensor) -> None:
        """Go on with a part of the batch."""
        self.reference = None if self.reference is None else self.reference[stay]


def restore_as_planned(
    net: ExitNetwork,
    batches: Iterable[Tensor],
    settings: AdaptiveSettings,
    plan: Callable[[np.ndarray], np.ndarray],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pass all batches through the first stage, plan the exits of all images, and restore each by its own.

    No exit runs but the one that an image leaves by. What the first stage gave is kept until all are scored.

    Args:
        net: in evaluation mode.
        batches: each N x C x h x w, [0, 1].
        settings: with the scores that the plan needs.
        plan: gives the exits, (images,), from 1, for the scores of all images, images x scores, float64.

    Yields:
        For each batch what `restore_adaptively` returns.
    """
    begun, found = [], []
    for images in batches:
        before = net.begin(images)
        after = net.step(before)
        found.append(region_scores(settings.exit_scores(), images, before.feature, after.feature))
        begun.append(after)
    planned = torch.from_numpy(plan(torch.cat(found).cpu().double().numpy()))
    for state, exits in zip(begun, planned.split([len(scores) for scores in found]), strict=True):
        yield _restore_by(net, state, exits.to(state.feature.device)), exits


def _restore_by(net: ExitNetwork, state: Any, exits: Tensor) -> Tensor:
    """Restore a batch that has passed the first stage, each image by its exit."""
    inside = torch.arange(len(exits), device=exits.device)
    parts: list[Tensor] = []
    order: list[Tensor] = []
    for branch in range(1, int(exits.max()) + 1):
        if branch > 1:
            state = net.step(state)
        leave = exits[inside] == branch
        if leave.any():
            parts.append(net.restore(state[leave]))
            order.append(inside[leave])
            state, inside = state[~leave], inside[~leave]
    return torch.cat(parts)[torch.cat(order).argsort()]
