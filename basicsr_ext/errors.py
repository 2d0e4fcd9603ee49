"""Errors that tell a user what to change; the command line prints them without a traceback.

A message has four parts: where, what was expected, what was got, what to do. Values in it are shortened by `shown`.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

SHOWN = 5  # items of a list in a message
LONGEST = 120  # characters of a value in a message


class BasicsrExtError(Exception):
    """Base of all errors below."""


class OptionError(BasicsrExtError, ValueError):
    """An option is missing, misspelt, of the wrong type or contradicts another one."""


class DataError(BasicsrExtError, ValueError):
    """A dataset or an image file cannot be used as the options ask."""


class ImageError(DataError):
    """An image that is missing, damaged or too small."""


class CheckpointError(BasicsrExtError, RuntimeError):
    """A checkpoint cannot be read, does not match the network, or cannot be written."""


class DivergenceError(BasicsrExtError, FloatingPointError):
    """Training produced non-finite gradients several times in a row."""


class NameClashError(BasicsrExtError, ValueError):
    """Two different objects were registered under one name."""


@contextmanager
def under(place: str) -> Iterator[None]:
    """Put the path of a block in front of the key with which the message of an error of options or data starts.

    Args:
        place: such as `datasets.train`, or `--` for the options of a command line.
    """
    try:
        yield
    except (OptionError, DataError) as error:
        dot = '' if place.endswith(('-', ' ')) else '.'
        raise type(error)(f'{place}{dot}{error}') from error


def wrong(key: str, expected: str, got: object, advice: str = 'Correct the value.') -> NoReturn:
    """Raise OptionError about a value.

    Args:
        key: path of the option.
        expected: what would have been right.
        got: the value.
        advice: what to do.
    """
    raise OptionError(f'{key}: expected {expected}, got {shown(got)}. {advice}'.rstrip())


def shown(value: object) -> str:
    """A value for a message, in one line, shortened."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits, which Python does not print
        text = f'a value of type {type(value).__name__} that is too long to print'
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'


def first_line(error: BaseException) -> str:
    """The first line of what an error of a library says, or the name of its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def first_few(items: Sequence[str], separator: str = ', ') -> str:
    """The first five of a list for a message, and how many more there are."""
    more = f' and {len(items) - SHOWN} more' if len(items) > SHOWN else ''
    return f'{separator.join(items[:SHOWN])}{more}'


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names closest to `name`, or all of them if they are few; '' for none."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return f'Did you mean {" or ".join(close)}?'
    return f'Known names: {", ".join(known)}.' if 0 < len(known) <= 12 else ''


def refuse_if_any(bad: list[str], expected: str, advice: str, where: str) -> None:
    """Raise DataError that names up to five bad items, if there are any."""
    if bad:
        raise DataError(f'{where}: expected {expected}, got {first_few(bad, "; ")}. {advice}')
