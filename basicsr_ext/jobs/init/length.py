"""How many iterations fit into a time."""

from math import floor, log10

from basicsr_ext.jobs.init.training_files import VALIDATIONS, Length
from basicsr_ext.jobs.pace import Pace, counted, in_words

AT_MOST = 0.25  # part of the time that validations may take
FEWEST = 100  # iterations


def length_of(pace: Pace, budget: float) -> Length:
    """The training that takes about so many seconds, validations included."""
    left = max(budget - pace.before, 0)
    each = pace.validation + pace.saving
    validations = max(1, min(VALIDATIONS, floor(AT_MOST * left / max(each, 1e-9))))
    total = max(FEWEST, two_figures((left - validations * each) / pace.iteration))
    takes = pace.seconds_of(total, validations)
    said = (
        f'optimiser steps: about {in_words(takes)} at {pace.iteration:.3g} s each on {pace.device}, '
        f'{counted(validations, "validation")} of {in_words(pace.validation)} among it'
    )
    if takes > budget and total == FEWEST:
        said = f'{said}; fewer than {FEWEST}, which would fit into {in_words(budget)}, teach nothing'
    return Length(total, validations, said)


def two_figures(value: float) -> int:
    """A number rounded to two figures."""
    if value < 1:
        return 0
    step = 10 ** max(0, floor(log10(value)) - 1)
    return round(value / step) * step
