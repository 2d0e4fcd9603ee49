"""The command line: `basicsr-ext JOB -opt FILE` or `python -m basicsr_ext JOB -opt FILE`."""

import argparse
import gc
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from basicsr_ext.errors import OptionError, nearest, shown, told
from basicsr_ext.jobs import jobs, load, parser_of
from basicsr_ext.jobs.launched import processes_started
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
        The exit code: 0, 2 for a mistake of the user's or trouble of the machine (printed in one line), 128 + signal
        after a stop, 1 for a fault of the program (printed with its traceback).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # names that the terminal's encoding lacks
    program = ' '.join(['basicsr-ext', *words[:1]])
    try:
        code = _run(words)
        if sys.stdout is not None:
            sys.stdout.flush()  # at the end of the interpreter it would be too late to say what is wrong
        return code
    except BrokenPipeError:  # as `| head` does, which has read enough
        _forget_output()
        return 0
    except KeyboardInterrupt:  # where nothing is watching for it, or for the second time
        print(f'{program}: stopped.', file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        code = _tell(error, program)
    gc.collect()  # what the error held: loaders, whose workers would else be ended too late for torch
    return code


def _tell(error: Exception, program: str) -> int:
    line = told(error)
    if line is not None:
        print(f'{program}: {line}', file=sys.stderr)
        return 2
    traceback.print_exception(error)
    print(
        f'{program}: this error should not happen. Please report the lines above, with the version {__version__}.',
        file=sys.stderr,
    )
    return 1


def _run(words: list[str]) -> int:
    if words and not words[0].startswith('-') and words[0] not in jobs():
        raise OptionError('', 'a job', shown(words[0]), nearest(words[0], jobs()))
    job = build_parser().parse_args(words[:1]).job
    if {'-h', '--help'} & set(words[1:]):
        parser_of(job, load(job)).print_help()
        return 0
    folder = _current_folder()  # before libraries are loaded that end the process where there is none
    _refuse_several(job)
    code: int = getattr(load(job), f'{job}_pipeline')(folder, words[1:])
    return code


def _refuse_several(job: str) -> None:
    """Refuse several processes for a job that cannot share its work out: each would do all of it, at the same time."""
    number = processes_started()
    if number > 1 and not any(action.dest == 'launcher' for action in parser_of(job, load(job))._actions):
        raise OptionError('', 'one process, as its work is not shared out', number, 'Start it without a launcher.')


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise OptionError('', 'a current folder', 'one that is deleted', 'Change to another one.') from error


def _forget_output() -> None:
    """Let what is still to be printed go nowhere, so that the end of the interpreter does not stumble over it."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == '__main__':
    sys.exit(main())
