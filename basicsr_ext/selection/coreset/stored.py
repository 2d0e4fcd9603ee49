"""The files that features leave beside a ranking: what teaches which target image, and predictions for any subset."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from basicsr_ext.errors import DataError, first_few
from basicsr_ext.selection.coreset.features import Features
from basicsr_ext.selection.coreset.prediction import first_order, second_order
from basicsr_ext.selection.manifest import Item, Manifest, read_manifest, write_manifest

PER_TARGET, FEATURES = 'per_target.parquet', 'features.parquet'
INFLUENCE = 'influence of '  # begins the columns of per_target.parquet


def write_per_target(
    folder: Path, items: Sequence[Item], targets: Sequence[Item], features: Features, identity: Mapping[str, Any]
) -> None:
    """Write the influence of every image on the loss of every target image, a column each; their mean is the influence
    on the target.

    (1 / n) a_i . a_j, in units of the loss where that has curvature: in the space of the target's solution, which is
    exact for the mean, for one image what of its gradient lies in that space.
    """
    matrix = features.images @ features.targets.T / len(items)
    columns = {f'{INFLUENCE}{target.path}': matrix[:, place].tolist() for place, target in enumerate(targets)}
    write_manifest(folder / PER_TARGET, items, columns, identity)


def write_features(folder: Path, items: Sequence[Item], features: Features, identity: Mapping[str, Any]) -> None:
    """Write a column for each feature, and the target's mean in the header."""
    columns = {f'feature_{place}': values.tolist() for place, values in enumerate(features.images.T)}
    write_manifest(folder / FEATURES, items, columns, {**identity, 'target_features': features.target.tolist()})


class Predictor:
    """Predicts the change of the target's mean loss by training on a part of the images, from `features.parquet`.

    Args:
        path: the file that `basicsr-ext rank` with `method: matching` and its relatives writes.

    Attributes:
        unit: what the scores of the ranking are; None where predictions have no unit, as by files of earlier versions.

    Raises:
        DataError: it is none.

    Example:
        >>> import torch
        >>> import basicsr_ext as bx
        >>> images = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(i)) for i in range(6)]
        >>> pairs = [((image + 0.1).clamp(0, 1), image) for image in images]
        >>> net = torch.nn.Conv2d(3, 3, 3, padding=1)
        >>> ranking = bx.rank(pairs, pairs[:2], net, method='matching', size=2, output=folder / 'ranking.parquet')
        >>> predict = bx.Predictor(folder / 'features.parquet')
        >>> chosen = [path for path, rank in zip(ranking.column('path'), ranking.column('rank')) if rank <= 2]
        >>> predict(chosen) <= predict(ranking.column('path')[:2])
        True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        manifest = read_manifest(path)
        target = manifest.header.get('target_features')
        if not isinstance(target, list):
            raise DataError(f'manifest {path}', f'{FEATURES} of a ranking', 'another manifest', 'Name that file.')
        columns = [manifest.array(f'feature_{place}') for place in range(len(target))]
        self.features = Features(np.stack(columns, 1), np.array([target]))
        self._rows = _rows_by_name(manifest)
        self.source, self.unit = manifest.source, manifest.header.get('unit')

    def __call__(self, paths: Sequence[str], linear: bool = False) -> float:
        """The predicted change, negative where the subset helps, in units of `rank.grad_loss`; in no unit for a loss
        without curvature, such as L1, an encoder's features or several levels.

        Args:
            paths: of the images of the subset, as in the file.
            linear: by the sum of influences, first order, instead of second order.

        Raises:
            DataError: names that are not in the file.
        """
        unknown = [path for path in paths if path not in self._rows]
        if unknown or not paths:
            raise DataError(f'manifest {self.source}', 'paths in it', first_few(unknown) or 'none', 'Correct them.')
        return (first_order if linear else second_order)(self.features, [self._rows[path] for path in paths])


def _rows_by_name(manifest: Manifest) -> dict[str, int]:
    return {path: row for row, path in enumerate(manifest.column('path'))}
