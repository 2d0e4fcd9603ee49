"""The command line: `basicsr-ext JOB -opt FILE` or `python -m basicsr_ext JOB -opt FILE`."""

import argparse
import os
import sys
from collections.abc import Sequence

from basicsr_ext.errors import BasicsrExtError, nearest
from basicsr_ext.jobs import jobs, load, parser_of
from basicsr_ext.version import __version__


def build_parser() -> argparse.ArgumentParser:
    """The command line before a job is chosen: a line on each job; what a job takes beyond is its own to say."""
    parser = argparse.ArgumentParser(
        prog='basicsr-ext',
        description='Less data, less compute, in BasicSR option files.',
        epilog='`basicsr-ext JOB -h` tells the options of a job, with an example.',
    )
    parser.add_argument('--version', action='version', version=__version__)
    listed = parser.add_subparsers(dest='job', metavar='JOB', required=True)
    for name, sentence in jobs().items():
        listed.add_parser(name, help=sentence, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a job in the current directory.

    Args:
        argv: the command line after the name of the program; None takes the process's own.

    Returns:
        The exit code: 0, 2 for a mistake of the user's (printed without a traceback), 128 + signal after a stop.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith('-') and words[0] not in jobs():
        print(f'basicsr-ext: expected a job, got {words[0]!r}. {nearest(words[0], jobs())}'.rstrip(), file=sys.stderr)
        return 2
    job = build_parser().parse_args(words[:1]).job
    if {'-h', '--help'} & set(words[1:]):
        parser_of(job, load(job)).print_help()
        return 0
    try:
        code: int = getattr(load(job), f'{job}_pipeline')(os.getcwd(), words[1:])
        return code
    except BasicsrExtError as error:
        print(f'basicsr-ext {job}: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
