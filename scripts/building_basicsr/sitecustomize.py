"""Lets BasicSR 1.4.2 be built on Python 3.13 and later, from `PYTHONPATH`; see scripts/setup_env.sh.

Its setup.py runs a file by `exec` inside a function, then looks for `__version__` in `locals()`, which is a copy since
Python 3.13 (PEP 667). Here `exec` writes to the variables of its caller, as it did before.
"""

import builtins
import sys

run = builtins.exec


def run_in_caller(code, *where, **closure):
    """`exec` that without `where` reads and writes the variables of the function that calls it."""
    caller = sys._getframe(1)
    run(code, *(where or (caller.f_globals, caller.f_locals)), **closure)


builtins.exec = run_in_caller
