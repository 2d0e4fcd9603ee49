"""Errors that tell a user what to change; the command line prints them without a traceback."""

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 5


def first_few(items: Sequence[str], separator: str = ', ') -> str:
    """The first five of a list for a message, and how many more there are."""
    more = f' and {len(items) - SHOWN} more' if len(items) > SHOWN else ''
    return f'{separator.join(items[:SHOWN])}{more}'


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


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names closest to `name`, or all of them if they are few; '' for none."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return f'Did you mean {" or ".join(close)}?'
    return f'Known names: {", ".join(known)}.' if len(known) <= 12 else ''


def refuse_if_any(bad: list[str], expected: str, advice: str, where: str) -> None:
    """Raise DataError that names up to five bad items, if there are any."""
    if bad:
        raise DataError(f'{where}: expected {expected}, got {first_few(bad, "; ")}. {advice}')
