"""The schedule of a training at another length."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from basicsr_ext.errors import OptionError, shown

MOMENTS = ('milestones', 'restarts')  # of a scheduler, counted from the start
LENGTHS = ('T_max', 'step_size', 'total_iters')


def at_length(train: dict[str, Any], iterations: int) -> dict[str, Any]:
    """The block `train` with so many iterations, and everything that is counted in iterations at the same share.

    Raises:
        OptionError: the block names no length.
    """
    full = train.get('total_iter')
    if not isinstance(full, int | float) or full < 1:
        raise OptionError('train.total_iter', 'the number of iterations', shown(full), 'Correct the value.')
    factor = iterations / int(full)
    block = {**deepcopy(train), 'total_iter': iterations}
    if block.get('warmup_iter', -1) > 0:
        block['warmup_iter'] = _scaled(block['warmup_iter'], factor)
    scheduler = block.get('scheduler') or {}
    for key in MOMENTS:
        if key in scheduler:
            scheduler[key] = [_scaled(moment, factor) if moment else moment for moment in scheduler[key]]
    for key in LENGTHS:
        if key in scheduler:
            scheduler[key] = _scaled(scheduler[key], factor)
    if 'periods' in scheduler:
        scheduler['periods'] = _scaled_periods(scheduler['periods'], factor)
    return block


def _scaled(number: float, factor: float) -> int:
    return max(1, round(number * factor))


def _scaled_periods(periods: Sequence[float], factor: float) -> list[int]:
    """Periods whose sums are scaled, none shorter than an iteration and the last one not too early."""
    ends, end = [0], 0.0
    for period in periods:
        end += period
        ends.append(max(ends[-1] + 1, round(end * factor + 0.499)))
    return [after - before for before, after in zip(ends, ends[1:], strict=False)]


def warmup_at_length(wrapper: dict[str, Any], factor: float) -> dict[str, Any]:
    """The block of a wrapper that warms up, its end in iterations at the same share of the training."""
    stop = wrapper.get('stop')
    if not isinstance(stop, dict) or 'iter' not in stop:
        return wrapper
    return {**wrapper, 'stop': {**stop, 'iter': _scaled(stop['iter'], factor)}}
