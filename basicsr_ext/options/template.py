"""Option blocks as YAML to fill in: every key with its default and its meaning."""

from textwrap import indent, wrap

from basicsr_ext.options.described import Key, keys_of
from basicsr_ext.options.reference import in_yaml

WIDTH = 100  # of comments


def template_of(kind: type, leave_out: tuple[str, ...] = ()) -> str:
    """The keys of a block in YAML; those with a default are commented out.

    Args:
        kind: the dataclass of the block.
        leave_out: keys that stand elsewhere.
    """
    return '\n'.join(_lines_of(key) for key in keys_of(kind) if key.name not in leave_out)


def _lines_of(key: Key) -> str:
    meaning = f'{key.meaning or key.name} ({key.values.replace("`", "")})'
    comment = indent('\n'.join(wrap(meaning, WIDTH)), '# ')
    if key.block is not None and key.required:
        return f'{comment}\n{key.name}:\n{indent(template_of(key.block), "  ")}'
    if key.required:
        return f'{comment}\n{key.name}:'
    return f'{comment}\n# {key.name}: {in_yaml(key.default)}'
