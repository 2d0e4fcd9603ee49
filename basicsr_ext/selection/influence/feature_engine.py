"""Gradients of images and of a target in a few directions: features that images can be chosen together by."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.selection.influence.batches import Batch
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.gradient_features import GradientFeatures
from basicsr_ext.selection.influence.krylov import Krylov


class FeatureEngine(InfluenceEngine):
    """The features of `GradientFeatures`, for the whole target and for parts of it.

    Lanczos' process from the mean gradient of the target, or of a part, gives a basis; then each image costs one
    gradient. All ranks of a process group work on it together and get the same result. Arguments are those of
    `InfluenceEngine`.
    """

    parts: Sequence[list[int]] = ()  # beside the whole target, rows of it to which bases of their own belong
    directions: int = 0  # in which the curvature of each image is measured
    with_losses: bool = False

    def work(self) -> int:
        """How many derivatives of the loss of an image, and losses, the features take."""
        bases = 1 + len(self.parts)
        gradients = 2 * self.test.images + sum(map(len, self.parts)) + self.train.images
        directions = min(self.directions, self.steps) * self.train.images
        curvature = (bases * self.steps + 1) * self.curvature_images
        return curvature + gradients + directions + self.with_losses * self.train.images

    def features(self, progress: Progress) -> list[GradientFeatures]:
        """The features with the basis of the whole target, then of each part.

        Args:
            progress: counts the derivatives.

        Raises:
            Interrupted: a stop was asked for; calling again in a new process continues.
            DivergenceError: a curvature product is not finite.
        """
        self.progress = progress
        spaces = [self._space(number, part) for number, part in enumerate([None, *self.parts])]
        values = spaces[0].ritz_values
        dampings = [relative * values[-1] for relative in self.settings.dampings_for(values)]
        self.chosen = {**self.chosen, 'largest_eigenvalue': values[-1], 'damping': dampings}
        loss_curvature = self._measured_curvature()
        basis = torch.cat([space.basis for space in spaces])
        images, targets = (
            self._rows(data, self.folder / name, lambda batch: self.derivatives.directional(batch, self.loss, basis))
            for data, name in ((self.train, 'images'), (self.test, 'targets'))
        )
        ends = np.cumsum([len(space.basis) for space in spaces])[:-1]
        split = zip(spaces, np.split(images, ends, 1), np.split(targets, ends, 1), strict=True)
        whole, *others = (GradientFeatures(*each, loss_curvature) for each in split)
        return [self._with_curvature(whole) if self.directions else whole, *others]

    def losses(self) -> np.ndarray:
        """The loss of every image of the pool, (n,)."""
        rows = self._rows(self.train, self.folder / 'losses', self._losses)
        return rows[:, 0]

    def _losses(self, batch: Batch) -> Tensor:
        return self.derivatives.losses(batch, self.loss)[:, None]

    def _space(self, number: int, part: list[int] | None) -> Krylov:
        folder = self.folder if part is None else Path(self.folder, f'part_{number}')
        krylov = self._lanczos(self._test_gradient(folder, part), folder)
        basis, matrix, norm = distributed.from_first((krylov.basis.cpu(), krylov.matrix, krylov.norm))
        return Krylov(basis.to(self.device), matrix, norm)

    def _with_curvature(self, whole: GradientFeatures) -> GradientFeatures:
        """Measure the curvature of each image where the target asks most."""
        space = whole.krylov
        damping = self.settings.dampings_for(space.ritz_values)[0]
        whitening, _ = space.whitening(damping * space.ritz_values[-1])
        asked = np.abs(whole.at(damping).target)
        leading = np.sort(np.argsort(-asked, kind='stable')[: self.directions])
        directions = whitening[leading].to(space.basis) @ space.basis

        def curvature(batch: Batch) -> Tensor:
            return self.derivatives.curvature(batch, directions).flatten(1)

        rows = self._rows(self.train, self.folder / 'curvature', curvature)
        own = rows.reshape(len(rows), len(leading), len(leading))
        return replace(whole, curvature=own, leading=leading)
