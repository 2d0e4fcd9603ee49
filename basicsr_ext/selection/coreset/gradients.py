"""Features of gradients at one or several networks."""

from collections.abc import Sequence

import numpy as np

from basicsr_ext.runtime.progress import Progress
from basicsr_ext.selection.coreset.choice import Measured, parts_of
from basicsr_ext.selection.coreset.features import side_by_side
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.influence.feature_engine import FeatureEngine


def measure_gradients(engines: Sequence[FeatureEngine], settings: CoresetSettings, hidden: bool = False) -> Measured:
    """What images are chosen by, in the metric of the curvature, the levels side by side.

    Args:
        engines: of the levels.
        settings: the block `rank`.
        hidden: show no progress.

    Raises:
        Interrupted: a stop was asked for; the state is saved.
        DivergenceError: a curvature product is not finite.
    """
    parts = parts_of(settings, engines[0].test.images)
    with_losses = 'el2n' in settings.orders
    for engine in engines:
        engine.parts, engine.with_losses = parts, with_losses
        engine.directions = settings.directions if settings.guard == 'curvature' else 0
    with Progress('Ranking', sum(engine.work() for engine in engines), unit='derivative', hidden=hidden) as progress:
        spaces = [engine.features(progress) for engine in engines]
        losses = np.mean([engine.losses() for engine in engines], 0) if with_losses else None
    whole, *others = (
        side_by_side([space.at(settings.dampings_for(space.krylov.ritz_values)[0]) for space in levels])
        for levels in zip(*spaces, strict=True)
    )
    return Measured(whole, parts, others, losses)
