"""Ctrl-C and SIGTERM become a request to stop at the next safe moment."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from basicsr.utils import get_root_logger

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


class Interrupted(Exception):
    """Raised by work that can be done again later, when a stop was requested in the middle of it."""


@contextmanager
def watch() -> Iterator[None]:
    """Remember the first SIGINT or SIGTERM instead of acting on it; the second one acts as usual."""
    former = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def remember(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        restore()

    _received.clear()
    for number in SIGNALS:
        signal.signal(number, remember)
    try:
        yield
    finally:
        restore()
        _received.clear()


def run(work: Callable[[], object], stopped: str) -> int:
    """Do work that raises `Interrupted` when a stop was requested.

    Args:
        work: what is done.
        stopped: logged after a stop.

    Returns:
        0, or 128 + the signal.
    """
    with watch():
        try:
            work()
        except Interrupted:
            get_root_logger().info(stopped)
        return exit_code()


def detach() -> None:
    """Make a worker process deaf to Ctrl-C and to signals to the process group.

    The training process gets them too and needs its workers to the end of the iteration. A signal to the worker itself
    ends it as usual.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # not the handler that a forked worker inherits from `watch`
    if hasattr(os, 'setsid'):
        os.setsid()


def requested() -> bool:
    """Whether a stop was requested in the block of `watch`."""
    return bool(_received)


def exit_code() -> int:
    """128 + number of the signal by convention; 0 if no stop was requested in the block of `watch`."""
    return 128 + _received[0] if _received else 0
