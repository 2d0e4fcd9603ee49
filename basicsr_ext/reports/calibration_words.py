"""Whether early exits pay: budgets and thresholds against pointers at equal cost, in numbers and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from basicsr_ext.inference.calibration import Operation
from basicsr_ext.inference.calibration_tables import Tables
from basicsr_ext.inference.exit_rules import Judged

COSTLY = 1.05  # of the whole image, from which on it is said


@dataclass(frozen=True)
class Advantage:
    """How much better thresholds agree with the full network than pointers that cost as much.

    Attributes:
        gaps: in dB, of each threshold that can be compared; negative where pointers are better.
    """

    gaps: Sequence[float]

    @property
    def sentence(self) -> str:
        """The same in words; '' where nothing can be compared."""
        if not len(self.gaps):
            return ''
        low, high, mean = min(self.gaps), max(self.gaps), float(np.mean(self.gaps))
        if high < 0:
            found = f'below pointers at equal cost, by {-high:.2f} to {-low:.2f} dB, {-mean:.2f} on average'
        elif low > 0:
            found = f'above pointers at equal cost, by {low:.2f} to {high:.2f} dB, {mean:.2f} on average'
        else:
            found = f'{low:+.2f} to {high:+.2f} dB from pointers at equal cost, {mean:+.2f} on average'
        return f'Thresholds lie {found}; between two pointers a mixture of both counts.'


def in_words(tables: Tables) -> list[str]:
    """What the tables say of regions, rules and thresholds."""
    found = [_costs_in_words(tables.pointers[-1].macs), rules_in_words(tables.judged)]
    found.append(advantage(tables.pointers, tables.thresholds).sentence)
    return [sentence for sentence in found if sentence]


def rules_in_words(judged: Judged) -> str:
    """Which rule is best, and how far it is from an oracle and from chance."""
    best, *others = judged.rules
    second = f'; next {others[0].name}, {others[0].share:.0%}' if others else ''
    return (
        f'At a budget of {judged.budget:.2f}, spending by {best.name} brings {best.share:.0%} of what an oracle gains '
        f'over the first exit{second}; pointers mixed at random {judged.mixture:.0%}.'
    )


def _costs_in_words(full: float) -> str:
    """What regions cost more than the whole image, where that is much."""
    if full < COSTLY:
        return ''
    return (
        f'In these regions the full network costs {full:.2f} times as much as on the whole image: fewer regions and '
        'less overlap leave more of a budget for depth.'
    )


def advantage(pointers: Sequence[Operation], thresholds: Sequence[Operation]) -> Advantage:
    """Compare thresholds with pointers of the same MACs.

    Between two pointers stands a mixture of both, some regions leaving by the one and the rest by the other at random:
    squared errors and costs are those of its shares, so that they are interpolated on a line.

    Args:
        pointers: in ascending order.
        thresholds: those that cost less than the first pointer, as much as the last one or more, or equal the full
            network, are left out.
    """
    costs = [row.macs for row in pointers]
    errors = [_error(row) for row in pointers]
    compared = [row for row in thresholds if row.psnr is not None and costs[0] < row.macs < costs[-1]]
    mixed = np.interp([row.macs for row in compared], costs, errors)
    return Advantage([10 * float(np.log10(mean / _error(row))) for mean, row in zip(mixed, compared, strict=True)])


def _error(row: Operation) -> float:
    """The mean squared error against the full network."""
    return 0.0 if row.psnr is None else 10 ** (-row.psnr / 10)
