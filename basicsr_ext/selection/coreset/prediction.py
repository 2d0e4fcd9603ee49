"""The change of the target's mean loss that training on some images instead of the pool is predicted to make.

Training on a set S moves the weights by -(H_S + damping)^-1 mean_S g from where training on the pool led. In the
features of `Features`, with the pool's curvature in the place of H_S, that is the mean of a over S, and the target's
loss changes by -t . mean_S a to first order (Koh and Liang, 2017), by -t . mean_S a + |mean_S a|^2 / 2 to second order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from basicsr_ext.selection.coreset.features import Curvature, Features

Rows = Sequence[int] | np.ndarray


def first_order(features: Features, rows: Rows) -> float:
    """-t . mean_S a: minus the mean of the influences of the images."""
    return float(-features.influence[rows].mean())


def second_order(features: Features, rows: Rows) -> float:
    """|mean_S a - t|^2 / 2 - |t|^2 / 2, or -t . d + |d|^2 / 2 with d = (mean_S C + damping)^-1 mean_S a where the
    curvature C of each image is known."""
    return float(Objective(features).values(Total.of(features, rows), len(rows))[0])


def falls(features: Features, order: Rows) -> np.ndarray:
    """Minus the second-order prediction for the first 1, 2, ... n images of an order, (n,); the pool's curvature."""
    means = np.cumsum(features.images[order], 0) / np.arange(1, len(order) + 1)[:, None]
    fall: np.ndarray = means @ features.target - (means**2).sum(1) / 2
    return fall


@dataclass
class Total:
    """The sums over a set of images.

    Attributes:
        mean: (k,), of their features.
        curvature: (m, m), of their curvatures; None where these are not known.
    """

    mean: np.ndarray
    curvature: np.ndarray | None

    @classmethod
    def of(cls, features: Features, rows: Rows) -> 'Total':
        """The sums over the images in some rows, of which there may be none."""
        rows = np.asarray(rows, dtype=np.int64)
        own = features.curvature
        return cls(features.images[rows].sum(0), None if own is None else own.images[rows].sum(0))


class Objective:
    """The second-order prediction for a set to which each one of some candidates is added."""

    def __init__(self, features: Features) -> None:
        self.features, self.target = features, features.target

    @cached_property
    def squares(self) -> np.ndarray:
        """|a_i|^2 of every image, (n,); a set alone does not ask for it."""
        squares: np.ndarray = (self.features.images**2).sum(1)
        return squares

    @cached_property
    def influence(self) -> np.ndarray:
        """a_i . t of every image, (n,), likewise."""
        return self.features.influence

    def values(self, total: Total, size: int, candidates: np.ndarray | None = None) -> np.ndarray:
        """The predictions.

        Args:
            total: sums over the set without a candidate.
            size: of the set with it.
            candidates: (c,) rows; None adds none.

        Returns:
            (c,), or (1,) for the set alone.
        """
        own = self.features.curvature
        if own is not None and total.curvature is not None:
            return self._with_curvature(own, total.mean, total.curvature, size, candidates)
        dot, square = total.mean @ self.target, total.mean @ total.mean
        if candidates is None:
            return np.array([square / size**2 / 2 - dot / size])
        products = self.features.images @ total.mean  # of all images: faster than gathering the candidates
        squares = square + (2 * products + self.squares)[candidates]
        value: np.ndarray = squares / size**2 / 2 - (dot + self.influence[candidates]) / size
        return value

    def _with_curvature(
        self, own: Curvature, mean: np.ndarray, curvature: np.ndarray, size: int, candidates: np.ndarray | None
    ) -> np.ndarray:
        if candidates is None:
            moves, matrices = mean[None] / size, curvature[None] / size
        else:
            moves = (mean + self.features.images[candidates]) / size
            matrices = (curvature + own.images[candidates]) / size
        matrices = matrices + np.diag(own.damping)
        moves[:, own.along] = np.linalg.solve(matrices, moves[:, own.along, None])[..., 0]
        value: np.ndarray = (moves**2).sum(1) / 2 - moves @ self.target
        return value
