"""Stages of a training, one after another: up to iterations that are known, or until a loss has stopped falling."""

from collections.abc import Sequence
from typing import Any

from basicsr_ext.schedule.plateau import Plateau


class Stages:
    """Stages that are counted from 1, of which the last goes on to the end of the training.

    Args:
        ends: the last iteration of each stage but the last, in ascending order.
    """

    def __init__(self, ends: Sequence[int]) -> None:
        self.ends = list(ends)

    def at(self, iteration: int) -> int:
        """The stage of an iteration."""
        return 1 + sum(iteration > end for end in self.ends)

    @property
    def is_watching(self) -> bool:
        """Whether the end of the newest stage depends on its losses."""
        return False

    def observe(self, iteration: int, loss: float) -> str | None:
        """Take the loss of an iteration of a stage that is watched, the same on all ranks.

        Returns:
            Why the stage ends with this iteration; None if it goes on.
        """
        return None

    def state(self) -> dict[str, Any] | None:
        """The state that a resumed run has to know; None if all follows from the options."""
        return None

    def restore(self, state: dict[str, Any] | None, iteration: int) -> None:
        """Put back what `state` gave after an iteration."""


class PlateauStages(Stages):
    """Stages each of which ends when its loss has stopped falling (see `Plateau`), at the latest after its limit.

    Args:
        number: of stages.
        limit: iterations that a stage but the last lasts at most.
        window: iterations over which a loss is averaged, counted from the beginning of the stage.
        tolerance: relative fall below which a window counts as none.
    """

    def __init__(self, number: int, limit: int, window: int, tolerance: float) -> None:
        super().__init__([])
        self.number, self.limit, self.window, self.tolerance = number, limit, window, tolerance
        self._plateau = self._new_plateau()

    def _new_plateau(self) -> Plateau:
        return Plateau(self.window, self.tolerance, self.limit, notice=0)

    @property
    def is_watching(self) -> bool:
        """Whether another stage follows."""
        return len(self.ends) < self.number - 1

    def observe(self, iteration: int, loss: float) -> str | None:
        """Take a loss and decide; see `Stages`."""
        done = iteration - (self.ends[-1] if self.ends else 0)
        self._plateau.add(done, loss)
        is_plateau = self._plateau.end is not None
        if not is_plateau and done < self.limit:
            return None
        best = f'the best mean of {self.window} iterations is {self._plateau.lowest:.4g}'
        self.ends.append(iteration)
        self._plateau = self._new_plateau()
        return f'the loss has stopped falling, {best}' if is_plateau else f'the stage is at its limit, {best}'

    def state(self) -> dict[str, Any]:
        """The ends so far, and what the newest stage has seen of its loss."""
        return {'ends': list(self.ends), 'plateau': self._plateau.state()}

    def restore(self, state: dict[str, Any] | None, iteration: int) -> None:
        """Put back what `state` gave after an iteration; without it every stage so far counts as ended at its limit."""
        if state is None:
            self.ends = [end * self.limit for end in range(1, self.number) if end * self.limit < iteration]
        else:
            self.ends = list(state['ends'])
            self._plateau.restore(state['plateau'])
