"""One LMDB environment per path and process."""

import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from basicsr_ext.errors import DataError, shown

T = TypeVar('T')

# lmdb 3 refuses a second environment on a path that is open in the process, so all readers share one.
_environments: dict[str, tuple[int, Any]] = {}
_lock = threading.Lock()

# Of a meta page of a 64-bit LMDB: magic number, bytes of a page, last page, number of the transaction.
META = struct.Struct('<16x I 20x I 92x QQ')
MAGIC = 0xBEEFC0DE


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
            f'LMDB {path}', 'the package lmdb', error, 'Run "pip install lmdb" or use io_backend disk.'
        ) from error
    _check_size(path)
    try:
        return lmdb.open(path, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise DataError(
            f'LMDB {path}', 'a folder with data.mdb', error, 'Correct the path or use io_backend disk.'
        ) from error


def _check_size(path: str) -> None:
    """Compare the size of an LMDB with what its two meta pages say: reading behind the end would kill the process.

    Raises:
        DataError: it is shorter.
    """
    content = os.path.join(path, 'data.mdb')
    if not os.path.isfile(content):
        return  # what opening it says
    with open(content, 'rb') as file:
        start = file.read(META.size)
        if len(start) < META.size:
            raise DataError(f'LMDB {path}', 'data', f'{len(start)} bytes', 'Copy it again.')
        page = META.unpack(start)[1]
        file.seek(page)
        second = file.read(META.size)
        size = os.fstat(file.fileno()).st_size
    metas = [META.unpack(meta) for meta in (start, second) if len(meta) == META.size]
    valid = [(transaction, last) for magic, _, last, transaction in metas if magic == MAGIC]
    if valid and size < (max(valid)[1] + 1) * page:
        raise DataError(
            f'LMDB {path}', f'{(max(valid)[1] + 1) * page} bytes in data.mdb', f'{size}: it is cut', 'Copy it again.'
        )


def read_key(path: str, key: str) -> bytes | None:
    """The value of a key of the LMDB at `path`; None if there is no such key.

    Raises:
        DataError: the LMDB is damaged.
    """
    return _of_value(path, key, bytes)


def value_size(path: str, key: str) -> int | None:
    """The bytes of the value of a key of the LMDB at `path`, which are not read; None if there is no such key.

    Raises:
        DataError: the LMDB is damaged.
    """
    return _of_value(path, key, len)


def _of_value(path: str, key: str, function: Callable[[memoryview], T]) -> T | None:
    """A function of the value of a key, which is mapped and not copied; None if there is no such key."""
    import lmdb

    try:
        with open_lmdb(path).begin(buffers=True) as transaction:
            value = transaction.get(key.encode())
            return None if value is None else function(value)
    except lmdb.Error as error:
        raise DataError(f'LMDB {path}', f'a value of {shown(key)}', error, 'Copy it again.') from error


@dataclass(frozen=True)
class LmdbHandle:
    """A path that reads like its environment; unlike the environment it survives forking and pickling."""

    path: str

    def begin(self, **options: Any) -> Any:
        """A transaction, as `lmdb.Environment.begin`."""
        return open_lmdb(self.path).begin(**options)
