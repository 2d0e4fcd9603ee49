"""The iterations of a pixel-shuffled warm-up: those at the beginning, and those after a drop of the learning rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge
from annotated_types import Interval as Bounds

from basicsr_ext.errors import OptionError
from basicsr_ext.schedule.plateau import Plateau

FRACTION = 16 / 300  # SwinIR-S and HAT-S (TRAPS, Tables 3 and 5)
Interval = tuple[int, int]


@dataclass(frozen=True)
class AutoStop:
    """A warm-up that ends when its loss has stopped falling (see `Plateau`).

    Attributes:
        window: in iterations; None takes 1/300 of all, the epoch of the paper, but at least 32, and at most a third of
            what `limit` allows, because no decision takes effect before three windows.
        tolerance: relative fall below which a window counts as none.
        limit: the largest part of all iterations; none of the paper's networks was at its best beyond 24 of 300 epochs.
    """

    window: Annotated[int, Ge(1)] | None = None
    tolerance: Annotated[float, Bounds(ge=0, le=1)] = 0.01
    limit: Annotated[float, Bounds(ge=0, le=1)] = 0.1


@dataclass(frozen=True)
class Stop:
    """The end of a warm-up; exactly one is given.

    Attributes:
        iter: after so many iterations.
        epoch: after so many epochs; an iteration that uses a sample of them still belongs to it.
        fraction: after this part of all iterations.
        auto: when the loss says so.
    """

    iter: Annotated[int, Bounds(ge=0, le=10**12)] | None = None
    epoch: Annotated[float, Bounds(ge=0, le=10**12)] | None = None
    fraction: Annotated[float, Bounds(ge=0, le=1)] | None = None
    auto: AutoStop | None = None

    def __post_init__(self) -> None:
        given = [name for name in ('iter', 'epoch', 'fraction', 'auto') if getattr(self, name) is not None]
        if len(given) != 1:
            raise OptionError(
                'iter',
                'exactly one of iter, epoch, fraction and auto',
                ' and '.join(given) or 'none',
                'Write stop: {epoch: 16}.',
            )


@dataclass(frozen=True)
class WarmupRule:
    """The warm-ups as an option file describes them.

    Attributes:
        stop: when it ends.
        repeat: iterations of another one after each drop of the learning rate; 0 for none.
    """

    stop: Stop
    repeat: int = 0


class Warmup:
    """The iterations of a run, counted from 1, that belong to a warm-up.

    Args:
        end: last iteration of the first one, 0 for none; or what decides it while the run goes on.
        repeats: first and last iteration of each further one.
    """

    def __init__(self, end: int | Plateau = 0, repeats: Sequence[Interval] = ()) -> None:
        self._end, self._repeats = end, repeats

    @property
    def end(self) -> int:
        """Last iteration of the first warm-up, as far as it is known."""
        if isinstance(self._end, int):
            return self._end
        return self._end.limit if self._end.end is None else self._end.end

    @property
    def is_decided(self) -> bool:
        """Whether the end is known."""
        return isinstance(self._end, int) or self._end.end is not None

    def intervals(self) -> list[Interval]:
        """First and last iteration of every warm-up."""
        return [(first, last) for first, last in [(1, self.end), *self._repeats] if first <= last]

    def covers(self, iteration: int) -> bool:
        """Whether an iteration belongs to a warm-up."""
        return any(first <= iteration <= last for first, last in self.intervals())

    def observe(self, iteration: int, loss: float) -> None:
        """Take the loss of an iteration that nothing has been decided about."""
        if not isinstance(self._end, int):
            self._end.add(iteration, loss)

    def state(self) -> dict[str, Any] | None:
        """The state that a resumed run has to know; None if it follows from the options."""
        return None if isinstance(self._end, int) else self._end.state()

    def restore(self, state: dict[str, Any] | None) -> None:
        """Put back what `state` gave."""
        if state is not None and not isinstance(self._end, int):
            self._end.restore(state)


def plan_warmup(
    rule: WarmupRule, total_iter: int, iterations_per_epoch: float, drops: Sequence[int], prepared: int, where: str
) -> Warmup:
    """Turn a rule into iterations.

    Args:
        rule: of the option file.
        total_iter: iterations of the run.
        iterations_per_epoch: not always a whole number.
        drops: the first iterations of each lower learning rate.
        prepared: batches that workers prepare ahead.
        where: path of the block in the option file, named in errors.

    Raises:
        OptionError: the window of `auto` is shorter than what workers prepare, or too long for its limit.
    """
    stop = rule.stop
    repeats = [(first, min(first + rule.repeat - 1, total_iter)) for first in drops] if rule.repeat else []
    if stop.iter is not None:
        return Warmup(stop.iter, repeats)
    if stop.epoch is not None:
        return Warmup(math.ceil(round(stop.epoch * iterations_per_epoch, 6)), repeats)
    if stop.fraction is not None:
        return Warmup(round(stop.fraction * total_iter), repeats)
    auto = stop.auto or AutoStop()
    limit = round(auto.limit * total_iter)
    window = auto.window or min(max(32, total_iter // 300), max(1, limit // 3))
    if window < prepared:
        raise OptionError(
            f'{where}.stop.auto.window',
            f'at least {prepared} iterations, the batches that workers prepare ahead',
            window,
            'Raise it or lower num_worker_per_gpu.',
        )
    if 3 * window > limit:
        raise OptionError(
            f'{where}.stop.auto.limit',
            f'at least three windows of {window} iterations, before which nothing is decided',
            f'{limit} iterations',
            f'Raise it, lower the window, or write stop: {{iter: {limit}}}.',
        )
    return Warmup(Plateau(window, auto.tolerance, limit), repeats)
