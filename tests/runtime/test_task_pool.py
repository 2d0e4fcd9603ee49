"""Tasks in processes of their own: in order, several at a time, each once, stopped with those who asked for them."""

import os
import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from basicsr_ext.errors import DataError
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.files import read_json
from basicsr_ext.runtime.task_pool import Slot, Task, TaskPool
from tests.helpers.processes import start
from tests.helpers.tasks import fail, hold, meet, note, stay, wait_for

ONE = [Slot(1, {})]


def noting(folder: Path, name: str, *needs: str) -> Task:
    return Task(name, f'the task {name}', partial(note, folder, name), needs)


def run(folder: Path, tasks: list[Task], slots: list[Slot] = ONE) -> list[str]:
    """Run tasks in a pool of their own; returns the names that it tells, in order."""
    told: list[str] = []
    TaskPool(folder / 'done', slots, []).run(tasks, lambda task: told.append(task.name))
    return told


def test_the_memory_of_a_task_is_what_it_held_at_most(tmp_path: Path) -> None:
    tasks = [Task(f'{size}', f'a task of {size}', partial(hold, size), ()) for size in (1, 3 * 10**8)]
    pool = TaskPool(tmp_path / 'done', ONE, [])
    assert pool.memory(tasks[0]) is None
    run(tmp_path, tasks)
    little, much = map(pool.memory, tasks)
    assert little is not None and much is not None and 2.9e8 < much - little < 4e8


def test_they_are_done_in_order_as_far_as_their_needs_allow_and_once(tmp_path: Path) -> None:
    tasks = [noting(tmp_path, 'd', 'b', 'c'), noting(tmp_path, 'a'), noting(tmp_path, 'b', 'c'), noting(tmp_path, 'c')]
    pool = TaskPool(tmp_path / 'done', ONE, [])
    assert [pool.seconds(task) for task in tasks] == [None] * 4 and not (tmp_path / 'done').exists()
    assert run(tmp_path, tasks[1:2]) == ['a']
    assert run(tmp_path, tasks) == ['c', 'b', 'd']
    assert run(tmp_path, tasks) == []
    assert (tmp_path / 'log').read_text().split() == ['a', 'c', 'b', 'd']
    assert read_json(tmp_path / 'done' / 'a.json')['title'] == 'the task a'
    assert all(pool.seconds(task) is not None for task in tasks)


def test_several_are_done_at_a_time_each_in_a_place_of_its_own(tmp_path: Path) -> None:
    tasks = [Task(name, name, partial(meet, tmp_path, name, other)) for name, other in ('ab', 'ba')]
    slots = [Slot(1, {'PLACE': 'first'}), Slot(2, {'PLACE': 'second'})]
    assert sorted(run(tmp_path, tasks, slots)) == ['a', 'b']
    assert {(tmp_path / f'{name}.here').read_text() for name in 'ab'} == {'first 1', 'second 2'}
    assert 'PLACE' not in os.environ


@pytest.mark.parametrize(('code', 'last'), [(3, 'The last words'), (-signal.SIGKILL, 'it printed nothing')])
def test_one_that_fails_is_named_and_the_others_are_stopped(tmp_path: Path, code: int, last: str) -> None:
    failing = Task('bad', 'the bad task', partial(fail, tmp_path, code))
    tasks = [Task('long', 'long', partial(stay, tmp_path)), failing, noting(tmp_path, 'after', 'bad')]
    with pytest.raises(DataError) as raised:
        run(tmp_path, tasks, ONE * 2)
    error = raised.value
    assert error.where == 'the bad task' and error.got == f'exit code {code}: {last}'
    assert str(tmp_path / 'done' / 'bad.txt') in error.advice
    assert (tmp_path / 'stopped').exists() and not (tmp_path / 'log').exists()
    pool = TaskPool(tmp_path / 'done', ONE, [])
    assert [pool.seconds(task) for task in tasks] == [None] * 3


def test_a_stop_stops_what_runs_and_the_seconds_of_both_parts_are_added(tmp_path: Path) -> None:
    tasks = [Task('long', 'long', partial(stay, tmp_path)), noting(tmp_path, 'after')]

    def stop() -> None:
        wait_for(tmp_path / 'begun')
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    with interrupt.watch():
        thread.start()
        with pytest.raises(interrupt.Interrupted):
            run(tmp_path, tasks)
        assert interrupt.requested()
        thread.join()
    assert (tmp_path / 'stopped').exists() and not (tmp_path / 'log').exists()
    record = tmp_path / 'done' / 'long.json'
    first = read_json(record)
    assert first['done'] is False and first['seconds'] >= 0
    record.write_text(record.read_text().replace(str(first['seconds']), '100.5'))
    assert run(tmp_path, tasks) == ['long', 'after']
    assert 100.5 <= read_json(record)['seconds'] < 160 and read_json(record)['done'] is True


def test_programs_that_share_a_folder_do_each_task_once(tmp_path: Path) -> None:
    tasks = [noting(tmp_path, name, *(['a'] if name == 'd' else [])) for name in 'abcd']
    told: list[list[str]] = []
    threads = [threading.Thread(target=lambda: told.append(run(tmp_path, tasks, ONE * 2))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((tmp_path / 'log').read_text().split()) == ['a', 'b', 'c', 'd']
    assert [sorted(names) for names in told] == [['a', 'b', 'c', 'd']] * 2


def test_the_tasks_of_a_killed_program_stop(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(
        'from functools import partial\n'
        'from pathlib import Path\n'
        'from basicsr_ext.runtime.task_pool import Slot, Task, TaskPool\n'
        'from tests.helpers.tasks import stay\n'
        "if __name__ == '__main__':\n"
        "    task = Task('long', 'long', partial(stay, Path.cwd()))\n"
        "    TaskPool(Path('done'), [Slot(1, {})], []).run([task], print)\n"
    )
    process = start([str(script)], tmp_path)
    wait_for(tmp_path / 'begun')
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    wait_for(tmp_path / 'stopped')
