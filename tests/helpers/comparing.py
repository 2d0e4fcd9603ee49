"""Small comparisons: images and an option file, the job in the process of the test, and what it left."""

import json
from pathlib import Path
from typing import Any

import yaml

from basicsr_ext.__main__ import main
from tests.helpers.images import write_images
from tests.helpers.training import prepare

RESULTS = Path('results/run')
SETS = ['--sets', 'random', 'complexity:top', '--sizes', '30%']
SHORT = ['--seeds', '1', '--iterations', '2', '--jobs', '1']


def lay_out(folder: Path, **changes: Any) -> Path:
    """Eight training images, six to validate on, and `run.yml`; returns the folder."""
    prepare(folder, **changes)
    write_images(folder / 'val', number=6, size=36)
    return folder


def compare(*words: str) -> dict[str, Any]:
    """Compare as `run.yml` in the current folder says; returns `compare.json`, which a dry run may lack."""
    assert main(['compare', '-opt', 'run.yml', *words]) == 0
    path = RESULTS / 'compare.json'
    return read(path) if path.is_file() else {}


def read(path: Path) -> Any:
    """A JSON or YAML file."""
    return json.loads(path.read_text()) if path.suffix == '.json' else yaml.safe_load(path.read_text())


def option_files(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """ROW_seedN -> the options of this run."""
    return {path.stem.rpartition('_')[0]: read(path) for path in sorted((folder / 'runs/options').iterdir())}


def done(folder: Path = RESULTS) -> dict[str, int]:
    """ROW_seedN -> when it was done."""
    records = sorted((folder / 'runs/done').glob('*.json'))
    return {path.stem.rpartition('_')[0]: path.stat().st_mtime_ns for path in records}


def made_by(row: str, seed: int, name: str, folder: Path = RESULTS) -> Path:
    """A file of the training of a row."""
    start = row.replace(' %', 'p').replace(' ', '-').replace(':', '-')
    (path,) = (folder / 'runs/experiments').glob(f'{start}_seed{seed}_*/{name}')
    return path
