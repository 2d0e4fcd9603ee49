"""What a page says of the options that a result was made with."""

from collections.abc import Mapping
from typing import Any


def asked_of(options: Mapping[str, Any], before: str = '') -> dict[str, str]:
    """Option -> value as text: blocks within blocks by their paths, `datasets.train.sigma`; none for null.

    Args:
        options: blocks of options.
        before: path of the block around them.
    """
    asked: dict[str, str] = {}
    for name, value in options.items():
        path = f'{before}.{name}' if before else str(name)
        if isinstance(value, Mapping):
            asked.update(asked_of(value, path))
        elif value is not None:
            asked[path] = ', '.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return asked


def asked_of_result(made_from: Mapping[str, Any]) -> dict[str, str]:
    """The options that the header of a manifest notes, or the note in a result in JSON, and the seed."""
    return asked_of({**made_from.get('options', {}), 'manual_seed': made_from.get('seed')})
