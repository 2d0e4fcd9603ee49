"""State of a long computation that can be stopped and continued."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.checkpoint import atomic_torch_save, read_checkpoint


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
        """The state to continue from; None at the beginning."""
        if not self.path.is_file():
            return None
        state: dict[str, Any] = read_checkpoint(self.path)
        return state

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
