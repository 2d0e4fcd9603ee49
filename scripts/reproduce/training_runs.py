"""The training runs of an experiment: several at a time, none twice, and what they measured."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

EXPERIMENTS = Path('experiments')


@dataclass(frozen=True)
class Run:
    """One training: the name of the experiment, its option file, and what `--set` changes in it."""

    name: str
    option_file: str
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

    def last(self, metric: str = 'psnr') -> dict[str, float]:
        """Validation set -> the metric at the end of the training."""
        path = EXPERIMENTS / self.name / 'training_log.jsonl'
        lines = (json.loads(line) for line in path.read_text(encoding='utf-8').splitlines())
        *_, validation = (line['validation'] for line in lines if 'validation' in line)
        return {name: values[metric] for name, values in validation.items()}

    def seconds(self) -> float:
        """How long the training took, the start of its process included; of a stopped run the last part."""
        return float(_output(self).with_suffix('.seconds').read_text(encoding='utf-8'))


def train_all(runs: Sequence[Run], iterations: int, jobs: int) -> None:
    """Train what is not there yet; a run that was stopped continues.

    Args:
        runs: which.
        iterations: their `total_iter`: a run that has validated there is done.
        jobs: how many at a time.

    Raises:
        SystemExit: a run failed; says where its output is.
    """
    todo = [run for run in runs if iterations not in run.curve()]
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
    command = job_command('train', run.option_file, {'name': run.name, **run.changes}, '--auto_resume')
    output = _output(run)
    output.parent.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    with open(output, 'w', encoding='utf-8') as file:
        result = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment_of(jobs), check=False)
    output.with_suffix('.seconds').write_text(f'{time.perf_counter() - begin:.1f}\n', encoding='utf-8')
    return result.returncode


def job_command(job: str, option_file: str, changes: Mapping[str, str], *arguments: str) -> list[str]:
    """The command line of a job with an option file and what `--set` changes in it."""
    command = [sys.executable, '-m', 'basicsr_ext', job, '-opt', option_file, *arguments]
    return [*command, '--set', *(f'{key}={value}' for key, value in changes.items())]


def environment_of(jobs: int) -> dict[str, str]:
    """The environment of one of so many processes at a time: more threads than cores would wait for each other."""
    return {**os.environ, 'OMP_NUM_THREADS': str(max(1, (os.cpu_count() or 1) // jobs))}


def _output(run: Run) -> Path:
    return Path('results', 'reproduce', 'output', f'{run.name}.txt')


def short_training(iterations: int, validations: int) -> dict[str, str]:
    """Changes that turn a file of a million iterations at a fixed rate into a short run: larger rate, smaller patches,
    cosine schedule, bfloat16."""
    schedule = f'{{type: CosineAnnealingRestartLR, periods: [{iterations}], restart_weights: [1], eta_min: 1e-6}}'
    return {
        'use_amp': 'true',
        'amp_bf16': 'true',
        'use_channels_last': 'true',
        'train.total_iter': str(iterations),
        'train.optim_g.lr': '2e-3',
        'train.scheduler': schedule,
        'train.warmup_iter': str(iterations // 50),
        'datasets.train.batch_size_per_gpu': '8',
        'datasets.train.num_worker_per_gpu': '0',
        'datasets.train.dataset.gt_size': '48',
        'val.val_freq': str(iterations // validations),
        'logger.save_checkpoint_freq': str(iterations // validations),
        'logger.use_tb_logger': 'false',
    }


def arguments(description: str | None, iterations: int, seeds: int) -> argparse.ArgumentParser:
    """The command line that all experiments share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--iterations', type=int, default=iterations, help=f'of each training ({iterations})')
    parser.add_argument('--seeds', type=int, default=seeds, help=f'trainings of each row ({seeds})')
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='trainings at a time (one per core)')
    parser.add_argument('--output', type=Path, default=Path('results/reproduce'), help='folder of tables and plots')
    return parser
