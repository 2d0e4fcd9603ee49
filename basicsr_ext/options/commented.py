"""Options as the text of an option file, with comments, which reads back as exactly these options."""

import json
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import yaml

from basicsr_ext.options.described import keys_of
from basicsr_ext.options.load import read_yaml

WIDTH = 120  # columns of a line


def notes_of(kind: type, path: str, block: Mapping[str, Any]) -> dict[str, str]:
    """Comments for the keys of a block: what the docstring of its dataclass says of each.

    Args:
        kind: the dataclass.
        path: of the block in the file, such as `datasets.train`; '' for the file itself.
        block: whose keys are told.
    """
    meanings = {key.name: _as_comment(key.meaning) for key in keys_of(kind) if key.name in block}
    return {f'{path}.{name}'.lstrip('.'): text for name, text in meanings.items() if text and text != 'as in BasicSR'}


def commented(options: Mapping[str, Any], notes: Mapping[str, str], head: str) -> str:
    """The text of an option file.

    Args:
        options: blocks within blocks of plain values.
        notes: path of a key, such as `datasets.train.gt_size` -> what is said of it, beside it or above.
        head: what is said of the file, in its first lines.
    """
    comment = '\n'.join(f'# {line}' for line in head.splitlines())
    parts = ['\n'.join(_lines({key: value}, notes, '')) for key, value in options.items()]
    are_blocks = [isinstance(value, Mapping) for value in options.values()]
    gaps = ['\n' if is_block else '' for is_block in are_blocks]
    return f'{comment}\n\n' + '\n'.join(f'{gap}{part}' for gap, part in zip(gaps, parts, strict=True)) + '\n'


def _as_comment(meaning: str) -> str:
    return re.sub(r'\bNone\b', '~', meaning.replace('`', ''))


def _lines(block: Mapping[str, Any], notes: Mapping[str, str], path: str) -> Iterator[str]:
    indent = '  ' * (path.count('.') + bool(path))
    for key, value in block.items():
        own = f'{path}.{key}' if path else key
        is_block = isinstance(value, Mapping) and bool(value)
        line = f'{indent}{key}:' if is_block else f'{indent}{key}: {in_one_line(value)}'
        note = notes.get(own, '')
        if note and len(line) + len(note) + 4 <= WIDTH:
            line = f'{line}  # {note}'
        elif note:
            yield from (f'{indent}# {part}' for part in wrap(note, WIDTH - len(indent) - 2))
        yield line
        if is_block:
            yield from _lines(value, notes, own)


def in_one_line(value: Any) -> str:
    """A value in one line of YAML, quoted where the text would be read as something else."""
    if isinstance(value, list):
        return f'[{", ".join(map(in_one_line, value))}]'
    if value is None:
        return '~'
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    text = text.removesuffix('...\n').strip()
    read = read_yaml(f'[{text}]')  # within a list a comma ends a text
    is_same = read == [value] and type(read[0]) is type(value) and '\n' not in text
    return text if is_same else json.dumps(value)
