"""The frame of the experiments on choices of images: rankings, and trainings on a choice.

Every experiment keeps three sets apart: the pool that is chosen from, the target that the choice aims at, and the
images that are reported on. Nothing is validated before the end of a training, and the last weights count.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from comparison import Row
from pools import SIDE, SMALL_SIDE, Photographs, Pool, read_photographs
from tasks import RATES, Block, Task, network
from training_runs import Run, environment_of, job_command, short_training, train_all
from training_runs import arguments as shared_arguments

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.selection.manifest import Manifest, read_manifest

TRAIN_FILE = 'options/train/IRCNN/train_IRCNN_gray_proxy_sigma25_BSD400.yml'
RANK_FILE = 'options/rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml'
SHIPPED = 'pkg://basicsr_ext/weights/IRCNN_gray_sigma25.pth'
DATA = Path('datasets', 'reproduce')
RANK = {'precision': 'bfloat16', 'iterations': 12, 'curvature_images': 24}
T = TypeVar('T')

PROXY_SEED = 1000  # of a proxy: none of the seeds of the rows


@dataclass(frozen=True)
class Choice:
    """Some images of a pool.

    Attributes:
        name: in the table.
        images: how many.
        block: seed -> keys of `datasets.train`.
    """

    name: str
    images: int
    block: Callable[[int], Block]


@dataclass(frozen=True)
class Ranked:
    """A ranking of a pool.

    Attributes:
        path: the manifest.
        method: whose ranks stand in the column `rank`.
        seconds: how long it took, the start of its process included.
    """

    path: Path
    method: str
    seconds: float

    def column(self, method: str) -> str:
        """The column with the ranks of a method."""
        return 'rank' if method == self.method else f'rank_{method}'

    def manifest(self) -> Manifest:
        """Its content."""
        return read_manifest(str(self.path))

    def ranks(self, method: str) -> dict[str, int]:
        """Image -> rank."""
        manifest = self.manifest()
        return dict(zip(manifest.column('path'), manifest.column(self.column(method)), strict=True))


class Setting:
    """A task on a pool.

    Args:
        title: of the rows in the table.
        task: what is restored.
        pool: the images.
        args: the command line.
    """

    def __init__(self, title: str, task: Task, pool: Pool, args: argparse.Namespace) -> None:
        self.title, self.task, self.pool, self.args = title, task, pool, args
        self.name = f'reproduce_{task.name}_{pool.folder.name}'

    def all(self, name: str = 'all') -> Choice:
        """The whole pool."""
        return Choice(name, len(self.pool.groups), lambda seed: self._images())

    def listed(self, name: str, names: Sequence[str]) -> Choice:
        """These images."""
        return Choice(name, len(names), lambda seed: self._images(meta_info_file=self._list(name, names)))

    def drawn(self, name: str, names: Sequence[str], size: int) -> Choice:
        """A random part of these images, drawn anew for each seed; all of them where there are fewer."""
        size = min(size, len(names))

        def block(seed: int) -> Block:
            drawn = sorted(np.random.default_rng(seed).choice(names, size, replace=False).tolist())
            return self._images(meta_info_file=self._list(f'{name}{size}_seed{seed}', drawn))

        return Choice(name, size, block)

    def ranked(self, name: str, ranked: Ranked, method: str, size: int, subset: str = 'top') -> Choice:
        """A part of a ranking."""
        part = {'type': 'InfluenceSubsetDataset', 'manifest': str(ranked.path), 'column': ranked.column(method)}
        return Choice(name, size, lambda seed: {**part, 'subset': subset, 'size': size, 'dataset': self._images()})

    def fit(self, name: str, audit: Path) -> Choice:
        """The images that an audit does not suspect."""
        fit = len(self.pool.groups) - sum(read_manifest(str(audit)).column('suspect'))
        return Choice(
            name, fit, lambda seed: {'type': 'FitImagesDataset', 'exclude': str(audit), 'dataset': self._images()}
        )

    def rank(self, method: str, **keys: Any) -> Ranked:
        """Rank the pool for the target, at a proxy that is trained, unless that is done.

        Args:
            method: of the job `rank`.
            keys: further ones of its block.
        """
        proxy, block, weights = self.proxy(), network(self.task.network, self.task.color), SHIPPED
        if proxy is None:
            block['num_feat'] = 64  # of the one that is shipped
        else:
            weights = f'experiments/{proxy.name}/models/net_g_{self.args.iterations}.pth'
        datasets = {
            'train': {'name': 'pool', **self._reader('pool')},
            'test': {'name': 'target', **self._reader('target')},
        }
        changes = {
            'num_gpu': _devices(self.args),
            'datasets': json.dumps(datasets),
            'network_g': json.dumps(block),
            'path.pretrain_network_g': weights,
            'rank': json.dumps({**RANK, 'method': method, **keys}),
        }
        name = f'{self.name}_rank_{method}_{_digest(changes)}'
        path = Path('results', name, 'ranking.parquet')
        return Ranked(path, method, run_job('rank', RANK_FILE, name, changes, path, self.args.jobs))

    def run(self, choice: Choice, seed: int, net: str) -> Run:
        """One training, validated at its end on all reported sets."""
        name = f'{self.name}_{choice.name.replace(" ", "-")}{choice.images}'
        return self._training(name, choice.block(seed), seed, net)

    def _training(self, name: str, images: Block, seed: int, net: str) -> Run:
        iterations = self.args.iterations
        changes = short_training(iterations, validations=1)
        loader = {'name': 'pool', 'batch_size_per_gpu': 8, 'num_worker_per_gpu': 0}
        keys = ('val', *(f'val_{number}' for number in range(2, len(self.pool.reports) + 1)))
        reports = {
            key: {'name': report, **self._reader(report)} for key, report in zip(keys, self.pool.reports, strict=True)
        }
        changes = {key: value for key, value in changes.items() if not key.startswith('datasets.')}
        changes.update(
            {
                'num_gpu': _devices(self.args),
                'manual_seed': str(seed),
                'network_g': json.dumps(network(net, self.task.color)),
                'datasets': json.dumps({'train': {**loader, **images}, **reports}),
                'val.metrics': json.dumps({'psnr': self.task.metric}),
                'logger.print_freq': str(iterations),
            }
        )
        if net in RATES:
            changes['train.optim_g.lr'] = RATES[net]
        return Run(f'{name}_{net}_{iterations}_seed{seed}_{_digest(changes)}', TRAIN_FILE, changes)

    def proxy(self) -> Run | None:
        """The training of the network at which gradients are taken, on the whole pool; None where one is shipped."""
        if self.task.shipped:
            return None
        return self._training(f'{self.name}_proxy', self._images(), PROXY_SEED, self.task.network)

    def _reader(self, folder: str) -> Block:
        return {**self.task.dataset, 'dataroot_gt': str(self.pool.folder / folder)}

    def _images(self, **keys: Any) -> Block:
        return {**self._reader('pool'), 'gt_size': self.task.gt_size, 'cache': True, **keys}

    def _list(self, name: str, names: Sequence[str]) -> str:
        path = self.pool.folder / 'lists' / f'{name.replace(" ", "-")}.txt'
        path.parent.mkdir(exist_ok=True)
        path.write_text('\n'.join(names) + '\n', encoding='utf-8')
        return str(path)


def train_proxies(settings: Sequence[Setting], args: argparse.Namespace) -> None:
    """Train the proxies that these settings rank at."""
    runs = [run for setting in settings if (run := setting.proxy()) is not None]
    if runs:
        train_all(runs, args.iterations, args.jobs)


def at_once(works: Sequence[Callable[[], T]], jobs: int) -> list[T]:
    """Do several things, so many at a time; what they give, in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda work: work(), works))


def run_job(job: str, option_file: str, name: str, changes: Mapping[str, str], result: Path, jobs: int = 1) -> float:
    """Run a job unless its result is there; how many seconds it took.

    Raises:
        SystemExit: the job failed.
    """
    note = Path('results', 'reproduce', 'output', f'{name}.seconds')
    if not (result.is_file() and note.is_file()):
        command = job_command(job, option_file, {'name': name, **changes})
        begin = time.perf_counter()
        if code := subprocess.run(command, env=environment_of(jobs), check=False).returncode:
            raise SystemExit(f'{name}: expected the job {job} to end well, got exit code {code}.')
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f'{time.perf_counter() - begin:.1f}\n', encoding='utf-8')
    return float(note.read_text(encoding='utf-8'))


def _digest(changes: Mapping[str, str]) -> str:
    """Of options: part of a name, so that a result of other ones is not taken for theirs."""
    return blake2b(json.dumps(changes, sort_keys=True).encode(), digest_size=3).hexdigest()


def _devices(args: argparse.Namespace) -> str:
    return 'auto' if args.device == 'auto' else '0'


def train_choices(
    rows: Sequence[tuple[Setting, str, Choice]], args: argparse.Namespace
) -> tuple[list[Row], dict[str, float]]:
    """Train every row with every seed.

    Args:
        rows: setting, network and choice.
        args: the command line.

    Returns:
        The rows with what they reached; `setting, network` -> mean seconds of one training.
    """
    runs = [[setting.run(choice, seed, net) for seed in range(args.seeds)] for setting, net, choice in rows]
    train_all([run for own in runs for run in own], args.iterations, args.jobs)
    reached: list[Row] = []
    seconds: dict[str, list[float]] = {}
    for (setting, net, choice), own in zip(rows, runs, strict=True):
        values = {report: [run.last()[report] for run in own] for report in setting.pool.reports}
        reached.append(Row(setting.title, net, choice.name, choice.images, values))
        seconds.setdefault(f'{setting.title}, {net}', []).extend(run.seconds() for run in own)
    return reached, {key: float(np.mean(values)) for key, values in seconds.items()}


def photographs_of(args: argparse.Namespace, color: str) -> Photographs:
    """The sub-images of the folder that the command line names."""
    return read_photographs(args.photographs, color, side_of(args))


def side_of(args: argparse.Namespace) -> int:
    """Side of the sub-images in pixels."""
    return int(args.side or (SMALL_SIDE if args.photographs is None else SIDE))


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The command line that these experiments share."""
    parser = shared_arguments(description, iterations=1500, seeds=5)
    parser.add_argument('--size', type=int, default=20, help='K, the number of images that are chosen (20)')
    parser.add_argument('--images', type=int, default=400, help='in the pool, at most (400)')
    parser.add_argument('--photographs', type=Path, help='folder, such as BSD400; by default those of scikit-image')
    parser.add_argument('--side', type=int, help=f'of a sub-image in pixels ({SIDE}; without a folder {SMALL_SIDE})')
    parser.add_argument(
        '--device', choices=['auto', 'cpu'], default='auto', help='auto (default): a GPU if there is one'
    )
    return parser
