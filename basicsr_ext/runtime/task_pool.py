"""Tasks in processes of their own: several at a time, none twice, also by several programs that share a folder.

A task is forked from a server that has imported everything, so that it starts at once. What it prints goes to
`NAME.txt`; `NAME.json` says that it is done, how many seconds it took, all parts of it together, and how much memory. A
task that is stopped or killed is not done, and begins again where its own work can be continued.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from basicsr_ext.errors import DataError
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.files import read_json, write_json
from basicsr_ext.runtime.memory import peak_memory

BUSY = 75  # exit code: another program works on the task
PATIENCE = 0.5  # seconds between two looks at what others have done


@dataclass(frozen=True)
class Task:
    """Something that is done once.

    Attributes:
        name: of its files.
        title: what it is called in messages.
        work: does it and gives an exit code, 0 when it is done; it is pickled, and stops at SIGTERM.
        needs: the names of those that are done before.
    """

    name: str
    title: str
    work: Callable[[], int]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slot:
    """A place for one process at a time.

    Attributes:
        threads: that it computes with.
        environment: variables that it sees beside the others, such as `CUDA_VISIBLE_DEVICES`.
    """

    threads: int
    environment: Mapping[str, str]


class TaskPool:
    """Tasks and the places to do them in.

    Args:
        folder: of their files.
        slots: as many tasks at a time.
        preload: modules that the tasks import.
    """

    def __init__(self, folder: Path, slots: Sequence[Slot], preload: Sequence[str]) -> None:
        self.folder, self.slots = folder, slots
        forks = 'forkserver' in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context('forkserver' if forks else 'spawn')
        if forks:
            self._context.set_forkserver_preload(list(preload))
        self._free = list(slots)
        self._running: dict[Any, tuple[Task, Slot]] = {}

    def seconds(self, task: Task) -> float | None:
        """How long a task took; None if it is not done."""
        record = _record(self.folder, task.name)
        return float(record['seconds']) if record['done'] else None

    def memory(self, task: Task) -> int | None:
        """The most bytes of memory that a task held, of a GPU where there is one; None where that is not known."""
        found: int | None = _record(self.folder, task.name).get('memory')
        return found

    def run(self, tasks: Sequence[Task], on_done: Callable[[Task], None]) -> None:
        """Do what is not done yet, in the order given as far as what they need allows.

        Args:
            tasks: all of them.
            on_done: called after each that is done here or by another program meanwhile.

        Raises:
            Interrupted: a stop was asked for; the running tasks have been stopped.
            DataError: a task failed; the others have been stopped.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        waiting = {task.name: task for task in tasks if self.seconds(task) is None}
        try:
            while waiting:
                if not self._start_next(waiting):
                    wait([process.sentinel for process in self._running], PATIENCE)
                    time.sleep(0 if self._running else PATIENCE)
                if interrupt.requested():
                    raise interrupt.Interrupted
                self._collect()
                for task in [each for each in waiting.values() if self.seconds(each) is not None]:
                    del waiting[task.name]
                    on_done(task)
        finally:
            self._stop()

    def _start_next(self, waiting: Mapping[str, Task]) -> bool:
        """Start a task, if there is a place, and one whose needs are met and that nobody works on."""
        busy = {task.name for task, _ in self._running.values()}
        ready = (task for task in waiting.values() if task.name not in busy and not waiting.keys() & set(task.needs))
        task = next((task for task in ready if self._is_free(task)), None) if self._free else None
        if task is None:
            return False
        slot = self._free.pop()
        environment = {**os.environ, **slot.environment}
        arguments = (task, self.folder.absolute(), slot.threads, os.getcwd(), environment)
        process = self._context.Process(target=_become, args=arguments)
        process.start()
        self._running[process] = task, slot
        return True

    def _is_free(self, task: Task) -> bool:
        """Whether no other program works on it."""
        try:
            with _lock(self.folder, task.name).acquire(timeout=0):
                return True
        except Timeout:
            return False

    def _collect(self) -> None:
        """Take note of what has ended."""
        for process in [each for each in self._running if each.exitcode is not None]:
            task, slot = self._running.pop(process)
            self._free.append(slot)
            if process.exitcode not in (0, BUSY):
                output = self.folder / f'{task.name}.txt'
                raise DataError(
                    task.title,
                    'a run that ends well',
                    f'exit code {process.exitcode}: {_last_line(output).removesuffix(".")}',
                    f'All of it stands in {output}; the same command continues.',
                )

    def _stop(self) -> None:
        """Stop what still runs, and wait until it has saved its state."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.join()
        self._running.clear()
        self._free = list(self.slots)


def _record(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f'{name}.json'
    found: dict[str, Any] = read_json(path) if path.is_file() else {'seconds': 0.0, 'done': False}
    return found


def _lock(folder: Path, name: str) -> FileLock:
    return FileLock(folder / f'.{name}.lock')


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding='utf-8', errors='replace').split('\n') if path.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), 'it printed nothing')


def _become(task: Task, folder: Path, threads: int, current: str, environment: Mapping[str, str]) -> None:
    """Do a task in a process that the server has forked."""
    interrupt.detach()
    multiprocessing.set_start_method(None, force=True)  # its workers start as they do in a new interpreter
    os.chdir(current)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(threads)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    _print_to(folder / f'{task.name}.txt')
    try:
        with _lock(folder, task.name).acquire(timeout=0):
            code = _timed(task, folder)
    except Timeout:
        code = BUSY
    sys.stdout.flush()
    sys.exit(code)


def _timed(task: Task, folder: Path) -> int:
    before = _record(folder, task.name)
    if before['done']:
        return 0
    began, code = time.perf_counter(), 1
    try:
        code = task.work()
    finally:
        seconds = before['seconds'] + time.perf_counter() - began
        most = max(filter(None, (before.get('memory'), peak_memory())), default=None)
        record = {'title': task.title, 'seconds': round(seconds, 2), 'memory': most, 'done': code == 0}
        write_json(folder / f'{task.name}.json', record)
    return code


def _print_to(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)


def _stop_with_parent() -> None:
    """Stop this process, as Ctrl-C would, when the program that started it has been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
