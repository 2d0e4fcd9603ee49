"""The folder in which an unfinished result is kept, and the proof that it may be continued."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger

from basicsr_ext.errors import OptionError, first_few, first_line, shown
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.files import remove_stale, write_json

IDENTITY = 'identity.json'  # in the folder of unfinished work, before all else


def refuse_other(earlier: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Compare what made an earlier result with what would continue it.

    Args:
        earlier, now: JSON values.
        where: the earlier result, named in errors.

    Raises:
        OptionError: they differ; names the keys and both values.
    """
    before, after = _leaves(earlier), _leaves(json.loads(json.dumps(now)))
    different = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if different:
        changes = [f'{key}: {before.get(key)!r} became {after.get(key)!r}' for key in different]
        raise OptionError(
            where,
            'the options, network and data that it was made with',
            first_few(changes, '; '),
            'Change them back, give another name, or remove it to start again.',
        )


def _leaves(value: Any, path: str = '') -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        parts = [_leaves(item, f'{path}.{key}' if path else str(key)) for key, item in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    return {path: value}


def open_unfinished(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Make the folder, or continue in it.

    Args:
        folder: of the unfinished result.
        identity: all that decides the result, as JSON values.

    Returns:
        Whether there is something to continue.

    Raises:
        OptionError: what is there was made from something else, or does not tell from what.
    """
    note = folder / IDENTITY
    if folder.is_dir():
        remove_stale(folder)
    if os.path.lexists(note):
        refuse_other(read_identity(note), identity, str(folder))
        return True
    if os.path.lexists(folder) and _is_foreign(folder):
        raise OptionError(folder, f'unfinished work with {IDENTITY}', 'something else', 'Move it away.')
    write_json(note, identity)
    return False


def _is_foreign(folder: Path) -> bool:
    """Whether something lies there that no run has left: the note is what is written first and removed last."""
    return not folder.is_dir() or any(folder.iterdir()) and not (folder / IDENTITY).is_file()


def forget(folder: Path) -> None:
    """Remove the folder of unfinished work; a process that is killed meanwhile leaves what the next one removes."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != IDENTITY:
            path.unlink()
    (folder / IDENTITY).unlink(missing_ok=True)
    folder.rmdir()


def read_identity(path: Path, key: str | None = None) -> dict[str, Any]:
    """What a result in JSON notes of how it was made.

    Args:
        path: the file.
        key: under which it stands; None for the whole file.

    Raises:
        OptionError: the file is damaged, or another one.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        found: dict[str, Any] = content if key is None else content[key]
        if not isinstance(found, dict):
            raise TypeError(f'{shown(found)} instead of names and values')
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise OptionError(
            path,
            'a note of how it was made',
            f'a damaged or foreign file ({first_line(error)})',
            'Give another name, or remove it to start again.',
        ) from error
    return found


def begin(
    result: Path,
    unfinished: Path,
    identity: Mapping[str, Any],
    made_from: Callable[[Path], Mapping[str, Any]],
    asked: Mapping[str, Any],
) -> bool:
    """Look at what earlier runs left, and make the folder of the unfinished result; every rank has to come here.

    Args:
        result: the file that is to be made.
        unfinished: folder of its parts.
        identity: all that decides the unfinished work, as JSON values.
        made_from: reads the identity in a result.
        asked: what else decides the result.

    Returns:
        Whether there is work to do; not if the result is there.

    Raises:
        OptionError: what is there was made from something else.
    """
    logger, first = get_root_logger(), distributed.rank_and_world()[0] == 0
    if result.is_file():
        earlier = made_from(result)
        now = {**identity, **asked}
        refuse_other({key: earlier.get(key) for key in now}, now, str(result))
        logger.info(f'{result} is already there.')
        if first and unfinished.is_dir() and not _is_foreign(unfinished):
            forget(unfinished)  # of a run killed at its very end
        return False
    if first:
        remove_stale(result.parent)
        if open_unfinished(unfinished, identity):
            logger.info(f'Continuing {unfinished}.')
    distributed.barrier()
    return True
