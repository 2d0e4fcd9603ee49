"""By which score regions should spend a budget: the share that each brings of what an oracle would gain."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from basicsr_ext.inference.calibration import error_at, exits_within
from basicsr_ext.inference.forecast import Forecast, fit_forecast
from basicsr_ext.inference.observation import Observations

FOLDS = 2


@dataclass(frozen=True)
class ExitRule:
    """A way to spend a budget, judged on images that its forecast was not fitted on.

    Attributes:
        scores: by which regions are compared; several together by a regression.
        leave: on which side of others regions leave that have less to gain; None for as the regression says.
        share: of what an oracle gains that knows the true differences to the full network, from the first exit on.
        error: squared differences to the full network, summed.
        forecast: fitted on all images.
    """

    scores: list[str]
    leave: str | None
    share: float
    error: float
    forecast: Forecast

    @property
    def name(self) -> str:
        """In words."""
        return ' + '.join(self.scores) if self.leave is None else f'{self.scores[0]}, leave {self.leave}'


@dataclass(frozen=True)
class Judged:
    """All rules at one budget, and what to compare them with.

    Attributes:
        budget: of each image.
        rules: the one to take first, the others by their errors.
        oracle: squared differences to the full network that an oracle leaves.
        mixture: share of the oracle's gain of the two pointers around the budget, mixed at random.
    """

    budget: float
    rules: list[ExitRule]
    oracle: float
    mixture: float


def judge(observations: Observations, budget: float, score: str | None, leave: str | None) -> Judged:
    """Judge the scores and all of them together, each in both directions, at a budget.

    A forecast is fitted on one half of the images and judged on the other, and the other way round; of a single image
    it is judged on the same. The best of many scores owes something to chance, so all together are taken unless one
    alone is better by more than a standard error of the differences between images.

    Args:
        observations: of images as those that will be restored.
        budget: of each image, in parts of the MACs of the full network on it.
        score, leave: what is asked for; None for all.
    """
    best = error_at(exits_within(observations, observations.differences, budget), observations.differences)
    first = observations.differences[:, 0].sum()
    gain = max(float(first - best), np.finfo(float).tiny)
    judged: list[tuple[np.ndarray, ExitRule]] = []  # the errors of each image
    for names, side in _asked(observations.names, score, leave):
        errors = _held_out(observations, names, side, budget)
        error = float(errors.sum())
        forecast = _fit(observations, names, side, slice(None))
        judged.append((errors, ExitRule(names, side, float(first - error) / gain, error, forecast)))
    judged.sort(key=lambda each: each[1].error)
    for place, (errors, rule) in enumerate(judged):
        if rule.leave is None and not _is_clear(errors - judged[0][0]):
            judged.insert(0, judged.pop(place))
            break
    mixture = float(first - mixture_error(observations, budget)) / gain
    return Judged(budget, [rule for _, rule in judged], best, mixture)


def _is_clear(differences: np.ndarray) -> bool:
    """Whether the sum of differences between images is more than its standard error."""
    number = len(differences)
    return number > 1 and float(differences.sum()) > math.sqrt(number * differences.var(ddof=1))


def mixture_error(observations: Observations, budget: float) -> float:
    """Squared differences where some regions leave by one pointer and the rest by the next, drawn at random."""
    costs = observations.macs.regular * observations.pixels.sum() / observations.macs.total
    return float(np.interp(budget, costs, observations.differences.sum(0)))


def _asked(names: Sequence[str], score: str | None, leave: str | None) -> Iterator[tuple[list[str], str | None]]:
    """Scores and directions that were not excluded."""
    if score is None and leave is None:
        yield list(names), None
    for name in names if score is None else [score]:
        for side in ('above', 'below') if leave is None else (leave,):
            yield [name], side


def _held_out(observations: Observations, names: list[str], side: str | None, budget: float) -> np.ndarray:
    """The error of each image that is left when each half of them is judged by the forecast of the other, (images,)."""
    folds = observations.images % FOLDS
    looks, errors = observations.looks_by(names), np.empty_like(observations.differences)
    for fold in np.unique(folds):
        others = folds != fold if (folds != fold).any() else folds == fold
        forecast = _fit(observations, names, side, others)
        own = folds == fold
        errors[own] = forecast.errors(looks[own]) * observations.pixels[own, None]
    exits = exits_within(observations, errors, budget)
    left = observations.differences[np.arange(len(exits)), exits - 1]
    return np.bincount(observations.images, left, len(observations.whole))


def _fit(observations: Observations, names: list[str], side: str | None, which: np.ndarray | slice) -> Forecast:
    errors = observations.differences[which] / observations.pixels[which, None]
    return fit_forecast(names, observations.looks_by(names)[which], errors, side)
