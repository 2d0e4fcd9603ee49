"""Jobs and scripts in processes of their own.

A process that imports torch and BasicSR takes four seconds before it does anything. `start` therefore forks a server
that has imported them: the fork has its own folder, arguments and output and can be stopped and killed like any
process. A training in it leaves out the drawing of its curve. Where the import or the launcher is the point,
`fresh=True` starts a new interpreter. A job that forks its tasks from a server, in the process of the test or in a
fork, gets this one.
"""

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import numpy as np

from basicsr_ext.jobs import jobs

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT = 300  # seconds
os.environ.update(PYTHONPATH=str(REPOSITORY), OMP_NUM_THREADS='1')  # one thread: parallel tests must not compete
FORKS = multiprocessing.get_context('forkserver')
IMPORTED = (__name__, 'basicsr.train', *(f'basicsr_ext.jobs.{job}' for job in jobs()), 'tests.helpers.no_curves')
FORKS.set_forkserver_preload(list(IMPORTED))
forkserver.set_forkserver_preload = lambda names: None  # by a job, which would leave out what the tests import

started: 'list[Fork | subprocess.Popen[str]]' = []


class Fork:
    """A fork of the server, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._output = tempfile.NamedTemporaryFile('r')  # noqa: SIM115  lives as long as the fork
        self._process = FORKS.Process(target=_become, args=(arguments, str(folder), environment, self._output.name))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Wait for the end and return what was printed."""
        self.wait(timeout)
        return self._output.read(), None


def _become(arguments: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    """Turn a fork of the server into `python arguments...` in a folder."""
    multiprocessing.set_start_method(None, force=True)  # its own workers start as they do in a new interpreter
    np.random.seed()  # at random, too; the fork has seeded `random`
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    forkserver._forkserver.ensure_running = lambda: None  # it runs: the parent of this process
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1), os.dup2(descriptor, 2)
    if arguments[0] == '-m':
        sys.path.insert(0, folder)
        sys.argv = arguments[1:]
        runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
    else:
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        sys.argv = arguments
        runpy.run_path(sys.argv[0], run_name='__main__')


def start(arguments: list[str], folder: Path, fresh: bool = False, **variables: str) -> 'Fork | subprocess.Popen[str]':
    """Start `python arguments...` in a folder and a process group of its own, to which a test can send signals.

    Args:
        arguments: `-m MODULE ...` or `FILE ...`.
        folder: where it runs.
        fresh: in a new interpreter.
        **variables: of the environment.
    """
    environment = {**os.environ, **variables}
    if fresh:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            start_new_session=True,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    else:
        process = Fork(arguments, folder, environment)
    started.append(process)
    return process


def finish(process: 'Fork | subprocess.Popen[str]', code: int = 0) -> str:
    """Wait for the end of a process, demand its exit code and return what it printed."""
    output, _ = process.communicate(timeout=TIMEOUT)
    if process.returncode != code:
        raise AssertionError(f'exit code {process.returncode} instead of {code}:\n{output}')
    return output


def run(arguments: list[str], folder: Path, code: int = 0, fresh: bool = False, **variables: str) -> str:
    """Run `python arguments...` to its end and return what it printed."""
    return finish(start(arguments, folder, fresh, **variables), code)


def stop_when(ready: Callable[[], bool], number: int, arguments: list[str], folder: Path) -> int:
    """Send `python arguments...` a signal as soon as something is true; returns its exit code.

    Raises:
        AssertionError: it has ended before.
    """
    process = start(arguments, folder)
    deadline = time.monotonic() + TIMEOUT
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f'exit code {process.returncode} before the signal:\n{process.communicate()[0]}')
        time.sleep(0.01)
    process.send_signal(number)
    return process.wait(TIMEOUT)


def kill_again_and_again(arguments: list[str], folder: Path, begun: Path, pause: float) -> list[int]:
    """Kill and stop `python arguments...` by turns, later each time, until it ends; returns the exit codes.

    Args:
        arguments, folder: as for `start`.
        begun: a file that shows that the work has begun.
        pause: seconds by which every further process may run longer.
    """
    codes: list[int] = []
    for number in range(4):
        process = start(arguments, folder)
        while not begun.is_file() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(pause * number)
        process.send_signal((signal.SIGKILL, signal.SIGTERM)[number % 2])
        codes.append(process.wait(TIMEOUT))
        if codes[-1] == 0:
            break
    return codes


def free_port() -> str:
    """A port of the loopback that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def start_ranks(
    arguments: list[str], folder: Path, ranks: int = 2, **variables: str
) -> list['Fork | subprocess.Popen[str]']:
    """Start `torchrun --nproc_per_node RANKS arguments...` without its launcher; the processes in order."""
    world = {
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': free_port(),
        'WORLD_SIZE': str(ranks),
        'LOCAL_WORLD_SIZE': str(ranks),
    }
    variables = {**world, **variables}
    return [start(arguments, folder, RANK=str(rank), LOCAL_RANK=str(rank), **variables) for rank in range(ranks)]


def run_ranks(arguments: list[str], folder: Path, ranks: int = 2, **variables: str) -> list[str]:
    """Run so many ranks to their ends; returns what each printed."""
    return [finish(process) for process in start_ranks(arguments, folder, ranks, **variables)]


def torchrun(arguments: list[str], folder: Path) -> str:
    """Run `torchrun --nproc_per_node 2 arguments...` in new interpreters."""
    return run(['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', *arguments], folder, fresh=True)


def end_all() -> None:
    """Kill what a failed test has left running."""
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            with suppress(ProcessLookupError):  # of a group that it has not founded yet
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    started.clear()
