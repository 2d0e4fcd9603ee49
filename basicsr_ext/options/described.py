"""What the keys of an option block are and mean, read off the dataclass that checks it."""

import dataclasses
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from basicsr_ext.options.blocks import describe, describe_bound, is_required, marks_of, plain


@dataclass(frozen=True)
class Key:
    """A key of an option block.

    Attributes:
        name: of the key.
        hint: its annotation.
        default: what a missing key stands for, as an option file has it; None too where there is no default.
        required: whether there is none.
        meaning: a sentence without its capital and its full stop.
    """

    name: str
    hint: Any
    default: Any
    required: bool
    meaning: str

    @property
    def values(self) -> str:
        """What it may hold, in words."""
        return values_of(self.hint)

    @property
    def block(self) -> Any:
        """The dataclass of the block, or of each block of a list, that it holds."""
        options = [plain(option) for option in options_of(self.hint)]
        inner = [get_args(option)[0] if get_origin(option) is list else option for option in options]
        return next((kind for kind in inner if dataclasses.is_dataclass(kind) and not hasattr(kind, 'parse')), None)


def keys_of(kind: type) -> list[Key]:
    """The keys of the block that a dataclass checks, those without default first.

    Their meanings stand below `Attributes:` in the docstrings of the class and its bases.
    """
    hints, meanings = get_type_hints(kind, include_extras=True), meanings_of(kind)
    keys = []
    for field in dataclasses.fields(kind):
        default = None if is_required(field) else as_option(_default(field))
        keys.append(Key(field.name, hints[field.name], default, is_required(field), meanings.get(field.name, '')))
    return keys


def meanings_of(kind: type) -> dict[str, str]:
    """Key -> its meaning, of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__doc__ or '')
        _, _, attributes = text.partition('Attributes:\n')
        for names, meaning in re.findall(r'^ {4}([\w, ]+): ((?:.|\n {8})*)', attributes, re.MULTILINE):
            sentence = ' '.join(meaning.split()).rstrip('.')
            found.update(dict.fromkeys(names.split(', '), sentence))
    return found


def options_of(hint: Any) -> tuple[Any, ...]:
    """The parts of a union, or the annotation itself."""
    hint = plain(hint)
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def values_of(hint: Any) -> str:
    """What an annotation lets a key hold, in words: `an integer of at least 1 or ~`."""
    if get_origin(plain(hint)) in (Union, types.UnionType):
        return ' or '.join(values_of(option) for option in get_args(plain(hint)))
    if get_origin(plain(hint)) is Literal:
        return ' or '.join(f'`{value}`' for value in get_args(plain(hint)))
    if get_origin(plain(hint)) is list:
        return f'a list of {values_of(get_args(plain(hint))[0])}'
    words = describe(hint).replace('~', '`~`')
    for mark in marks_of(hint):
        if hasattr(mark, 'names'):
            return ' or '.join(f'`{name}`' for name in mark.names)
        if not hasattr(mark, 'check'):
            words = f'{words}, {describe_bound(mark)}'
    return words


def as_option(value: Any) -> Any:
    """A default as an option file has it: a mapping for a dataclass, text for what has a form of its own."""
    if hasattr(value, 'parse'):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_option(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [as_option(item) for item in value] if isinstance(value, list) else value


def _default(field: 'dataclasses.Field[Any]') -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default


def blocks_inside(kind: type) -> Iterator[tuple[str, Any]]:
    """Key -> dataclass of every block inside a block, and inside those."""
    for key in keys_of(kind):
        if key.block is not None:
            yield key.name, key.block
            yield from ((f'{key.name}.{name}', inner) for name, inner in blocks_inside(key.block))
