"""The table for a GPU: what is written, what becomes of rows that fail, and that its rows run."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.helpers.processes import REPOSITORY, run

SCRIPT = REPOSITORY / 'scripts' / 'benchmarks' / 'gpu_check.py'


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec: Any = importlib.util.spec_from_file_location('gpu_check', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'gpu_check', module)
    spec.loader.exec_module(module)
    return module


def rows_of(file: Path) -> dict[str, str]:
    return {row['figure']: row['verdict'] for row in json.loads(file.read_text())['rows']}


def test_without_a_gpu_it_says_so_in_one_line(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert script.main(['--output', str(tmp_path / 'none')]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('gpu_check: expected a GPU of NVIDIA, got none (torch ')
    assert not (tmp_path / 'none').exists()


def test_a_row_that_fails_stops_no_other(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(place: Any) -> Any:
        raise RuntimeError('a first line\nand a second')

    def finding(ok: bool | None) -> Callable[[Any], Any]:
        return lambda place: script.gpu_figures.Found('3 | 4', ok)

    works = {'good': finding(True), 'bad': finding(False), 'broken': failing, 'untold': finding(None)}
    rows = [script.Row(name, 'much', work) for name, work in works.items()]
    assert script.check(rows, torch.device('cpu'), True, tmp_path) == 1
    assert rows_of(tmp_path / 'table.json') == {'good': 'ok', 'bad': 'missed', 'broken': 'failed', 'untold': 'ran'}
    lines = (tmp_path / 'table.md').read_text().splitlines()
    assert [line.split(' | ')[1:4] for line in lines[-2:]] == [
        ['RuntimeError: a first line', 'much', 'failed'],
        ['3 / 4', 'much', 'ran'],
    ]
    assert '2 of 4 rows are as asked' in capsys.readouterr().out
    assert script.check([rows[0], rows[3]], torch.device('cpu'), True, tmp_path) == 0


@pytest.mark.slow
def test_its_rows_run_on_the_cpu(script: ModuleType, tmp_path: Path) -> None:
    run([str(SCRIPT), '--cpu', '--quick', '--output', 'out'], tmp_path)
    verdicts = rows_of(tmp_path / 'out' / 'table.json')
    assert list(verdicts) == [row.figure for row in script.gpu_figures.ROWS]
    assert set(verdicts.values()) == {'ok', 'ran'}


@pytest.mark.slow
def test_killed_and_shared_trainings_are_compared(script: ModuleType, tmp_path: Path) -> None:
    run([str(SCRIPT), '--cpu', '--only', 'resume', 'two ranks', '--output', 'out'], tmp_path)
    assert rows_of(tmp_path / 'out' / 'table.json') == {row.figure: 'ok' for row in script.gpu_trainings.ROWS}
