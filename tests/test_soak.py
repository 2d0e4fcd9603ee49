"""Every job that continues, killed again and again at any moment."""

import json
import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from tests.helpers.processes import finish, start
from tests.test_fuzz_seeds import fuzz, world  # noqa: F401  fixtures

KILLS = 20
LONGER: dict[str, dict[str, Any]] = {
    'train': {'total_iter': 60},
    'rank': {'iterations': 8},
    'rank_matching': {'iterations': 8, 'directions': 4},
    'mine': {'stride': 2},
    'mine_influence': {'stride': 2},
    'distill': {'steps': 40},
    'align': {'iterations': 60},
    'calibrate': {'inference': {'regions': 6}, 'budget': 2.0},
}
PICTURES = ('.log', '.png', '.html', '.lock', '.md', '.csv')  # and what notes the time


def results(folder: Path) -> dict[str, Any]:
    """Everything that has to be the same."""
    found: dict[str, Any] = {}
    for root in ('results/new', 'experiments/new'):
        for path in sorted((folder / root).rglob('*')):
            name = str(path.relative_to(folder))
            if 'runs' in path.parts:  # of a comparison, whose values tell
                continue
            if path.suffix in ('.pth', '.state'):
                found[name] = torch.load(path, weights_only=True)
            elif path.name == 'calibration.json':
                content = json.loads(path.read_text())
                found[name] = [[row['macs'], row['psnr'], row['exits']] for row in content['pointers']]
            elif path.name == 'compare.json':
                found[name] = [[row['title'], row['values']] for row in json.loads(path.read_text())['rows']]
            elif path.is_file() and path.suffix not in (*PICTURES, '.jsonl', '.yml'):
                found[name] = path.read_bytes()
    return found


def is_same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(is_same(*pair) for pair in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)


@pytest.mark.slow
@pytest.mark.parametrize('job', [*LONGER, 'rank_complexity', 'rank_encoder', 'audit', 'restore', 'compare'])
def test_killed_twenty_times_gives_the_same(
    fuzz: ModuleType,  # noqa: F811
    world: Path,  # noqa: F811
    tmp_path: Path,
    job: str,
) -> None:
    opt = fuzz.options_of(job) if job in fuzz.FILES else {}
    opt.get(job.partition('_')[0], {}).update(LONGER.get(job, {}))
    if job == 'train':
        opt['val']['val_freq'], opt['logger']['save_checkpoint_freq'] = 20, 7
    words = ['-m', 'basicsr_ext', *fuzz.words_of(job), *(['--auto_resume'] if job == 'train' else [])]
    words = [word for word in words if word != '--dry-run']
    folders = [tmp_path / name for name in ('whole', 'killed')]
    for folder in folders:
        shutil.copytree(world / 'world', folder)
        (folder / 'opt.yml').write_text(yaml.safe_dump(opt))
    finish(start(words, folders[0]))
    begun = time.monotonic()
    shutil.rmtree(folders[0] / ('experiments' if job == 'train' else 'results/new'))
    finish(start(words, folders[0]))
    takes = time.monotonic() - begun
    draw, killed = random.Random(job), 0
    for _ in range(KILLS):
        process = start(words, folders[1])
        time.sleep(draw.uniform(0.1, 1) * takes)
        if process.poll() is None:
            with suppress(ProcessLookupError):  # of a group that it has not founded yet
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
        process.wait(60)
    finish(start(words, folders[1]))
    assert killed > 0 and is_same(results(folders[0]), results(folders[1]))
    left = [path for root in ('results/new', 'experiments/new') for path in (folders[1] / root).rglob('.*.tmp')]
    assert not left and not (folders[1] / 'results/new/unfinished').exists()
