"""The job `completion`: print what lets a shell complete the commands."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

import shtab

from basicsr_ext.jobs import jobs, load, parser_of
from basicsr_ext.options.imports import add_import

EXAMPLE = 'eval "$(basicsr-ext completion bash)"'
FILES = (
    'opt',
    'output',
    'manifest',
    'other',
    'input',
    'weights',
    'compare',
    'calibration',
)  # arguments that name a file


def build_parser() -> argparse.ArgumentParser:
    """The command line of `completion`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext completion')
    parser.add_argument('shell', choices=shtab.SUPPORTED_SHELLS, help='whose completion to print')
    add_import(parser)
    return parser


def completion_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Print the completion for a shell.

    Args:
        root_path: not used.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0.
    """
    args = build_parser().parse_args(argv)
    print(shtab.complete(whole_parser(), args.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """The command line with those of all jobs."""
    parser = argparse.ArgumentParser(prog='basicsr-ext')
    parser.add_argument('--version', action='store_true')
    listed = parser.add_subparsers(metavar='JOB')
    for name, sentence in jobs().items():
        own = parser_of(name, load(name))
        for action in own._actions:
            if action.dest in FILES:
                files: Any = action
                files.complete = shtab.FILE
        listed.add_parser(name, help=sentence, parents=[own], conflict_handler='resolve')
    return parser
