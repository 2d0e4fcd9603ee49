"""A set of files that appears as a whole, replaces nothing and may be asked for again."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from basicsr_ext.errors import DataError, first_few
from basicsr_ext.runtime.folder_lock import locked


@contextmanager
def staging(folder: Path, name: str) -> Iterator[Path]:
    """A hidden folder beside the files that come, removed afterwards; one that a killed process left is removed first.

    Args:
        folder: in which the files will be.
        name: of the set.

    Raises:
        OptionError: another process writes this set.
    """
    stage = folder / f'.{name}_init'
    folder.mkdir(parents=True, exist_ok=True)
    with locked(stage):
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def refuse_others(folder: Path, texts: Mapping[str, str], listed: str) -> None:
    """Look at what is there already.

    Args:
        folder: in which the files will be.
        texts: name of each file below it -> its text.
        listed: the folder below it that may hold nothing else.

    Raises:
        DataError: a file that is there and differs, or that does not belong to the set.
    """
    there = {path.relative_to(folder).as_posix() for path in (folder / listed).rglob('*')}
    differing = [name for name, text in texts.items() if _differs(folder / name, text)]
    found = [*differing, *sorted(there - set(texts))]
    if os.path.lexists(folder / listed) and not (folder / listed).is_dir():
        found.append(listed)
    if found:
        raise DataError(
            folder,
            'none of the files to write, or the same ones',
            f'others: {first_few(found)}',
            'Move them away, or give another name by -o.',
        )


def _differs(path: Path, text: str) -> bool:
    if not os.path.lexists(path):
        return False
    return not path.is_file() or path.read_bytes() != text.encode()


def place(stage: Path, folder: Path, texts: Mapping[str, str], listed: str) -> int:
    """Move files to where they are not yet: the folder first, then the others in their order, the last one last.

    Args:
        stage: an empty folder on the same file system.
        folder, texts, listed: as in `refuse_others`, which has been asked.

    Returns:
        How many files were written.
    """
    missing = [name for name in texts if not os.path.lexists(folder / name)]
    for name in missing:
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        with open(stage / name, 'w', encoding='utf-8', newline='') as file:
            file.write(texts[name])
            file.flush()
            os.fsync(file.fileno())
    if (stage / listed).is_dir() and not os.path.lexists(folder / listed):
        os.rename(stage / listed, folder / listed)
    for name in missing:
        if (stage / name).exists():
            os.rename(stage / name, folder / name)
    return len(missing)
