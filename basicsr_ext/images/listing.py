"""Which images there are: those of a folder, and those that a list names."""

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path

from basicsr_ext.errors import DataError, shown
from basicsr_ext.images.decoding import IMAGE_SUFFIXES

BLANKS = re.compile(r'\s+')
UTF_16 = (b'\xff\xfe', b'\xfe\xff')  # the first bytes of what PowerShell writes


def walk_images(root: str, where: str) -> tuple[list[str], list[str]]:
    """The images below a folder and what else lies there, except for hidden files and folders.

    Links to folders are followed, but not back to a folder that they lie in.

    Args:
        root: the folder.
        where: named in errors.

    Returns:
        Paths below the root with `/`: of images, in the order of their keys in an LMDB, which have no ending; and of
        other files and broken links, sorted.

    Raises:
        DataError: a folder cannot be read.
    """
    names: list[str] = []
    others: list[str] = []
    try:
        for name, is_file in _entries(root, '', (os.path.realpath(root),)):
            is_image = is_file and name.lower().endswith(IMAGE_SUFFIXES)
            (names if is_image else others).append(name)
    except OSError as error:
        raise DataError(where, 'a folder to read', error, 'Change its rights or remove it.') from error
    return sorted(names, key=os.path.splitext), sorted(others)


def natural(name: str) -> list[tuple[int, str]]:
    """The key by which `frame2` comes before `frame10`."""
    parts = re.split(r'(\d+)', name)
    return [(int(part), '') if place % 2 else (0, part) for place, part in enumerate(parts)]


def _entries(folder: str, below: str, above: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """What lies below a folder and is no folder: its path below the root, and whether it is a file.

    Args:
        folder: to look into.
        below: its path below the root, with a `/` at the end; '' for the root.
        above: the real paths of the folders that it lies in, and its own.
    """
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith('.')]
    for entry in visible:
        name = f'{below}{entry.name}'
        if not entry.is_dir():
            yield name, entry.is_file()
            continue
        real = os.path.realpath(entry.path)
        if real not in above:
            yield from _entries(entry.path, f'{name}/', (*above, real))


def read_lines(path: str, where: str) -> list[str]:
    """The lines of a list, without those that are empty; a byte-order mark and the line ends of Windows are left out.

    Raises:
        DataError: it is not in UTF-8, or in UTF-16 with a byte-order mark.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode('utf-16' if content.startswith(UTF_16) else 'utf-8-sig')
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b'\n') + 1
        raise DataError(
            where,
            'a list in UTF-8',
            f'another encoding (Latin-1, perhaps) in line {line} of {shown(path)}',
            'Save it as UTF-8.',
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def has_mark(path: str) -> bool:
    """Whether a list begins with a byte-order mark."""
    with open(path, 'rb') as file:
        return file.read(3).startswith((codecs.BOM_UTF8, *UTF_16))


def name_list(path: str, root: str, where: str) -> list[str]:
    """The names that a list of BasicSR's gives, one a line, of files below a folder.

    BasicSR ends a name at the first blank. Here it is as long as a file of that name exists.

    Args:
        path: of the list.
        root: the folder.
        where: of the list in the option file, named in errors.

    Raises:
        DataError: as `read_lines`.
    """
    return [_name(line, root) for line in read_lines(path, where)]


def _name(line: str, root: str) -> str:
    ends = [len(line), *(blank.start() for blank in reversed(list(BLANKS.finditer(line))))]
    names = [line[:end] for end in ends]
    for name in (*names, *(name.replace('\\', '/') for name in names if '\\' in name)):
        if os.path.isfile(os.path.join(root, name)):
            return name
    # Of a missing file: what looks like an image, else as BasicSR has it.
    return next((name for name in names if name.lower().endswith(IMAGE_SUFFIXES)), names[-1])


def is_outside(name: str) -> bool:
    """Whether a name in a list leads out of the folder; links in the folder may lead anywhere."""
    return os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir


def not_in_utf8(names: list[str]) -> list[str]:
    """The names of files that are not in UTF-8, as they can be printed: no result could name them."""
    return [ascii(name) for name in names if not _is_utf8(name)]


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
