"""The training runs of the experiments that compare no sets of images: several at a time, none twice."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

EXPERIMENTS = Path('experiments')


@dataclass(frozen=True)
class Run:
    """One training: the name of the experiment, its option file, its `total_iter`, and what `--set` changes in it."""

    name: str
    option_file: str
    iterations: int
    changes: dict[str, str] = field(default_factory=dict)

    def curve(self, metric: str = 'psnr') -> dict[int, float]:
        """Iteration -> the metric on the first validation set."""
        path = EXPERIMENTS / self.name / 'training_log.jsonl'
        if not path.is_file():
            return {}
        lines = (json.loads(line) for line in path.read_text(encoding='utf-8').splitlines())
        return {line['iter']: next(iter(line['validation'].values()))[metric] for line in lines if 'validation' in line}

    def best(self, metric: str = 'psnr') -> float:
        """The best validation, which is what the papers report."""
        return max(self.curve(metric).values())


def train_all(runs: Sequence[Run], jobs: int) -> None:
    """Train what is not there yet; a run that was stopped continues, and one that has validated at its end is done.

    Args:
        runs: which.
        jobs: how many at a time.

    Raises:
        SystemExit: a run failed; says where its output is.
    """
    todo = [run for run in runs if run.iterations not in run.curve()]
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(todo), desc='Training', unit='run') as bar:
        for run, code in zip(todo, pool.map(lambda run: _train(run, jobs), todo), strict=True):
            if code:
                pool.shutdown(cancel_futures=True)
                raise SystemExit(
                    f'{run.name}: expected the training to end well, got exit code {code}. '
                    f'See {_output(run)}; the same command continues.'
                )
            bar.update()


def _train(run: Run, jobs: int) -> int:
    changes = {'name': run.name, **run.changes}
    command = [sys.executable, '-m', 'basicsr_ext', 'train', '-opt', run.option_file, '--auto_resume']
    command += ['--set', *(f'{key}={value}' for key, value in changes.items())]
    threads = max(1, (os.cpu_count() or 1) // jobs)  # more threads than cores would wait for each other
    output = _output(run)
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, 'w', encoding='utf-8') as file:
        environment = {'OMP_NUM_THREADS': str(threads), **os.environ}
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False).returncode


def _output(run: Run) -> Path:
    return Path('results', 'reproduce', 'output', f'{run.name}.txt')


def arguments(description: str | None, seeds: int) -> argparse.ArgumentParser:
    """The command line that these experiments share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--seeds', type=int, default=seeds, help=f'trainings of each row ({seeds})')
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='trainings at a time (one per core)')
    parser.add_argument('--output', type=Path, default=Path('results/reproduce'), help='folder of tables and plots')
    return parser
