"""The job `options`: list the option files that come with the package, and copy them."""

import argparse
import os
import shutil
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from textwrap import shorten

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.options.imports import add_import

EXAMPLE = 'basicsr-ext options rank -o .'
LONGEST = 100  # characters of what is said of a file


def build_parser() -> argparse.ArgumentParser:
    """The command line of `options`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext options')
    parser.add_argument('names', nargs='*', metavar='NAME', help='a file or a folder of the list; none: all of them')
    parser.add_argument(
        '-o', '--output', metavar='FOLDER', help='copy to FOLDER/options/, as which the files know each other'
    )
    add_import(parser)
    return parser


def options_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """List or copy as the command line says.

    Args:
        root_path: the folder in which relative paths start.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0.

    Raises:
        OptionError: there is no such file, or one is there already and is another.
    """
    args = build_parser().parse_args(argv)
    chosen = choose(args.names)
    if args.output is None:
        for path in chosen:
            print(f'options/{path.relative_to(folder()).as_posix()}: {beginning(path)}')
        return 0
    targets = {path: Path(root_path, args.output, 'options', path.relative_to(folder())) for path in chosen}
    for path, target in targets.items():
        if target.exists() and target.read_bytes() != path.read_bytes():
            raise OptionError(f'-o {target}', 'a new file', 'one that is there and differs', 'Move it away.')
    for path, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    print(f'{len(targets)} option files: {Path(args.output, "options")}')
    return 0


def folder() -> Path:
    """Where the option files are: in the installed package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    installed = package / 'option_files'
    return installed if installed.is_dir() else package.parent / 'options'


def choose(names: Sequence[str]) -> list[Path]:
    """The option files below some names; all of them for none.

    Raises:
        OptionError: a name that is none of them.
    """
    files = sorted(folder().rglob('*.yml'))
    chosen = []
    for name in names or ['']:
        asked = folder() / name.removeprefix('options/').rstrip('/')
        found = [path for path in files if path == asked or asked in path.parents]
        if not found:
            known = [path.relative_to(folder()).as_posix() for path in files]
            raise OptionError('NAME', 'an option file or a folder of them', shown(name), nearest(name, known))
        chosen += found
    return chosen


def beginning(path: Path) -> str:
    """The beginning of what an option file says of itself at its top."""
    lines = takewhile(lambda line: line.startswith('#'), path.read_text(encoding='utf-8').splitlines())
    return shorten(' '.join(line.lstrip('# ') for line in lines), LONGEST, placeholder=' ...')
