"""Option files: load them safely, override single keys, complete them as BasicSR does."""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import yaml

from basicsr_ext.errors import OptionError

Options = dict[str, Any]


class OptionLoader(yaml.SafeLoader):
    """YAML that cannot run code, reads `1e-4` as a number and refuses a key given twice."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Read a block as it stands in the file, before `<<` adds the keys of another one."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            where = f'{self.name}, line {key.start_mark.line + 1}'
            if not isinstance(key, yaml.ScalarNode):
                raise OptionError(f'{where}: expected a name as key, got a block or list. Quote braces in a value.')
            if key.value in seen:
                raise OptionError(
                    f'{where}: expected each key once, got {key.value!r} again in one block. Remove one of the two.'
                )
            seen.add(key.value)
        return node


# YAML 1.1 asks for a dot and a signed exponent in a float, so that it would read 1e-4 as text.
OptionLoader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$'),
    list('-+.0123456789'),
)


def load_options(path: str | os.PathLike[str]) -> Options:
    """Read an option file.

    Raises:
        OptionError: the file is missing, is not YAML, is not a mapping, has a key twice or asks to run code.
    """
    try:
        with open(path, encoding='utf-8') as file:
            opt = yaml.load(file, Loader=OptionLoader)  # a SafeLoader
    except OSError as error:
        raise OptionError(f'-opt {path}: expected an option file, got {error.strerror}. Correct the path.') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f'-opt {path}: expected plain YAML, got {error}. Correct the file there.') from error
    if not isinstance(opt, dict):
        raise OptionError(f'-opt {path}: expected a mapping of options, got {type(opt).__name__}. Correct the file.')
    return opt


def find_file(path: str) -> str:
    """The file that an option names: `~` is the home folder, `pkg://basicsr_ext/...` a file of an installed package."""
    if path.startswith('pkg://'):
        package, _, inside = path.removeprefix('pkg://').partition('/')
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise OptionError(f'{path}: expected an installed package, got {package!r}. Install it or name a file.')
        return str(Path(found.origin).parent / inside)
    return os.path.expanduser(path)


def number(text: str) -> int | float:
    """A whole number or another one, as YAML reads it."""
    try:
        return int(text)
    except ValueError:
        return float(text)
