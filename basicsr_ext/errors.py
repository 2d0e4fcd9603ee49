"""Errors that tell a user what to change; the command line prints them without a traceback.

Each has four parts: where, what was expected, what was got, what to do. Values in them are shortened by `shown`.
"""

import difflib
import errno
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from typing_extensions import Self

SHOWN = 5  # items of a list in a message
LONGEST = 120  # characters of a value in a message

# Modules that read what a user names, and may raise whatever they like about it.
READERS = (
    'PIL',
    'cv2',
    'lmdb',
    'pickle',
    'pyarrow',
    'safetensors',
    'tifffile',
    'torch.serialization',
    'yaml',
    'zipfile',
)
# What torch says of the processes of a group when one of them has ended, or is silent for too long.
LOST = ('gloo/transport', 'gloo: ', 'NCCL', 'DistBackendError', 'DistNetworkError', 'DistStoreError')
OUT_OF_MEMORY = ('out of memory', "can't allocate memory", 'not enough memory', 'bad allocation', 'ALLOC_FAILED')
WAYS_OUT = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): 'Free disk space, then run the same command again.',
    (errno.EACCES, errno.EPERM, errno.EROFS): 'Change the permissions, or name another place.',
    (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY): 'Move away what is there, or name another place.',
    (errno.ENAMETOOLONG,): 'Take a shorter name.',
    (errno.EMFILE, errno.ENFILE): 'Raise the limit of open files (ulimit -n), or use fewer workers.',
}


class BasicsrExtError(Exception):
    """Base of all errors below; as text `where: expected this, got that. Advice`.

    Args:
        where: path of an option, name of a file or another place; '' where there is but one. With nothing beside it, it
            is the whole text, as torch hands on the report of a worker process.
        expected: what would have been right.
        got: what was found, in words or by `shown`.
        advice: what to do, a sentence.
    """

    def __init__(self, where: object, expected: str = '', got: object = '', advice: str = '') -> None:
        self.where, self.expected, self.got, self.advice = str(where), expected, str(got), advice
        super().__init__(self.where, expected, self.got, advice)  # as `args`, from which pickle builds it again

    def __str__(self) -> str:
        if not self.expected:
            return self.where
        place = f'{self.where}: ' if self.where else ''
        return f'{place}expected {self.expected}, got {self.got}. {self.advice}'.rstrip()

    def below(self, place: str) -> Self:
        """The same error with the path of a block, or text that ends in a blank or a dash, in front of where it is."""
        if not self.where:
            return type(self)(place.rstrip(': '), *self.args[1:])
        return type(self)(f'{place}{"" if place.endswith(("-", " ")) else "."}{self.where}', *self.args[1:])


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


class UpstreamError(BasicsrExtError, ImportError):
    """Another BasicSR was found than the one that this package extends."""


@contextmanager
def under(place: str) -> Iterator[None]:
    """Put the path of a block in front of where an error of options or data is.

    Args:
        place: such as `datasets.train`, or `--` for the options of a command line.
    """
    try:
        yield
    except (OptionError, DataError) as error:
        raise error.below(place) from error


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
    """A sentence that names the known names closest to `name`, or all of them if they are few."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return f'Did you mean {" or ".join(close)}?'
    return f'Known names: {", ".join(known)}.' if 0 < len(known) <= 12 else 'Correct it.'


def refuse_if_any(bad: list[str], expected: str, advice: str, where: str) -> None:
    """Raise DataError that names up to five bad items, if there are any."""
    if bad:
        raise DataError(where, expected, first_few(bad, '; '), advice)


def told(error: BaseException) -> str | None:
    """The line that a user is told about an error, or None for a fault of the program.

    Args:
        error: one of those above; one of the machine, such as a full disk or memory; one that a library raised about a
            file that it read.
    """
    if isinstance(error, BasicsrExtError):
        return one_line(error)
    said = one_line(error).rstrip('.')
    if isinstance(error, MemoryError) or any(sign in said for sign in OUT_OF_MEMORY):
        return f'expected enough memory, got {said}. Make batches, patches or tiles smaller, or use fewer workers.'
    if isinstance(error, RuntimeError) and any(sign in f'{type(error).__name__} {error}' for sign in LOST):
        reason = re.sub(r'^\[[^]]*\] ', '', said).partition('. ')[0]
        return f'expected the other processes to work on, got {reason}. Look at what they said, then start all again.'
    if isinstance(error, UnicodeError):
        return f'expected names and texts in UTF-8, got {said}. Rename or convert them.'
    if isinstance(error, OSError):
        return _about_files(error, said)
    if _starts_with(type(error).__module__, READERS) or _passes(error.__traceback__, READERS):
        return f'expected files that can be read, got {said}. Correct or replace the file.'
    return None


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks; the report of a worker process becomes what the worker met."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if lines[0].startswith('Caught ') and len(lines) > 1 and lines[1].startswith('Original Traceback'):
        last = max(number for number, line in enumerate(lines) if 'Traceback (most recent call last)' in line)
        lines = lines[last:]  # of errors that led to one another
        while len(lines) > 1 and not _names_an_error(lines[0]):
            lines = lines[1:]
        lines[0] = lines[0].partition(': ')[2] or lines[0]
    return ' '.join(lines)


def _names_an_error(line: str) -> bool:
    """Whether a line of a traceback is that of the error itself, such as `package.NameError: message`."""
    name = line.partition(':')[0]
    return all(part.isidentifier() for part in name.split('.')) and name.endswith(('Error', 'Exception', 'error'))


def _about_files(error: OSError, said: str) -> str:
    advice = next((text for numbers, text in WAYS_OUT.items() if error.errno in numbers), 'Look at the path.')
    if error.filename is None or error.strerror is None:
        return f'expected to read and write files, got {said}. {advice}'
    return f'{error.filename}: expected to read or write it, got {error.strerror}. {advice}'


def _passes(traceback: TracebackType | None, modules: Sequence[str]) -> bool:
    """Whether an error came through one of the modules."""
    while traceback is not None:
        if _starts_with(str(traceback.tb_frame.f_globals.get('__name__')), modules):
            return True
        traceback = traceback.tb_next
    return False


def _starts_with(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f'{package}.') for package in packages)
