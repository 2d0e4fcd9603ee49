"""Writing files so that a reader never finds half of one."""

import itertools
import json
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from basicsr_ext.errors import DataError, first_line

PIECE = 2**22  # bytes of a file that are read together


@contextmanager
def atomic_open(path: str | os.PathLike[str], mode: str = 'wb') -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that replaces `path` when the block ends without an error.

    Args:
        path: the file to write; its folder is made if it is missing.
        mode: `'wb'` or `'w'`.

    Raises:
        OSError: the file cannot be written, and is named; what stood at `path` before is untouched.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, mode, encoding=None if 'b' in mode else 'utf-8') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary)):  # writing itself names no file
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        with suppress(OSError):  # a folder that cannot be looked into says so above
            temporary.unlink(missing_ok=True)


def put_aside(folder: str | os.PathLike[str], label: str = 'archived') -> Path | None:
    """Rename a folder to `NAME_archived_DATE_TIME`, as BasicSR does, with a number behind it where that is taken.

    Args:
        folder: what is renamed.
        label: stands instead of `archived`.

    Returns:
        Where it is now; None if there was none.
    """
    old = Path(folder)
    if not old.exists():
        return None
    stem = f'{old}_{label}_{time.strftime("%Y%m%d_%H%M%S")}'
    names = itertools.chain([stem], (f'{stem}_{number}' for number in itertools.count(2)))
    return old.rename(next(name for name in names if not os.path.lexists(name)))


def remove_stale(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files of `atomic_open` that killed processes have left in a folder and below."""
    for file in Path(folder).rglob('.*.tmp'):
        match = re.fullmatch(r'\..+\.(\d+)\.tmp', file.name)
        if match and not _is_other_process(int(match[1])):
            file.unlink(missing_ok=True)


def _is_other_process(number: int) -> bool:
    if number == os.getpid():
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def digest_of_bytes(content: bytes) -> str:
    """The digest of the content of a file."""
    return blake2b(content, digest_size=16).hexdigest()


def digest_of_file(path: str | os.PathLike[str]) -> str:
    """The same of a file, which is read piece by piece."""
    found = blake2b(digest_size=16)
    with open(path, 'rb') as file:
        while piece := file.read(PIECE):
            found.update(piece)
    return found.hexdigest()


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise DataError(path, 'JSON', first_line(error), 'Remove the file.') from error


def write_new_json(path: Path, content: object) -> None:
    """Write `content` as `write_json` does, unless the file is there.

    Raises:
        DataError: it is there and holds something else.
    """
    if not os.path.lexists(path):
        write_json(path, content)
        return
    try:
        is_same = json.loads(path.read_text(encoding='utf-8')) == json.loads(json.dumps(finite(content)))
    except (OSError, ValueError, RecursionError):
        is_same = False
    if not is_same:
        raise DataError(path, 'the same result or none', 'another', 'Give another name, or move it away.')


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write `content` atomically as indented JSON, in which NaN and infinite numbers, which JSON lacks, are null."""
    with atomic_open(path, 'w') as file:
        json.dump(finite(content), file, indent=2, allow_nan=False)
        file.write('\n')


def finite(content: Any) -> Any:
    """Content for JSON with None in the place of every number that is not finite."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
