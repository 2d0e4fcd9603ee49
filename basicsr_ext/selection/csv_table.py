"""CSV files that say something of images, as a person writes them."""

import csv
import os
from collections.abc import Sequence

from basicsr_ext.errors import DataError


def read_table(path: str | os.PathLike[str], columns: Sequence[str], where: str) -> list[dict[str, str]]:
    """The lines of a CSV file with a header, in UTF-8, with a byte order mark or without.

    Args:
        path: the file; `~` is the home folder.
        columns: those that are read, in any order; others may be there.
        where: the option that names the file, named in errors.

    Returns:
        The columns of each line; '' where a line has none.

    Raises:
        DataError: no such file, no CSV file, or one without these columns.
    """
    try:
        with open(os.path.expanduser(path), encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(where, 'a CSV file', f'{path} and {error}', 'Correct the path.') from error
    if not set(columns) <= set(header):
        raise DataError(where, f'the columns {" and ".join(columns)} in {path}', header, 'Correct its first line.')
    return [{column: row[column] or '' for column in columns} for row in rows]
