"""One LMDB environment per path and process."""

import os
import threading
from dataclasses import dataclass
from typing import Any

from basicsr_ext.errors import DataError

# lmdb 3 refuses a second environment on a path that is open in the process, so all readers share one.
_environments: dict[str, tuple[int, Any]] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    """A forked child must not wait for a thread of its parent."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def open_lmdb(path: str | os.PathLike[str]) -> Any:
    """The read-only `lmdb.Environment` of this process for `path`, opened at the first call.

    LMDB forbids using an environment across a fork: a forked DataLoader worker closes its copy here and opens its own.
    Keep the path (or an `LmdbHandle`) rather than the environment, and call this for each access.

    Raises:
        DataError: `lmdb` is not installed or `path` is no LMDB.
    """
    key = os.path.realpath(path)
    with _lock:
        pid, environment = _environments.get(key, (None, None))
        if pid != os.getpid():
            if environment is not None:
                environment.close()
                del _environments[key]
            environment = _open(key)
            _environments[key] = os.getpid(), environment
        return environment


def _open(path: str) -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise DataError(
            f'LMDB {path}: expected the package lmdb, got {error}. Run "pip install lmdb" or use io_backend disk.'
        ) from error
    try:
        return lmdb.open(path, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise DataError(
            f'LMDB {path}: expected a folder with data.mdb, got {error}. Correct the path or use io_backend disk.'
        ) from error


@dataclass(frozen=True)
class LmdbHandle:
    """A path that reads like its environment; unlike the environment it survives forking and pickling."""

    path: str

    def begin(self, **options: Any) -> Any:
        """A transaction, as `lmdb.Environment.begin`."""
        return open_lmdb(self.path).begin(**options)
