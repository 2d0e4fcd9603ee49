"""The command line: `basicsr-ext JOB -opt FILE` or `python -m basicsr_ext JOB -opt FILE`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from basicsr_ext.errors import BasicsrExtError
from basicsr_ext.version import __version__

# job -> module : function that takes the folder for the results and the rest of the command line
JOBS = {
    'train': 'basicsr_ext.jobs.train:train_pipeline',
    'test': 'basicsr_ext.jobs.test:test_pipeline',
    'rank': 'basicsr_ext.jobs.rank:rank_pipeline',
    'mine': 'basicsr_ext.jobs.mine:mine_pipeline',
    'distill': 'basicsr_ext.jobs.distill:distill_pipeline',
    'align': 'basicsr_ext.jobs.align:align_pipeline',
    'inspect': 'basicsr_ext.jobs.inspect:inspect_pipeline',
    'export': 'basicsr_ext.jobs.export:export_pipeline',
    'complexity': 'basicsr_ext.jobs.complexity:complexity_pipeline',
    'calibrate': 'basicsr_ext.jobs.calibrate:calibrate_pipeline',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a job in the current directory.

    Args:
        argv: the command line after the name of the program; None takes the process's own.

    Returns:
        The exit code: 0, 2 for a mistake of the user's (printed without a traceback), 128 + signal after a stop.
    """
    parser = argparse.ArgumentParser(
        prog='basicsr-ext', description='Less data, less compute, in BasicSR option files.'
    )
    parser.add_argument('--version', action='version', version=__version__)
    parser.add_argument('job', choices=JOBS, help='what to do; `basicsr-ext JOB -h` tells its options')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='-opt FILE ...')
    args = parser.parse_args(argv)
    module, function = JOBS[args.job].split(':')
    try:
        code: int = getattr(importlib.import_module(module), function)(os.getcwd(), args.arguments)
        return code
    except BasicsrExtError as error:
        print(f'basicsr-ext {args.job}: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
