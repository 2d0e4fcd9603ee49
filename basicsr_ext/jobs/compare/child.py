"""A job in a process of its own, as the command line would run it."""

import sys
import traceback
from collections.abc import Sequence

from basicsr_ext.errors import told
from basicsr_ext.jobs import load


def do_job(job: str, root_path: str, argv: Sequence[str]) -> int:
    """Run a job; what is wrong is printed.

    Args:
        job: its name.
        root_path: the folder in which `experiments/` and `results/` are made.
        argv: the command line after the name of the job.

    Returns:
        The exit code.
    """
    try:
        code: int = getattr(load(job), f'{job}_pipeline')(root_path, argv)
    except Exception as error:
        line = told(error)
        if line is None:
            traceback.print_exception(error)
        print(line or type(error).__name__, file=sys.stderr)
        return 1 if line is None else 2
    return code
