"""From an option block to a dataclass: unknown keys, wrong types, values out of bounds.

The annotations of the fields say what a key may hold: plain types, `Literal`, unions, lists, other dataclasses for
blocks inside the block, types with a classmethod `parse(value, where)` that reads a form of its own, bounds by
`Annotated[int, Ge(1)]` (annotated-types), and marks with a method `check(value, where)` such as `Registered`. Beyond
these, `__post_init__` checks what keys mean to each other, and raises OptionError with the name of a key first.
"""

import dataclasses
import difflib
import math
import types
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import BaseMetadata, Ge, Gt, Interval, Le, Lt

from basicsr_ext.errors import OptionError, nearest, shown, under

T = TypeVar('T')


def read_block(kind: type[T], block: Any, where: str, ignore: Collection[str] = ()) -> T:
    """Turn an option block into a dataclass.

    Args:
        kind: a dataclass; its fields are the keys.
        block: the mapping from the option file.
        where: path of the block in the option file, named in errors; '' for the file itself.
        ignore: keys that belong to somebody else.

    Raises:
        OptionError: an unknown or missing key, or a value of the wrong type or range.
    """
    if not isinstance(block, Mapping):
        raise OptionError(where, 'a block of options', shown(block), 'Indent its keys below it.')
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    own = {key: value for key, value in block.items() if key not in ignore}
    refuse_unknown(own, fields, where)
    hints = get_type_hints(kind, include_extras=True)
    values = {key: read_value(value, hints[key], _path(where, key)) for key, value in own.items()}
    for key, field in fields.items():
        if key not in values and is_required(field):
            raise OptionError(_path(where, key), 'a value', 'none', 'Add it.')
    if not where:
        return kind(**values)
    with under(where):
        return kind(**values)


def read_value(value: Any, hint: Any, where: str) -> Any:
    """Check a value of an option file against an annotation, and turn the blocks in it into dataclasses.

    Raises:
        OptionError: it is of another type or out of bounds.
    """
    if not accepts(value, hint):
        raise OptionError(where, describe(hint), shown(value), 'Correct the value.')
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        fitting = [option for option in arguments if accepts(value, option)]
        exact = [option for option in fitting if type(value) is plain(option)]
        return read_value(value, (exact or fitting)[0], where)
    if origin is Annotated:
        read = read_value(value, arguments[0], where)
        if isinstance(read, float) and math.isinf(read):
            raise OptionError(where, 'a finite number', shown(value), 'Correct the value.')
        for mark in arguments[1:]:
            if hasattr(mark, 'check'):
                mark.check(read, where)
            elif not _holds(read, mark):
                raise OptionError(where, describe_bound(mark), shown(value), 'Correct the value.')
        return read
    if hasattr(hint, 'parse'):
        return hint.parse(value, where)
    if dataclasses.is_dataclass(hint):
        return read_block(hint, value, where)  # type: ignore[arg-type]
    if origin is list:
        return [read_value(item, arguments[0], f'{where}.{number}') for number, item in enumerate(value)]
    return int(value) if hint is int else value


def accepts(value: Any, hint: Any) -> bool:
    """Whether a value is of the annotated type, bounds aside; 5e3 passes for an int, 1 for a float, nan for nothing."""
    hint = plain(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object or hasattr(hint, 'parse'):
        return True
    if origin in (Union, types.UnionType):
        return any(accepts(value, option) for option in arguments)
    if origin is Literal:
        return any(value == argument and type(value) is type(argument) for argument in arguments)
    if origin is list:
        return isinstance(value, list) and all(accepts(item, arguments[0]) for item in value)
    if origin is dict or dataclasses.is_dataclass(hint):
        return isinstance(value, Mapping)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if hint is float:
        return isinstance(value, int | float) and not math.isnan(value)
    return isinstance(value, hint)


def plain(hint: Any) -> Any:
    """An annotation without its bounds."""
    return plain(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def marks_of(hint: Any) -> tuple[Any, ...]:
    """The bounds and marks of an annotation."""
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def describe(hint: Any) -> str:
    """An annotation in words for an error, bounds aside."""
    names = [name for mark in marks_of(hint) for name in getattr(mark, 'names', ())]
    if names:
        return ' or '.join(map(repr, names))
    hint = plain(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return ' or '.join(describe(option) for option in arguments)
    if origin is Literal:
        return ' or '.join(map(repr, arguments))
    if origin is list:
        return f'a list of {describe(arguments[0])}'
    if origin is dict or hint is dict or dataclasses.is_dataclass(hint):
        return 'a block of options'
    words = {int: 'an integer', float: 'a number', bool: 'true or false', str: 'text', type(None): '~'}
    return words.get(hint, getattr(hint, '__name__', str(hint)))


def describe_bound(bound: BaseMetadata) -> str:
    """A bound in words: at least 1, more than 0 and up to 1, 0 to 1."""
    if isinstance(bound, Interval):
        if bound.ge is not None and bound.le is not None:
            return f'{bound.ge} to {bound.le}'
        low, high = [describe_bound(part) for part in bound]
        return f'{low} and {high}'
    words = {Ge: 'at least {}', Gt: 'more than {}', Le: 'up to {}', Lt: 'below {}'}
    return words[type(bound)].format(next(iter(dataclasses.astuple(bound))))  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True, eq=False)
class NameIn:
    """Marks the annotation of a text that has to be a name in a table, to which names may be added at run time.

    Attributes:
        table: name -> what it stands for.
        beside: further names.
    """

    table: Mapping[str, Any]
    beside: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All names that there are now."""
        return [*self.table, *self.beside]

    def check(self, value: str, where: str) -> None:
        """Raise OptionError unless the name is known."""
        if value not in self.names:
            raise OptionError(where, ' or '.join(map(repr, self.names)), shown(value), nearest(value, self.names))


def _holds(value: Any, bound: BaseMetadata) -> bool:
    if isinstance(bound, Interval):
        return all(_holds(value, part) for part in bound)
    return (
        (isinstance(bound, Ge) and value >= bound.ge)
        or (isinstance(bound, Gt) and value > bound.gt)
        or (isinstance(bound, Le) and value <= bound.le)
        or (isinstance(bound, Lt) and value < bound.lt)
    )


def is_required(field: 'dataclasses.Field[Any]') -> bool:
    """Whether a key has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def refuse_unknown(block: Iterable[str], known: Collection[str], where: str = '') -> None:
    """Raise OptionError for the first key of a block that is not known; the message names the nearest."""
    for key in block:
        if key not in known:
            raise OptionError(_path(where, key), 'a known key', shown(key), nearest(key, known))


def require(block: Any, keys: Iterable[str], where: str = '') -> None:
    """Raise OptionError unless the block has all the keys; the message names a present key that looks like a slip."""
    if not isinstance(block, dict):
        raise OptionError(where, 'a block of options', shown(block), 'Indent its keys below it.')
    for key in keys:
        if key not in block:
            slip = difflib.get_close_matches(key, map(str, block), n=1, cutoff=0.6)
            advice = f'Rename {shown(slip[0])}.' if slip and slip[0] not in keys else 'Add it.'
            raise OptionError(_path(where, key), 'a value', 'none', advice)


def _path(where: str, key: object) -> str:
    return f'{where}.{key}' if where else str(key)
