"""Modules of the user that register classes, imported before names are looked up."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from basicsr_ext.errors import BasicsrExtError, OptionError, first_line, shown


class ImportModule(argparse.Action):
    """Imports the module that an option of a command line names, and keeps its name in a list."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """See `argparse.Action`."""
        import_module(values, option_string)
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), values])


def add_import(parser: argparse.ArgumentParser) -> None:
    """Give a command line the option `--import MODULE`."""
    parser.add_argument(
        '--import',
        dest='imports',
        action=ImportModule,
        metavar='MODULE',
        help='import a module first, as one that registers your own classes: --import hat.archs --import hat.models',
    )


def import_all(opt: dict[str, Any], asked: Sequence[str] | None = None) -> None:
    """Import what the key `imports` of an option file names, and note there what the command line has imported.

    Raises:
        OptionError: it is no list of names, or one cannot be imported.
    """
    names = opt.get('imports') or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OptionError('imports', 'a list of modules', shown(names), 'Write imports: [my_package.archs].')
    for number, name in enumerate(names):
        import_module(name, f'imports.{number}')
    if asked:
        opt['imports'] = list(dict.fromkeys([*names, *asked]))


def import_module(name: str, where: str) -> None:
    """Import a module that is installed or lies in the current folder.

    Args:
        name: such as `hat.archs`.
        where: the option that names it, for errors.

    Raises:
        OptionError: there is no such module, or importing it raises something.
    """
    if not {'', os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())  # at the end, where it hides no installed package
    try:
        importlib.import_module(name)
    except BasicsrExtError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f'{name}.'.startswith(f'{error.name}.'):
            raise OptionError(
                where,
                f'a module that is installed or lies in {os.getcwd()}',
                shown(name),
                'Correct the name, or start in the folder that holds it.',
            ) from error
        raise OptionError(
            where, f'a module {name} that can be imported', f'{first_line(error)}', 'Install it.'
        ) from error
    except Exception as error:  # whatever the code of somebody else raises
        said = f'{type(error).__name__}: {first_line(error)}'
        raise OptionError(where, f'a module {name} that can be imported', said, 'Correct the module.') from error
