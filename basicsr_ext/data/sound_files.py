"""What a check of all images has found sound before it was stopped, so that the same check goes on from there."""

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import TextIO

from basicsr.utils import get_root_logger


class SoundFiles:
    """Digests of units of sound files, in the user's cache: a check itself writes nothing beside the user's results.

    A digest holds paths, sizes and times of change, so that a file which changed since is decoded again. Where the
    cache cannot be written a warning says so, and a stopped check begins anew.

    Args:
        where: of the check; with the folder it is started in it tells the check from others.
    """

    def __init__(self, where: str) -> None:
        name = blake2b(f'{os.getcwd()}\n{where}'.encode(errors='surrogateescape'), digest_size=8).hexdigest()
        self.path = cache() / 'checks' / f'{name}.txt'
        self.known = self._read()
        self._file: TextIO | None = None
        self._can_write = True

    def add(self, digest: str) -> None:
        """Note a unit."""
        try:
            if self._file is None and self._can_write:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self.path, 'a', encoding='utf-8', buffering=1)  # noqa: SIM115  closed by close()
            if self._file is not None:
                self._file.write(f'{digest}\n')
        except OSError as error:
            self._can_write, self._file = False, None
            get_root_logger().warning(f'{self.path}: {error.strerror}; if this check is stopped, it begins anew.')

    def close(self, is_over: bool) -> None:
        """Close the file; nobody needs it any more when all files are sound."""
        if self._file is not None:
            self._file.close()
        if is_over and (self.known or self._file is not None):
            self.path.unlink(missing_ok=True)

    def _read(self) -> set[str]:
        try:
            return set(self.path.read_text(encoding='utf-8').split())
        except OSError:  # none is there; where one cannot be read `add` cannot write and says so
            return set()


def cache() -> Path:
    """The folder of this package among the user's caches."""
    return Path(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'basicsr_ext')


def digest_of(paths: Iterable[str]) -> str:
    """Of files as they are now; empty for those that are no files of the disk, which are decoded each time."""
    told = blake2b(digest_size=16)
    for path in paths:
        try:
            state = os.stat(path)
        except OSError:
            return ''
        told.update(os.fsencode(f'{os.path.abspath(path)}\n{state.st_size} {state.st_mtime_ns}\n'))
    return told.hexdigest()
