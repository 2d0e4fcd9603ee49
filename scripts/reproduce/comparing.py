"""The call of the job `compare` that the experiments on choices of images make."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.__main__ import main
from basicsr_ext.runtime.files import atomic_open

FILES = Path('results', 'reproduce')  # where training files come


def arguments(description: str | None, iterations: int | None = None) -> argparse.ArgumentParser:
    """The command line that these experiments share; what it does not know goes to `compare`."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog='Further arguments go to compare, such as --sets, --sizes, --seeds and --jobs.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if iterations is not None:
        parser.add_argument('--iterations', type=int, default=iterations, help=f'of each training ({iterations})')
    return parser


def add_tables(parser: argparse.ArgumentParser, tables: Iterable[str]) -> None:
    """Let the user name tables of the paper; the first one is the usual one."""
    names = list(tables)
    parser.add_argument('--tables', nargs='+', choices=names, default=names[:1], help=f'which ({names[0]})')


def compare(name: str, opt: dict[str, Any], words: Sequence[str], further: Sequence[str]) -> None:
    """Write a training file and compare choices of its images; tables and pictures come into `results/NAME`.

    Args:
        name: of the comparison.
        opt: options that train.
        words: of the command line of `compare`.
        further: those that the user adds, which count before the others.

    Raises:
        SystemExit: the comparison did not end well, as it has told.
    """
    path = FILES / f'{name}.yml'
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(path, 'w') as file:
        yaml.safe_dump({**opt, 'name': name}, file, sort_keys=False, allow_unicode=True)
    if code := main(['compare', '-opt', str(path), *words, *further]):
        raise SystemExit(code)
