"""Where a loss has stopped falling, decided far enough ahead for batches that workers have prepared already."""

import math
from typing import Any

from basicsr_ext.runtime import distributed


class Plateau:
    """Watch a loss window by window; the window after the first one that brought no progress is the last.

    Window w holds the iterations w * window + 1 ... (w + 1) * window. It brings progress if the mean of its losses lies
    by more than tolerance times the lowest mean before it below that. The decision takes effect a whole window later:
    until then the sampler, which runs ahead of the training by the batches that workers prepare, has not come to the
    end that was decided, however many workers there are. The result is the same for any number of them.

    Args:
        window: iterations.
        tolerance: relative fall below which a window counts as none.
        limit: last iteration whatever the loss does.
    """

    def __init__(self, window: int, tolerance: float, limit: int) -> None:
        self.window, self.tolerance, self.limit = window, tolerance, limit
        self.end: int | None = None
        self._sum, self._count, self._lowest = 0.0, 0, math.inf

    def add(self, iteration: int, loss: float) -> None:
        """Take the loss of an iteration, counted from 1; to be called on all ranks, of which the first one's counts."""
        if self.end is not None:
            return
        self._sum, self._count = self._sum + loss, self._count + 1
        if iteration % self.window:
            return
        mean = distributed.from_first(self._sum) / self._count
        self._sum, self._count = 0.0, 0
        if math.isfinite(self._lowest) and mean >= self._lowest - self.tolerance * abs(self._lowest):
            self.end = min(iteration + self.window, self.limit)
        self._lowest = min(self._lowest, mean)

    def state(self) -> dict[str, Any]:
        """The state that a resumed run has to know."""
        return {
            'window': self.window,
            'sum': self._sum,
            'count': self._count,
            'lowest': self._lowest,
            'end': self.end,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave; a part of a window of another length is dropped."""
        self._lowest, self.end = state['lowest'], state['end']
        if state['window'] == self.window:
            self._sum, self._count = state['sum'], state['count']
