"""What regions still have to gain, foretold after their first exit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.inference.exit_scores import EXIT_SCORES
from basicsr_ext.options.blocks import NameIn

RIDGE = 1e-2  # of the variance of a score
FLOOR = 1e-4  # of the mean error, below which errors count as equal
LARGEST = 1e3  # what an infinite score counts as
DECAY = 0.3  # what an exit leaves of the error of the one before, as long as nothing is known of a network


@dataclass(frozen=True)
class Forecast:
    """A linear regression of the logarithm of the error that is left after each exit but the last.

    The error is the mean squared difference to what the last exit restores, whose own is 0. A score s enters as
    sign(s) log(1 + |s|). Wang et al., "Adaptive Patch Exiting for Scalable Single Image Super-Resolution", ECCV 2022,
    train a regressor of the gain of each exit with the network and ask it at every exit; this one is fitted to a
    trained network, in closed form, and asked once.

    Attributes:
        scores: names in `EXIT_SCORES`, taken after the first exit.
        weights: for each exit but the last a factor for each score, and a constant.
    """

    scores: list[Annotated[str, NameIn(EXIT_SCORES)]]
    weights: list[list[float]]

    def __post_init__(self) -> None:
        if not self.scores or not self.weights or any(len(row) != len(self.scores) + 1 for row in self.weights):
            raise OptionError(
                'weights', f'rows of {len(self.scores) + 1} numbers', shown(self.weights), 'Run calibrate again.'
            )

    def errors(self, scores: np.ndarray) -> np.ndarray:
        """The errors expected after every exit, which never rise: regions x exits.

        Args:
            scores: of regions, in the order of `scores`, regions x scores.
        """
        logarithms = _inputs(scores) @ np.array(self.weights).reshape(-1, len(self.scores) + 1).T
        expected = np.exp(np.minimum.accumulate(logarithms, 1))
        return np.concatenate([expected, np.zeros((len(expected), 1))], 1)


def plain_forecast(score: str, leave: str, exits: int) -> Forecast:
    """Say by a score alone what regions have to gain: every exit leaves 0.3 of the error of the one before.

    Args:
        score: a name in `EXIT_SCORES`.
        leave: which regions have less to gain, those whose score is `above` or `below` the others'.
        exits: of the network.
    """
    slope = -1.0 if leave == 'above' else 1.0
    return Forecast([score], [[slope, exit * float(np.log(DECAY))] for exit in range(exits - 1)])


def fit_forecast(names: Sequence[str], scores: np.ndarray, errors: np.ndarray, leave: str | None = None) -> Forecast:
    """Fit a forecast by ridge regression.

    Args:
        names: of the scores.
        scores: of regions after the first exit, regions x scores.
        errors: mean squared differences of the regions to what the last exit restores, regions x exits.
        leave: for one score, which way it counts whatever the data say; None for as they say.
    """
    inputs, floor = _inputs(scores), FLOOR * errors.mean(0) + np.finfo(float).tiny
    targets = np.log(errors + floor)[:, :-1]
    centre, middle = inputs[:, :-1].mean(0), targets.mean(0)
    centred = inputs[:, :-1] - centre
    covariance = centred.T @ centred
    ridge = RIDGE * np.diag(covariance) + np.finfo(float).tiny
    factors = np.linalg.solve(covariance + np.diag(ridge), centred.T @ (targets - middle))
    if leave is not None:
        factors = np.abs(factors) * (-1 if leave == 'above' else 1)
    weights = np.concatenate([factors, [middle - centre @ factors]]).T
    return Forecast(list(names), weights.tolist())


def _inputs(scores: np.ndarray) -> np.ndarray:
    """Scores as they enter the regression, and a column of ones."""
    bounded = np.nan_to_num(scores.astype(np.float64), posinf=LARGEST)
    logarithms = np.sign(bounded) * np.log1p(np.abs(bounded))
    return np.concatenate([logarithms, np.ones((len(scores), 1))], 1)
