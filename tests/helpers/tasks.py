"""What tasks do in the tests of the pool: they note what they did in a folder, in which others look for it."""

import os
import signal
import time
from pathlib import Path
from types import FrameType

import torch

PATIENCE = 60  # seconds


def wait_for(path: Path) -> None:
    """Wait until a file is there.

    Raises:
        TimeoutError: it does not come.
    """
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(str(path))
        time.sleep(0.01)


def note(folder: Path, name: str) -> int:
    """Add a line to `log`."""
    with open(folder / 'log', 'a') as file:
        file.write(f'{name}\n')
    return 0


def meet(folder: Path, name: str, other: str) -> int:
    """Leave a file with the place and the threads, and wait for that of another task."""
    (folder / f'{name}.here').write_text(f'{os.environ["PLACE"]} {torch.get_num_threads()}')
    wait_for(folder / f'{other}.here')
    return 0


def fail(folder: Path, code: int) -> int:
    """Fail when the task of `stay` has begun; a negative code is a signal."""
    wait_for(folder / 'begun')
    if code < 0:
        os.kill(os.getpid(), -code)
    print('Something else.\nThe last words.\n\n')
    return code


def stay(folder: Path) -> int:
    """Stay until SIGTERM, note that and end as a stopped job does; do nothing the second time."""
    if (folder / 'stopped').exists():
        return 0

    def stop(number: int, frame: FrameType | None) -> None:
        (folder / 'stopped').touch()

    signal.signal(signal.SIGTERM, stop)
    (folder / 'begun').touch()
    wait_for(folder / 'stopped')
    return 128 + signal.SIGTERM


def hold(size: int) -> int:
    """Hold so many bytes for a moment."""
    return 0 if len(b'x' * size) == size else 1
