"""The pointer or threshold that meets a budget."""

from collections.abc import Callable

import numpy as np

from basicsr_ext.errors import OptionError
from basicsr_ext.inference.calibration import missed, spent, with_pointer, with_threshold
from basicsr_ext.inference.observation import Expense, Observations
from basicsr_ext.inference.settings import InferenceSettings

TOLERANCE = 0.05  # of a budget
CORRECTIONS = 4  # runs that a budget of time may take
NOISE = 0.02  # of measured times


def choose(
    observations: Observations, settings: InferenceSettings, expense: Expense, budget: float, where: str
) -> InferenceSettings:
    """The settings that cost a budget, to 5 %.

    That is a threshold, between two pointers and beyond, or a pointer that costs as much or up to 5 % less if it agrees
    better with the full network. More than the full network costs is not spent.

    Args:
        observations: of images as those that will be restored.
        settings: what was observed.
        expense: of the observations, in the unit of the budget.
        budget: what all may cost.
        where: path of the budget in the option file, named in errors.

    Raises:
        OptionError: the budget is below the first pointer, or no threshold comes near enough.
    """
    last = observations.differences.shape[1]
    pointers = [with_pointer(settings, pointer) for pointer in range(1, last + 1)]
    costs = [spent(observations, expense, pointer) for pointer in pointers]
    possible = f'{costs[0]:.4g} (pointer 1) to {costs[-1]:.4g} (pointer {last})'
    if budget >= costs[-1]:
        return pointers[-1]
    if budget < costs[0]:
        raise OptionError(where, possible, f'{budget:.4g}', 'Raise it or train a smaller network.')
    adaptive = with_threshold(settings, _threshold(observations, expense, budget), last)
    candidates = [
        pointer for pointer, cost in zip(pointers, costs, strict=True) if 0 <= budget - cost <= TOLERANCE * budget
    ]
    realised = spent(observations, expense, adaptive)
    if abs(realised - budget) <= TOLERANCE * budget:
        candidates.append(adaptive)
    if not candidates:
        raise OptionError(
            where,
            f'a budget that a pointer or threshold meets to {TOLERANCE:.0%} within {possible}',
            f'{budget:.4g}; a threshold costs {realised:.4g}',
            'Take more images, smaller regions or another score.',
        )
    return min(candidates, key=lambda candidate: missed(observations, candidate))


def _threshold(observations: Observations, expense: Expense, budget: float) -> float:
    """Find the threshold for a budget, by interpolation between those at which a region goes on to the next exit.

    A region passes exit j if its scores up to j are not above the threshold. So the cost is a sum of steps, each at the
    largest of these scores; between the middles of the steps it is taken as linear.
    """
    peaks = np.maximum.accumulate(observations.scores, 1)
    steps = observations.pixels[:, None] * np.diff(expense.adaptive) / expense.total
    lowest = observations.pixels.sum() * expense.adaptive[0] / expense.total + steps[np.isneginf(peaks)].sum()
    finite = np.isfinite(peaks)
    if not finite.any():
        return 0.0
    values, which = np.unique(peaks[finite], return_inverse=True)
    rises = np.bincount(which, steps[finite])
    middles = lowest + rises.cumsum() - rises / 2
    if budget < middles[0]:
        return float(np.nextafter(np.float32(values[0]), np.float32(-np.inf)))
    return float(np.interp(budget, middles, values))


def choose_by_time(
    observations: Observations,
    settings: InferenceSettings,
    budget: float,
    where: str,
    measure: Callable[[InferenceSettings], float],
) -> tuple[InferenceSettings, float]:
    """The settings that take a time, to 5 % of it.

    The observed times leave out cutting, blending and regrouping. So what is chosen runs, the times are corrected by
    what it took, and the choice is made again, until the time is met.

    Args:
        observations, settings, where: as `choose`.
        budget: in milliseconds per megapixel.
        measure: gives this for settings, from a run.

    Returns:
        The settings, and the time measured with them.

    Raises:
        OptionError: as `choose`.
    """
    expense = observations.time
    tried: list[tuple[float, InferenceSettings, float]] = []
    for _ in range(CORRECTIONS):
        chosen = choose(observations, settings, expense, budget, where)
        taken = measure(chosen)
        error = taken / budget - 1
        most = chosen.adaptive is None and chosen.pointer == observations.differences.shape[1]
        tried.append((abs(error), chosen, taken))
        if abs(error) <= NOISE or (most and error < 0):
            break
        expense = observations.time.times(taken / spent(observations, observations.time, chosen))
    _, chosen, taken = min(tried, key=lambda trial: trial[0])
    return chosen, taken
