"""The folder in which an unfinished result is kept, and the proof that it may be continued."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger

from basicsr_ext.errors import OptionError, first_few
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.files import write_json


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
            f'{where}: expected the options, network and data that it was made with, got {first_few(changes, "; ")}. '
            'Change them back, give another name, or remove it to start again.'
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
        OptionError: what is there was made from something else.
    """
    note = folder / 'identity.json'
    if note.is_file():
        refuse_other(json.loads(note.read_text(encoding='utf-8')), identity, str(folder))
        return True
    shutil.rmtree(folder, ignore_errors=True)  # a run killed before it knew what it was
    write_json(note, identity)
    return False


def begin(
    result: Path,
    unfinished: Path,
    identity: Mapping[str, Any],
    made_from: Callable[[Path], Mapping[str, Any]],
) -> bool:
    """Look at what earlier runs left, and make the folder of the unfinished result; every rank has to come here.

    Args:
        result: the file that is to be made.
        unfinished: folder of its parts.
        identity: all that decides the result, as JSON values.
        made_from: reads the identity in a result.

    Returns:
        Whether there is work to do; not if the result is there.

    Raises:
        OptionError: what is there was made from something else.
    """
    logger, first = get_root_logger(), distributed.rank_and_world()[0] == 0
    if result.is_file():
        earlier = made_from(result)
        refuse_other({key: earlier.get(key) for key in identity}, identity, str(result))
        logger.info(f'{result} is already there.')
        if first:
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run killed at its very end
        return False
    if first and open_unfinished(unfinished, identity):
        logger.info(f'Continuing {unfinished}.')
    distributed.barrier()
    return True
