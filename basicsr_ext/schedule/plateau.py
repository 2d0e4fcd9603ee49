"""Where a loss has stopped falling, decided far enough ahead for what has been prepared until then."""

import math
from typing import Any

from basicsr_ext.runtime import distributed


class Plateau:
    """Watch a loss window by window; the first window that brings no progress decides.

    Window w holds the iterations w * window + 1 ... (w + 1) * window. It brings progress if the mean of its losses lies
    by more than tolerance times the lowest mean before it below that. The decision takes effect after a notice. With
    one of a whole window the sampler, which runs ahead of the training by the batches that workers prepare, has not
    come to the end that was decided, however many workers there are, and the result is the same for any number of them.

    Args:
        window: iterations.
        tolerance: relative fall below which a window counts as none.
        limit: last iteration whatever the loss does.
        notice: iterations from the decision to the end; None takes a window.

    Attributes:
        end: last iteration, once it is decided.
        lowest: mean of the losses of a window so far; infinite before the first one.
    """

    def __init__(self, window: int, tolerance: float, limit: int, notice: int | None = None) -> None:
        self.window, self.tolerance, self.limit = window, tolerance, limit
        self.notice = window if notice is None else notice
        self.end: int | None = None
        self.lowest = math.inf
        self._sum, self._count = 0.0, 0

    def add(self, iteration: int, loss: float) -> None:
        """Take the loss of an iteration, counted from 1; to be called on all ranks, of which the first one's counts."""
        if self.end is not None:
            return
        self._sum, self._count = self._sum + loss, self._count + 1
        if iteration % self.window:
            return
        mean = distributed.from_first(self._sum) / self._count
        self._sum, self._count = 0.0, 0
        if math.isfinite(self.lowest) and mean >= self.lowest - self.tolerance * abs(self.lowest):
            self.end = min(iteration + self.notice, self.limit)
        self.lowest = min(self.lowest, mean)

    def state(self) -> dict[str, Any]:
        """The state that a resumed run has to know."""
        return {
            'window': self.window,
            'sum': self._sum,
            'count': self._count,
            'lowest': self.lowest,
            'end': self.end,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave; a part of a window of another length is dropped."""
        self.lowest, self.end = state['lowest'], state['end']
        if state['window'] == self.window:
            self._sum, self._count = state['sum'], state['count']
