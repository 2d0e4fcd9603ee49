"""Option files: load them safely, override single keys, complete them as BasicSR does."""

import importlib.util
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from basicsr_ext.errors import OptionError, first_line, shown, under

Options = dict[str, Any]


# An option file of some hundred lines is far below these.
LONGEST_TEXT = 2_000_000  # characters
MOST_VALUES = 200_000  # with every alias and merged block counted as often as it is used
DEEPEST = 60  # blocks inside each other
LARGEST = 2**63  # whole numbers are below
OUR_BLOCKS = ('complexity', 'calibrate')  # that may stand in a file of BasicSR


class OptionLoader(yaml.SafeLoader):
    """YAML that cannot run code and reads `1e-4` as a number.

    A key given twice is an error; in a file for a model that is not ours the last one counts, as in BasicSR, with a
    warning, but in blocks of ours. It also refuses what a few lines can blow up: aliases of aliases, blocks
    inside blocks without end, numbers that fit nowhere.
    """

    def get_single_node(self) -> yaml.Node | None:
        """Read the nodes of the file, and count what will be made of them before it is."""
        self.repeated: list[tuple[yaml.Node, str, str]] = []  # the block, where and which key
        node = super().get_single_node()
        if node is not None:
            self._count(node, {}, 1)
        if self.repeated and node is not None:
            self._refuse_repeated(node)
        return node

    def _refuse_repeated(self, root: yaml.Node) -> None:
        """Refuse a key that stands twice in a block of ours; elsewhere warn."""
        ours = _our_names()
        blocks = _children(root)
        is_stock = 'model_type' in blocks and getattr(blocks['model_type'], 'value', None) not in ours
        strict = [blocks[name] for name in OUR_BLOCKS if name in blocks] if is_stock else [root]
        within = {id(part) for block in strict for part in _parts(block)}
        for block, where, key in self.repeated:
            if id(block) in within or getattr(_children(block).get('type'), 'value', None) in ours:
                raise OptionError(where, 'each key once', f'{shown(key)} again in one block', 'Remove one of the two.')
            said = f'{shown(key)} stands twice in one block; the last one counts.'
            logging.getLogger('basicsr').warning(f'{where}: {said}')

    def _count(self, node: yaml.Node, known: dict[yaml.Node, int], depth: int) -> int:
        """The values that a node stands for. `known` holds those of nodes already counted; 0 while they are."""
        if isinstance(node, yaml.ScalarNode):
            return 1
        where = f'{self.name}, line {node.start_mark.line + 1}'
        if depth > DEEPEST or known.get(node) == 0:
            raise OptionError(where, f'at most {DEEPEST} blocks inside each other', 'more', 'Flatten them.')
        if node not in known:
            known[node] = 0
            parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
            known[node] = 1 + sum(self._count(part, known, depth + 1) for part in parts)
        if known[node] > MOST_VALUES:
            raise OptionError(where, f'at most {MOST_VALUES} values', 'more', 'Write fewer aliases.')
        return known[node]

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """A whole number, if it fits into 64 bits."""
        text = self.construct_scalar(node)
        value = self.construct_yaml_int(node) if len(text) < 100 else LARGEST
        if abs(value) >= LARGEST:
            where = f'{self.name}, line {node.start_mark.line + 1}'
            raise OptionError(where, 'whole numbers below 2**63', shown(text), 'Correct the value.')
        return value

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Read a block as it stands in the file, before `<<` adds the keys of another one."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            where = f'{self.name}, line {key.start_mark.line + 1}'
            if not isinstance(key, yaml.ScalarNode):
                raise OptionError(where, 'a name as key', 'a block or list', 'Quote braces in a value.')
            if key.value in seen:
                self.repeated.append((node, where, key.value))
            seen.add(key.value)
        return node


def _our_names() -> set[str]:
    """What this package has registered, if BasicSR is loaded."""
    registries = vars(sys.modules.get('basicsr.utils.registry', object)).values()
    known = [item for registry in registries if type(registry).__name__ == 'Registry' for item in registry]
    return {name for name, item in known if str(item.__module__).partition('.')[0] == 'basicsr_ext'}


def _children(node: yaml.Node) -> dict[str, yaml.Node]:
    """Key -> value of a block."""
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    """A node and all below it."""
    yield node
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                yield from _parts(part)


# YAML 1.1 asks for a dot and a signed exponent in a float, so that it would read 1e-4 as text.
OptionLoader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$'),
    list('-+.0123456789'),
)


OptionLoader.add_constructor('tag:yaml.org,2002:int', OptionLoader.construct_number)


def read_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        OptionError: it is not plain YAML; the message says why in one line.
    """
    if len(text) > LONGEST_TEXT:
        raise OptionError('', f'at most {LONGEST_TEXT} characters', len(text), 'Split the file.')
    try:
        return yaml.load(text, Loader=OptionLoader)  # a SafeLoader
    except OptionError:
        raise
    except RecursionError as error:
        raise OptionError(
            '', f'at most {DEEPEST} blocks inside each other', 'too many to read', 'Flatten them.'
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = '' if mark is None else f' in line {mark.line + 1}, column {mark.column + 1}'
        said = first_line(Exception(error.problem or error.context))
        raise OptionError('', 'plain YAML', f'{shown(said)}{place}', 'Correct it there.') from error
    except Exception as error:  # values that only look like a date or a number, and characters that are none
        raise OptionError('', 'plain YAML', first_line(error), 'Quote the value.') from error


def load_options(path: str | os.PathLike[str]) -> Options:
    """Read an option file.

    Raises:
        OptionError: the file is missing, is not YAML, is not a mapping, has a key twice or asks to run code.
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except OSError as error:
        raise OptionError(f'-opt {path}', 'an option file', error.strerror, 'Correct the path.') from error
    except ValueError as error:
        raise OptionError(f'-opt {path}', 'a text in UTF-8', first_line(error), 'Convert it.') from error
    with under(f'-opt {path}: '):
        opt = read_yaml(text)
    if not isinstance(opt, dict):
        raise OptionError(f'-opt {path}', 'a mapping of options', type(opt).__name__, 'Correct the file.')
    return _on_its_own(opt)


def _on_its_own(value: Any) -> Any:
    """A copy in which nothing stands twice, as YAML aliases do: BasicSR's models take keys out of their blocks."""
    if isinstance(value, dict):
        return {key: _on_its_own(item) for key, item in value.items()}
    return [_on_its_own(item) for item in value] if isinstance(value, list) else value


def find_file(path: str) -> str:
    """The file that an option names: `~` is the home folder, `pkg://basicsr_ext/...` a file of an installed package."""
    if path.startswith('pkg://'):
        package, _, inside = path.removeprefix('pkg://').partition('/')
        if not package.isidentifier() or not inside or '..' in inside.split('/') or inside.startswith('/'):
            # find_spec would import the packages around one whose name has dots
            raise OptionError(
                path,
                'pkg://PACKAGE/FILE, a package without dots and a file in it',
                'another form',
                'Correct it or name a file.',
            )
        origin = _origin(package)
        if origin is None:
            raise OptionError(path, 'an installed package', shown(package), 'Install it or name a file.')
        return str(Path(origin).parent / inside)
    return os.path.expanduser(path)


def _origin(package: str) -> str | None:
    """The file of a package at the top, which is not imported."""
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # such as __main__, which says nothing of itself
        return None
    return None if found is None or not found.has_location else found.origin


def number(text: str) -> int | float:
    """A whole number or another one, as YAML reads it."""
    try:
        return int(text)
    except ValueError:
        return float(text)
