"""Bad inputs that `scripts/fuzz.py` found some job to answer badly, each with what it makes wrong."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.processes import REPOSITORY


@pytest.fixture(scope='module')
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location('fuzz', REPOSITORY / 'scripts/fuzz.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def world(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home, folder = Path.cwd(), tmp_path_factory.mktemp('fuzz')
    fuzz.make_world(folder)
    os.chdir(home)
    yield folder


@pytest.mark.parametrize(
    ('job', 'seed', 'trial', 'wrong'),
    [
        ('train', 2, 1, 'value path.resume_state []'),
        ('train', 2, 4, 'copy datasets.val.type'),
        ('train', 3, 26, "add model_type 'RestorationModel'"),
        ('mine', 0, 3, 'add datasets.train.type'),
        ('train', 21, 104, 'value train.scheduler.milestones'),
        ('train', 11, 99, 'value train.optim_g.type {}'),
        ('test', 11, 1, 'delete datasets.test_2.color'),
        ('mine', 2, 2, 'value network_g.num_feat -0.0'),
        ('mine', 11, 49, 'value path -1'),
        ('rank_complexity', 4, 2, 'copy datasets.train.io_backend'),
        ('rank_complexity', 4, 17, 'delete datasets.train.io_backend'),
        ('rank_complexity', 11, 44, 'add datasets.train.io_backend.type'),
        ('calibrate', 21, 3, 'add datasets.test_1.io_backend.type'),
        ('calibrate', 12, 84, 'value datasets.test_1.io_backend.type'),
        ('calibrate', 11, 38, 'image gt/0.png'),
        ('calibrate', 2, 4, "value network_g.img_size ''"),
        ('complexity', 2, 7, 'rename network_g.num_heads.0'),
        ('inspect', 11, 33, 'earlier/ranking.parquet: column influence'),
        ('inspect_patches', 2, 1, 'earlier/patches.parquet: column x'),
        ('inspect_patches', 2, 6, 'earlier/patches.parquet: column loss'),
    ],
)
def test_it_is_answered_in_one_line(fuzz: ModuleType, world: Path, job: str, seed: int, trial: int, wrong: str) -> None:
    outcome = fuzz.run_trial(world, job, seed, trial)
    assert outcome.wrong.startswith(wrong)
    assert outcome.fault == '', outcome.output
