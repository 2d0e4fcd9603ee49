"""Groups of images from a CSV file, such as their degradation or where they come from."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from basicsr_ext.errors import DataError, first_few
from basicsr_ext.selection.csv_table import read_table
from basicsr_ext.selection.manifest import Item


def with_groups(items: Sequence[Item], path: str | os.PathLike[str], where: str) -> list[Item]:
    """The images with the groups of a CSV file.

    Args:
        items: the inventory of a dataset.
        path: the file: columns `path` and `group`, a line an image; the ending of a path does not matter.
        where: the option that names the file, named in errors.

    Raises:
        DataError: no such file, or one that does not list every image once, with a group; names the paths.
    """
    rows = read_table(path, ('path', 'group'), where)
    names = [Item(row['path'], 0, 0).name for row in rows]
    times, known = Counter(names), {item.name for item in items}
    problems = {
        'missing': [item.path for item in items if item.name not in times],
        'listed more than once': [item.path for item in items if times[item.name] > 1],
        'not in the dataset': [row['path'] for row, name in zip(rows, names, strict=True) if name not in known],
        'without a group': [row['path'] for row in rows if not row['group']],
    }
    found = [f'{len(paths)} {problem}: {first_few(paths)}' for problem, paths in problems.items() if paths]
    if found:
        raise DataError(
            where, f'every image of the dataset once in {path}, with its group', '; '.join(found), 'Correct the file.'
        )
    group_of = {name: row['group'] for name, row in zip(names, rows, strict=True)}
    return [replace(item, group=group_of[item.name]) for item in items]


def groups_digest(items: Sequence[Item]) -> str | None:
    """A digest of the groups of images, whatever their order; None where no image has one."""
    if not any(item.group for item in items):
        return None
    lines = sorted(f'{item.name} {item.group}' for item in items)
    return blake2b('\n'.join(lines).encode(), digest_size=16).hexdigest()
