"""The pointer, or the early exits, for a budget."""

from collections.abc import Callable
from dataclasses import dataclass

from basicsr_ext.errors import OptionError
from basicsr_ext.inference.calibration import error_at, exits_at, spent, with_budget, with_pointer
from basicsr_ext.inference.exit_rules import ExitRule, Judged
from basicsr_ext.inference.observation import Expense, Observations
from basicsr_ext.inference.settings import LESS_COSTLY, InferenceSettings

TOLERANCE = 0.05  # of a budget of time
CORRECTIONS = 4  # runs that a budget of time may take
NOISE = 0.02  # of measured times
HALVINGS = 30


@dataclass(frozen=True)
class Choice:
    """What a budget led to.

    Attributes:
        inference: the settings.
        rule: by which regions spend the budget; None for a pointer.
        reason: why, in one sentence.
    """

    inference: InferenceSettings
    rule: ExitRule | None
    reason: str


def choose(
    observations: Observations,
    settings: InferenceSettings,
    judged: Judged,
    expense: Expense,
    budget: float,
    where: str,
) -> Choice:
    """The settings that agree best with the full network for a budget.

    That is the best rule, which spends it exactly, or the best pointer that costs no more, if that agrees at least as
    well. More than the full network costs is not spent.

    Args:
        observations: of images as those that will be restored.
        settings: what was observed.
        judged: the rules at this budget, or at one near it.
        expense: of the observations, in the unit of the budget.
        budget: what all may cost.
        where: path of the budget in the option file, named in errors.

    Raises:
        OptionError: the budget is below the first pointer.
    """
    last = observations.differences.shape[1]
    costs = [spent(observations, expense, with_pointer(settings, pointer)) for pointer in range(1, last + 1)]
    if budget < costs[0]:
        possible = f'{costs[0]:.4g} (pointer 1) to {costs[-1]:.4g} (pointer {last})'
        raise OptionError(where, possible, f'{budget:.4g}', f'Raise it or train a smaller network. {LESS_COSTLY}')
    pointer = max(number for number, cost in enumerate(costs, 1) if cost <= budget)
    regular = with_pointer(settings, pointer)
    if pointer == last:
        return Choice(regular, None, f'pointer {pointer}, the full network, costs no more')
    rule = judged.rules[0]
    adaptive = _within(observations, settings, rule, expense, budget)
    error = float(observations.differences[:, pointer - 1].sum())
    held_out = (
        rule.error
        if expense is observations.macs
        else error_at(exits_at(observations, adaptive), observations.differences)
    )
    found = f'{rule.name} brings {rule.share:.0%} of what an oracle gains over the first exit'
    if held_out >= error:
        reason = f'pointer {pointer} agrees better with the full network than spending the rest by regions: {found}'
        return Choice(regular, None, reason)
    return Choice(adaptive, rule, f'{found}, and agrees better with the full network than pointer {pointer}')


def _within(
    observations: Observations, settings: InferenceSettings, rule: ExitRule, expense: Expense, budget: float
) -> InferenceSettings:
    """Regions that spend a budget; one that is not in MACs is turned into them by bisection."""
    if expense is observations.macs:
        return with_budget(settings, budget, rule.forecast)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        costly = spent(observations, expense, with_budget(settings, middle, rule.forecast)) > budget
        low, high = (low, middle) if costly else (middle, high)
    return with_budget(settings, high, rule.forecast)


def choose_by_time(
    observations: Observations,
    settings: InferenceSettings,
    judged: Judged,
    budget: float,
    where: str,
    measure: Callable[[InferenceSettings], float],
) -> tuple[Choice, float]:
    """The settings that take a time, to 5 % of it.

    The observed times leave out cutting, blending and regrouping. So what is chosen runs, the times are corrected by
    what it took, and the choice is made again, until the time is met.

    Args:
        observations, settings, judged, where: as `choose`.
        budget: in milliseconds per megapixel.
        measure: gives this for settings, from a run.

    Returns:
        The choice, and the time measured with it.

    Raises:
        OptionError: as `choose`.
    """
    expense = observations.time
    tried: list[tuple[float, Choice, float]] = []
    for _ in range(CORRECTIONS):
        chosen = choose(observations, settings, judged, expense, budget, where)
        taken = measure(chosen.inference)
        error = taken / budget - 1
        tried.append((abs(error), chosen, taken))
        if abs(error) <= NOISE or (chosen.rule is None and error < 0):
            break
        expense = observations.time.times(taken / spent(observations, observations.time, chosen.inference))
    _, chosen, taken = min(tried, key=lambda trial: trial[0])
    return chosen, taken
