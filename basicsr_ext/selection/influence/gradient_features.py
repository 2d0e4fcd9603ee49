"""Gradients of images in the metric of the curvature, in the space that a target's solution lives in."""

from dataclasses import dataclass

import numpy as np

from basicsr_ext.selection.coreset.features import Curvature, Features
from basicsr_ext.selection.influence.krylov import Krylov


@dataclass(frozen=True)
class GradientFeatures:
    """What is known of the gradients of images in the basis of a Krylov space.

    Attributes:
        krylov: of the mean gradient of the target, or of a part of it.
        images: (n, K), V g_i of the pool with the basis V.
        targets: (T, K), the same of the target's images.
        loss_curvature: c of `InfluenceEngine`, which divides the metric.
        curvature: (n, D, D), of each image between the leading directions; None where it was not asked for.
        leading: (D,), which rows of `whitening` these are.
    """

    krylov: Krylov
    images: np.ndarray
    targets: np.ndarray
    loss_curvature: float = 1.0
    curvature: np.ndarray | None = None
    leading: np.ndarray | None = None

    def at(self, damping: float) -> Features:
        """The features with a damping, relative to the largest eigenvalue: their products with the target's are n times
        the scores of `InfluenceEngine`.

        Raises:
            DivergenceError: H + damping I is not positive definite.
        """
        whitening, own = (value.numpy() for value in self.krylov.whitening(damping * self.krylov.ritz_values[-1]))
        whitening = whitening / self.loss_curvature**0.5
        images, targets = self.images @ whitening.T, self.targets @ whitening.T
        if self.curvature is None or self.leading is None:
            return Features(images, targets)
        return Features(images, targets, Curvature(self.leading, self.curvature, 1 - own[self.leading]))
