"""State of a long computation that can be stopped and continued."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from basicsr_ext.errors import CheckpointError, first_line, shown
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.checkpoint import atomic_torch_save, read_checkpoint


def within(done: Any, total: int) -> int:
    """The number of finished steps in a state.

    Raises:
        ValueError: no number from 0 to `total`.
    """
    if type(done) is not int or not 0 <= done <= total:
        raise ValueError(f'{shown(done)} of {total} steps')
    return done


def alike(tensor: Any, other: Tensor) -> Tensor:
    """A tensor of a state, where the other one is.

    Raises:
        TypeError: it is none of the shape of the other one.
    """
    if not isinstance(tensor, Tensor) or tensor.shape != other.shape:
        raise TypeError(f'{type(tensor).__name__} {tuple(getattr(tensor, "shape", ()))} for {tuple(other.shape)}')
    return tensor.to(other)


class SavedState:
    """A file with the newest state, written now and then, and when a stop was asked for.

    Args:
        path: the file; rank 0 writes it, every rank reads it.
        interval: least time in seconds between two writings.
    """

    def __init__(self, path: Path, interval: float = 30.0) -> None:
        self.path, self.interval = path, interval
        self.written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state to continue from; None at the beginning.

        Raises:
            CheckpointError: it is damaged, or none.
        """
        if not os.path.lexists(self.path):
            return None
        with self.fitting():
            state: dict[str, Any] = read_checkpoint(self.path)
            if not isinstance(state, dict) or not state:
                raise TypeError(f'{shown(state)} instead of a state')
            return state

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Say which file it is whose content does not fit this work, while that is taken up.

        Raises:
            CheckpointError: it does not fit.
        """
        try:
            yield
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise CheckpointError(
                self.path,
                'the state of this work',
                f'a damaged or foreign one ({first_line(error)})',
                f'Remove {self.path.parent} to start again.',
            ) from error

    def save(self, state: dict[str, Any]) -> None:
        """Write the state."""
        if distributed.rank_and_world()[0] == 0:
            atomic_torch_save(state, self.path)
        self.written = time.monotonic()

    def offer(self, make_state: Callable[[], dict[str, Any]]) -> None:
        """A moment at which the work can be continued from; every rank has to come here.

        Raises:
            Interrupted: a stop was asked for; the state is saved.
        """
        stop = distributed.any_rank(interrupt.requested())
        if stop or time.monotonic() - self.written >= self.interval:
            self.save(make_state())
        if stop:
            raise interrupt.Interrupted
