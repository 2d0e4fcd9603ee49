"""Names in an option file that become names of files and folders."""

from typing import Any

from basicsr_ext.errors import OptionError, shown

LONGEST_NAME = 200  # a file system takes 255 bytes, some of which the date and the ending need


def check_file_name(name: Any, where: str) -> None:
    """Raise OptionError unless a name is a plain file name: no path, nothing hidden behind `.` or `..`.

    Args:
        name: the value in the option file.
        where: path of the option, named in errors.
    """
    if not isinstance(name, str):
        raise OptionError(where, 'text', shown(name), 'Quote it.')
    is_plain = name not in ('', '.', '..') and not set(name) & set('/\\') and name.isprintable()
    if not is_plain or len(name.encode(errors='replace')) > LONGEST_NAME:
        raise OptionError(
            where, f'a plain file name of at most {LONGEST_NAME} characters, without / or \\', shown(name), 'Change it.'
        )
