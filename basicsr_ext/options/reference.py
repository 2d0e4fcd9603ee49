"""Tables of the keys of option blocks, in Markdown."""

from collections.abc import Iterable
from typing import Any

import yaml

from basicsr_ext.options.described import Key, blocks_inside, keys_of

HEAD = '| key | value | default | meaning |\n|---|---|---|---|'


def tables_of(kind: type, title: str, leave_out: Iterable[str] = ()) -> str:
    """A table of the keys of a block, and one for each block inside it.

    Args:
        kind: the dataclass of the block.
        title: what stands above the table, such as the path of the block; '' for nothing.
        leave_out: keys that another table has.
    """
    tables = [f'{title}\n\n{table_of(kind, leave_out)}'.strip()]
    inside = blocks_inside(kind)
    tables += [f'`{name}`{" in " if title else ""}{title}\n\n{table_of(inner)}' for name, inner in inside]
    return '\n\n'.join(tables)


def table_of(kind: type, leave_out: Iterable[str] = ()) -> str:
    """A table of the keys of a block, without the blocks inside it."""
    return '\n'.join([HEAD, *(_row(key) for key in keys_of(kind) if key.name not in leave_out)])


def in_yaml(value: Any) -> str:
    """A value in one line of YAML."""
    if value is None:
        return '~'
    if isinstance(value, str):
        return value
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix('...\n').strip()


def _row(key: Key) -> str:
    default = '' if key.required else f'`{in_yaml(key.default)}`' if not key.block or key.default is None else ''
    return f'| `{key.name}` | {_cell(key.values)} | {default} | {_cell(key.meaning)} |'


def _cell(text: str) -> str:
    return text.replace('|', '\\|')
