"""Errors that tell a user what to change; the command line prints them without a traceback."""

from collections.abc import Sequence

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
