"""Strict checking of option blocks: unknown keys, wrong types, unknown registry names, wrong arguments."""

import dataclasses
import difflib
import types
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from basicsr_ext.errors import OptionError, nearest

T = TypeVar('T')


def read_block(kind: type[T], block: Any, where: str, ignore: Collection[str] = ()) -> T:
    """Turn an option block into a dataclass.

    Args:
        kind: a dataclass; its fields are the keys, their annotations the types, its `__post_init__` checks values and
            raises OptionError with the name of the field first.
        block: the mapping from the option file.
        where: path of the block in the option file, named in errors.
        ignore: keys that belong to somebody else.

    Raises:
        OptionError: an unknown or missing key, or a value of the wrong type or range.
    """
    if not isinstance(block, Mapping):
        raise OptionError(f'{where}: expected a block of options, got {block!r}. Indent its keys below it.')
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    values = {}
    for key, value in block.items():
        if key in ignore:
            continue
        if key not in fields:
            raise OptionError(f'{where}.{key}: expected a known key, got {key!r}. {nearest(key, fields)}'.rstrip())
        values[key] = _typed(value, hints[key], f'{where}.{key}')
    for key, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and key not in values:
            raise OptionError(f'{where}.{key}: expected a value, got none. Add it.')
    try:
        return kind(**values)
    except OptionError as error:
        raise OptionError(f'{where}.{error}') from error


def _typed(value: Any, hint: Any, where: str) -> Any:
    if not accepts(value, hint):
        raise OptionError(f'{where}: expected {describe(hint)}, got {value!r}. Correct the value.')
    takes_float = hint in (float, Any, object) or float in get_args(hint)
    return int(value) if isinstance(value, float) and not takes_float else value


def accepts(value: Any, hint: Any) -> bool:
    """Whether a value of an option file is of the annotated type; 5e3 passes for an int, 1 for a float."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return True
    if origin in (Union, types.UnionType):
        return any(accepts(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(accepts(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, hint)


def describe(hint: Any) -> str:
    """An annotation in words for an error."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return ' or '.join(describe(option) for option in arguments)
    if origin is Literal:
        return ' or '.join(map(repr, arguments))
    if origin is list:
        return f'a list of {describe(arguments[0])}'
    names = {int: 'an integer', float: 'a number', bool: 'true or false', str: 'text', type(None): '~'}
    return 'a block of options' if dict in (origin, hint) else names.get(hint, getattr(hint, '__name__', str(hint)))


def refuse_unknown(block: Iterable[str], known: Collection[str], where: str = '') -> None:
    """Raise OptionError for the first key of a block that is not known; the message names the nearest."""
    for key in block:
        if key not in known:
            place = f'{where}.{key}' if where else key
            raise OptionError(f'{place}: expected a known key, got {key!r}. {nearest(key, known)}'.rstrip())


def require(block: Any, keys: Iterable[str], where: str = '') -> None:
    """Raise OptionError unless the block has all the keys; the message names a present key that looks like a slip."""
    if not isinstance(block, dict):
        raise OptionError(f'{where}: expected a block of options, got {block!r}. Indent its keys below it.')
    for key in keys:
        if key not in block:
            slip = difflib.get_close_matches(key, map(str, block), n=1, cutoff=0.6)
            advice = f'Rename {slip[0]!r}.' if slip and slip[0] not in keys else 'Add it.'
            raise OptionError(f'{f"{where}." if where else ""}{key}: expected a value, got none. {advice}')
