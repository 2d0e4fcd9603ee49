"""One process at a time works on the folder of a result."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from basicsr_ext.errors import OptionError


@contextmanager
def locked(folder: Path, is_first: bool = True) -> Iterator[None]:
    """Hold the lock of a folder, which is a file beside it; the system lets go of it when the process ends.

    Args:
        folder: of the result; it need not be there.
        is_first: whether this process is the one of several that holds it for all.

    Raises:
        OptionError: another process holds it.
    """
    if not is_first:
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f'.{folder.name}.lock')
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OptionError(
            'name',
            'a result that no other process works on',
            f'{folder}, on which one does',
            'Wait for it, or give another name.',
        ) from error
    try:
        yield
    finally:
        os.unlink(lock.lock_file)
        lock.release()
