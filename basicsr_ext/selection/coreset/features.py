"""What a choice of images is made by: a vector for each image of a pool and of a target."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curvature:
    """The curvature of each image's own loss between some of the features' directions.

    Attributes:
        along: (m,), which entries of the features these directions are.
        images: (n, m, m), the Gauss-Newton matrix of each image in units of the pool's damped one.
        damping: (m,), the damping in the same units: the mean of `images` over the pool plus this is the identity.
    """

    along: np.ndarray
    images: np.ndarray
    damping: np.ndarray


@dataclass(frozen=True)
class Features:
    """Features in which the mean of a training set says where it leads, and that of a target where to go.

    Gradients in the metric of the curvature, a_i = (c (H + damping))^(-1/2) g_i with the c of `InfluenceEngine`, or an
    encoder's features.

    Attributes:
        images: (n, k) float64, a_i of the pool.
        targets: (T, k) float64, the same of the target's images.
        curvature: of gradients, where it is known.
    """

    images: np.ndarray
    targets: np.ndarray
    curvature: Curvature | None = None

    @property
    def target(self) -> np.ndarray:
        """t, the mean over the target, (k,)."""
        mean: np.ndarray = self.targets.mean(0)
        return mean

    @property
    def influence(self) -> np.ndarray:
        """a_i . t of every image, (n,): n times its influence (Koh and Liang, 2017), positive where it helps."""
        product: np.ndarray = self.images @ self.target
        return product

    def aimed_at(self, rows: Sequence[int] | np.ndarray) -> 'Features':
        """The same with a part of the target."""
        return Features(self.images, self.targets[rows], self.curvature)


def side_by_side(levels: Sequence[Features]) -> Features:
    """Features of several networks as one, each scaled so that the vectors of its pool have a mean norm of 1."""
    if len(levels) == 1:
        return levels[0]
    scales = [1 / np.linalg.norm(level.images, axis=1).mean() for level in levels]
    images, targets = (
        np.concatenate([getattr(level, name) * scale for level, scale in zip(levels, scales, strict=True)], 1)
        for name in ('images', 'targets')
    )
    return Features(images, targets, _block_diagonal(levels))


def _block_diagonal(levels: Sequence[Features]) -> Curvature | None:
    curvatures = [level.curvature for level in levels if level.curvature is not None]
    if not curvatures:
        return None
    starts = np.cumsum([0, *(level.images.shape[1] for level in levels)])
    sides = np.cumsum([0, *(len(each.along) for each in curvatures)])
    images = np.zeros((len(levels[0].images), sides[-1], sides[-1]))
    for each, first, last in zip(curvatures, sides[:-1], sides[1:], strict=True):
        images[:, first:last, first:last] = each.images
    along = np.concatenate([start + each.along for start, each in zip(starts[:-1], curvatures, strict=True)])
    return Curvature(along, images, np.concatenate([each.damping for each in curvatures]))
