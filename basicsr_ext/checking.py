"""Strict checking of option blocks: unknown keys, wrong types, unknown registry names, wrong arguments."""

import dataclasses
import inspect
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from basicsr.utils.registry import Registry

from basicsr_ext.errors import OptionError
from basicsr_ext.options import nearest

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


def registered(registry: Registry, name: Any, where: str) -> Any:
    """The object of that name in one of BasicSR's registries.

    Raises:
        OptionError: nothing of that name is registered; names the nearest.
    """
    known = dict(iter(registry))
    found = known.get(name, known.get(f'{name}_basicsr'))
    if found is None:
        raise OptionError(
            f'{where}: expected a name in the registry {registry._name!r}, got {name!r}. {nearest(name, known)} '
            'If it is your own, import the module that registers it first.'
        )
    return found


def check_call(
    target: Callable[..., Any], options: Mapping[str, Any], where: str, given: int = 0, strict: bool = False
) -> None:
    """Check that options are arguments that a class or function takes.

    Args:
        target: what will be called with the options as keywords.
        options: the keywords; `type` is left out.
        where: path of the block in the option file.
        given: how many leading arguments the caller passes itself.
        strict: do not let `**kwargs` of the target excuse an unknown key.

    Raises:
        OptionError: an argument the target does not have, or one it needs that is missing.
    """
    parameters = list(inspect.signature(target).parameters.values())[given:]
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = not strict and any(p.kind is p.VAR_KEYWORD for p in parameters)
    name = getattr(target, '__name__', str(target))
    for key in options:
        if key != 'type' and key not in known and not open_ended:
            raise OptionError(
                f'{where}.{key}: expected an argument of {name}, got {key!r}. {nearest(key, known)}'.rstrip()
            )
    for parameter in parameters:
        if parameter.name in known and parameter.default is parameter.empty and parameter.name not in options:
            raise OptionError(f'{where}.{parameter.name}: expected a value, which {name} needs, got none. Add it.')
