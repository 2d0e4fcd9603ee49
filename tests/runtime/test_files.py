"""Files that are written whole or not at all."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from basicsr_ext.errors import DataError
from basicsr_ext.runtime.files import atomic_open, remove_stale, write_json, write_new_json


@pytest.mark.parametrize(('mode', 'content'), [('wb', b'new'), ('w', 'neu: \u00e4')])
def test_atomic_open_replaces_at_the_end(tmp_path: Path, mode: str, content: Any) -> None:
    path = tmp_path / 'made' / 'here' / 'state'
    for _ in range(2):
        with atomic_open(path, mode) as file:
            file.write(content)
            file.flush()
            assert not path.exists()
        assert path.read_bytes() == (content if mode == 'wb' else content.encode())
        assert os.listdir(path.parent) == ['state']
        path.unlink()


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize('old', [None, b'old'])
def test_atomic_open_leaves_the_old_file_on_an_error(
    tmp_path: Path, error: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / 'state'
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error), atomic_open(path) as file:
        file.write(b'half')
        file.flush()
        raise error
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == ({'state': old} if old else {})


def test_atomic_open_in_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / 'state.png'
    path.write_bytes(b'old')
    child = os.fork()
    if child == 0:
        with atomic_open(path) as file:
            file.write(b'half')
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == b'old'
    left = [name for name in os.listdir(tmp_path) if name != 'state.png']
    assert all(name.startswith('.') and not name.endswith('.png') for name in left)  # nobody takes it for an image
    with atomic_open(path) as file:
        file.write(b'new')
    assert path.read_bytes() == b'new'


def test_atomic_open_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / 'file').write_bytes(b'old')
    with pytest.raises(OSError), atomic_open(tmp_path / 'file' / 'state'):
        pass
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OSError), atomic_open(tmp_path / 'folder'):
        pass
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder'] and (tmp_path / 'file').read_bytes() == b'old'


def test_write_json(tmp_path: Path) -> None:
    write_json(tmp_path / 'metrics.json', {'Set12': {'psnr': 30.5}})
    expected = '{\n  "Set12": {\n    "psnr": 30.5\n  }\n}\n'
    assert (tmp_path / 'metrics.json').read_text() == expected
    with pytest.raises(TypeError):
        write_json(tmp_path / 'metrics.json', {'half': object()})
    assert (tmp_path / 'metrics.json').read_text() == expected and os.listdir(tmp_path) == ['metrics.json']


def test_write_new_json(tmp_path: Path) -> None:
    path = tmp_path / 'identity.json'
    for _ in range(2):
        write_new_json(path, {'scale': 2})
    for content in ('{"scale": 4}', 'no JSON'):
        path.write_text(content)
        with pytest.raises(DataError, match=r'identity\.json: expected the same result or none, got another\. Give'):
            write_new_json(path, {'scale': 2})
        assert path.read_text() == content


def test_rests_of_processes_that_have_ended_go(tmp_path: Path) -> None:
    ended = subprocess.Popen(['true'])
    ended.wait()
    numbers = {'own': os.getpid(), 'ended': ended.pid, 'running': os.getppid(), 'none': 2**70}
    for name, number in numbers.items():
        (tmp_path / f'.{name}.{number}.tmp').touch()
    remove_stale(tmp_path)
    assert [file.name.split('.')[1] for file in tmp_path.iterdir()] == ['running']
