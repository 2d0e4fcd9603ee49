"""Everything that can be chosen, tabulated."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from basicsr_ext.inference.calibration import (
    Operation,
    evaluate,
    oracle,
    with_budget,
    with_pointer,
    with_threshold,
)
from basicsr_ext.inference.exit_rules import Judged, judge
from basicsr_ext.inference.observation import Observations
from basicsr_ext.inference.settings import InferenceSettings

BUDGETS = 9


@dataclass(frozen=True)
class Tables:
    """What every choice does.

    Attributes:
        pointers: all of them.
        thresholds: at equally spaced quantiles of the score.
        budgets: equally spaced, spent by the best rule.
        oracle: the same budgets, spent by the true differences to the full network.
        judged: all rules at one budget.
    """

    pointers: list[Operation]
    thresholds: list[Operation]
    budgets: list[Operation]
    oracle: list[Operation]
    judged: Judged

    def rows(self) -> list[Operation]:
        """All that a user can choose."""
        return [*self.pointers, *self.thresholds, *self.budgets]

    def as_tables(self) -> dict[str, Any]:
        """The same for a file of JSON."""
        rules = [
            {'scores': rule.scores, 'leave': rule.leave, 'share_of_oracle': rule.share} for rule in self.judged.rules
        ]
        return {
            'pointers': _dicts(self.pointers),
            'thresholds': _dicts(self.thresholds),
            'budgets': _dicts(self.budgets),
            'oracle': _dicts(self.oracle),
            'rules': {'budget': self.judged.budget, 'mixed_pointers': self.judged.mixture, 'rules': rules},
        }


def tabulate(
    observations: Observations,
    settings: InferenceSettings,
    thresholds: int,
    budget: float | None,
    score: str | None,
    leave: str | None,
) -> Tables:
    """Evaluate every pointer, some thresholds and budgets, and judge the rules.

    Args:
        observations: of images as those that will be restored.
        settings: what was observed.
        thresholds: how many.
        budget: at which rules are judged; None for the middle between the first and the last pointer, at most 1.
        score, leave: to judge these alone; None for all.
    """
    last = observations.differences.shape[1]
    finite = observations.scores[np.isfinite(observations.scores)]
    quantiles = np.quantile(finite, np.linspace(0, 1, thresholds)) if finite.size else np.empty(0)
    pointers = [evaluate(observations, with_pointer(settings, pointer)) for pointer in range(1, last + 1)]
    ends = min(1.0, pointers[0].macs), min(1.0, pointers[-1].macs)
    judged = judge(observations, sum(ends) / 2 if budget is None else budget, score, leave)
    forecast, budgets = judged.rules[0].forecast, np.linspace(*ends, BUDGETS).tolist()
    return Tables(
        pointers,
        [evaluate(observations, with_threshold(settings, threshold, last)) for threshold in np.unique(quantiles)],
        [evaluate(observations, with_budget(settings, each, forecast)) for each in budgets],
        [oracle(observations, settings, each) for each in budgets],
        judged,
    )


def _dicts(rows: Sequence[Operation]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
