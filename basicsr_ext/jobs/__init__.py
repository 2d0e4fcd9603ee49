"""The jobs of the command line: option file in, artefacts out.

A job is a module or package here whose docstring begins "The job `NAME`: what it does". It has a function
`NAME_pipeline(root_path, argv)`, a command line `EXAMPLE`, and, unless it reads nothing but an option file, a function
`build_parser()`. What several jobs need stands in the other modules. Nothing is imported before it is chosen.
"""

import argparse
import importlib
import pkgutil
import re
from importlib.machinery import FileFinder
from pathlib import Path
from types import ModuleType
from typing import cast


def jobs() -> dict[str, str]:
    """Name -> what it does, of every job, read off the files, none of which is imported."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        folder = Path(cast(FileFinder, module.module_finder).path, module.name)
        file = folder / '__init__.py' if module.ispkg else folder.with_suffix('.py')
        match = re.match(rf'\s*"""The job `{module.name}`: (.*?)("""|\n)', file.read_text(encoding='utf-8'))
        if match is not None:
            found[module.name] = match.group(1)
    return found


def load(job: str) -> ModuleType:
    """Import the module of a job."""
    return importlib.import_module(f'{__name__}.{job}')


def parser_of(job: str, module: ModuleType) -> argparse.ArgumentParser:
    """The command line of a job whose module is loaded, with what it does and an example.

    A job without `build_parser` takes the command line of jobs that read an option file.
    """
    if hasattr(module, 'build_parser'):
        parser: argparse.ArgumentParser = module.build_parser()
    else:
        parser = importlib.import_module('basicsr_ext.options.command_line').build_parser(job)
    parser.description = parser.description or jobs()[job]
    parser.epilog = f'example:\n  {module.EXAMPLE}'
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser
