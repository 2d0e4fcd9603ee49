"""What all rows of a comparison share: the training file, the pool of images, the tasks that have to be done."""

import re
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from basicsr_ext.data.inventory import inventory
from basicsr_ext.errors import OptionError, under
from basicsr_ext.jobs.compare.asked import Asked, SetName
from basicsr_ext.jobs.compare.changes import changed_options, choosing_of, merged
from basicsr_ext.jobs.compare.child import do_job
from basicsr_ext.jobs.compare.contents import Contents, digest_of_weights
from basicsr_ext.jobs.compare.roles import Block, Roles
from basicsr_ext.jobs.compare.training_file import TrainingFile, completed
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.load import load_options
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.runtime.task_pool import Task
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item, write_manifest

PROXY_SEED = 1000  # none of the seeds of the rows
MEASURED_WITH = ('model_type', 'scale', 'num_gpu', 'manual_seed', 'network_g', 'imports')  # keys of a test
BEST_OF = 10  # validations of a training whose best one counts
LONGEST = 80  # characters of a title in the name of a file


@dataclass(frozen=True)
class Training:
    """One training of a row.

    Attributes:
        tasks: that have to be done, the last one measures.
        metrics: the file with what it reached.
        pictures: the folder of the restored images; they are kept of the first seed.
        weights: the network that is measured.
        log: what it measured on its way.
    """

    tasks: tuple[Task, ...]
    metrics: Path
    pictures: Path
    weights: Path
    log: Path


@dataclass(frozen=True)
class Choosing:
    """A job that chooses.

    Attributes:
        job: its name.
        kind: of the choice, under which the command line adds to its settings.
        title: what it is called in messages.
        settings: its block.
        known: the dataclass of this block.
        beside: further blocks of the option file, such as `network_tuner`.
    """

    job: str
    kind: str
    title: str
    settings: Block
    known: type[Any]
    beside: Mapping[str, Block] = field(default_factory=dict)


class Frame:
    """The training file with its images, around which the rows are made.

    Args:
        file: the training file.
        roles: the sets that are kept apart.
        asked: the command line.
        root: where trainings and results of other jobs come.
        workers: that a training may have at most.
        precision: `float32` or `bfloat16`, in which derivatives are computed.

    Attributes:
        base: the frame without the changes of a row; itself where there are none.
        changes: of the row in the training file.
        choosing: name -> tasks that are done before the trainings.
        known_kinds: of choices that a job makes, to whose settings the command line can add.
        option_files: name -> options that the tasks read.
    """

    def __init__(
        self, file: TrainingFile, roles: Roles, asked: Asked, root: Path, workers: int, precision: str
    ) -> None:
        self.file, self.roles, self.asked, self.root, self.precision = file, roles, asked, root, precision
        self.base, self.changes = self, tuple[str, ...]()
        self.workers = min(workers, int(file.loader.get('num_worker_per_gpu') or 0))
        self.contents = Contents(root)
        self.choosing: dict[str, Task] = {}
        self.known_kinds: set[str] = set()
        self.option_files: dict[str, Block] = {}
        self._changed: dict[tuple[str, ...], Frame] = {(): self}
        self._reports = {
            'val' if number == 0 else f'val_{number + 1}': block for number, block in enumerate(roles.reports.values())
        }

    def of(self, name: SetName, kinds: Sequence[str] = ()) -> 'Frame':
        """The frame of a set, which differs in what the set changes alone: jobs that choose read the file without.

        Args:
            name: of the set.
            kinds: of choices; a change that begins with one is of its job.

        Raises:
            OptionError: a change of what is none, or of what all rows share.
        """
        if name.changes not in self._changed:
            where = f'--sets {name}: change'
            own = [change for change in name.changes if change.partition('.')[0] in kinds]
            frame = copy(self)
            frame.changes, frame.known_kinds = tuple(each for each in name.changes if each not in own), set()
            frame.__dict__.pop('items', None)
            opt = changed_options(self.file.opt, frame.changes, where)
            frame.file = TrainingFile(opt, completed(opt, self.root)['datasets']['train'])
            added = choosing_of(own, where)
            choosing = {kind: {**self.asked.choosing.get(kind, {}), **keys} for kind, keys in added.items()}
            frame.asked = replace(self.asked, choosing={**self.asked.choosing, **choosing})
            self._changed[name.changes] = frame
        return self._changed[name.changes]

    @property
    def frames(self) -> list['Frame']:
        """Itself, and those of the sets that change something."""
        return list(self._changed.values())

    @property
    def pool(self) -> Block:
        """The block that reads all images."""
        return self.file.pool

    @property
    def gt_size(self) -> int | None:
        """The side of training patches in the ground truth, where the pool names it."""
        return self.file.gt_size

    @property
    def iterations(self) -> int:
        """Of a training; those of a row that changes its length keep their share of the others."""
        full = self.base.file.full_length
        return max(1, round(self.file.full_length * (self.asked.iterations or full) / full))

    @cached_property
    def items(self) -> list[Item]:
        """The images of the pool."""
        return inventory(self.built(self.pool))

    def built(self, block: Block) -> SampleDataset:
        """The dataset of a block, which gives whole images."""
        return self.contents.built(block)

    def draw(self, seed: int) -> Path:
        """A manifest with a random order of the pool."""
        digest = self.contents.digest(self.contents.source(self.base.pool))
        path = self.root / f'random_seed{seed}_{digest}.parquet'
        if not path.is_file():
            ranks = _random_ranks(len(self.base.items), seed)
            write_manifest(path, self.base.items, {'rank': ranks}, {'method': 'random', 'seed': seed, 'options': {}})
        return path

    def target(self, who: Any) -> Block:
        """The images that a selection aims at.

        Raises:
            OptionError: there are none.
        """
        if self.roles.target is None:
            raise OptionError(
                f'--sets {who}', 'images to aim at', 'none', 'Add datasets.val_target, or name --target FOLDER.'
            )
        return self.roles.target

    def proxy(self) -> tuple[Block, str, tuple[str, ...]]:
        """The network that selections ask: its block, its weights, the tasks that make them."""
        given, network = self.asked.proxy, deepcopy(self.base.file.opt['network_g'])
        if given is None:
            training = self.base.training('proxy', self.base.pool, PROXY_SEED, measured=False)
            (task,) = training.tasks
            self.choosing.setdefault(task.name, task)
            return network, str(training.weights), (task.name,)
        if not given.endswith(('.yml', '.yaml')):
            return network, given, ()
        opt = load_options(given)
        weights = (opt.get('path') or {}).get('pretrain_network_g')
        if 'network_g' not in opt or not isinstance(weights, str):
            raise OptionError(
                f'--proxy {given}', 'network_g and path.pretrain_network_g', 'a file without', 'Add them.'
            )
        return opt['network_g'], weights, ()

    def job(
        self,
        job: Choosing,
        datasets: Mapping[str, Block],
        network: bool = False,
        needs: Sequence[str] = (),
        reads: Sequence[Block] | None = None,
        seed: int = 0,
    ) -> Path:
        """Plan a job that chooses, unless that is done.

        Args:
            job: what is asked for, to which the command line can add.
            datasets: its datasets; in place of the pool of a row with changes stands that without.
            network: whether it asks the proxy.
            needs: names of tasks before it.
            reads: blocks whose images decide about the result, where datasets read what these tasks make; None for
                the datasets.
            seed: of what the job draws.

        Returns:
            The folder of its result, whose name is that of the task.

        Raises:
            OptionError: the command line adds what the job does not know.
        """
        self.known_kinds.add(job.kind)
        with under('--choosing '):
            blocks = merged({**job.settings, **job.beside}, self.asked.choosing.get(job.kind, {}), job.kind)
            beside = {key: blocks.pop(key) for key in job.beside}
            read_block(job.known, blocks, job.kind)
        datasets = {key: self.base.pool if block is self.pool else block for key, block in datasets.items()}
        opt: Block = {'num_gpu': self.file.opt.get('num_gpu', 'auto'), 'manual_seed': seed, **self._common(), **beside}
        opt[job.job] = blocks
        opt['datasets'] = {key: _without(block, 'phase') for key, block in datasets.items()}
        read = datasets.values() if reads is None else reads
        before, used = tuple(needs), [job.job, *map(self.contents.source, read)]
        weights_named = {key: value for key, value in opt.get('path', {}).items() if key.startswith('pretrain')}
        used += [digest_of_weights(value, f'{job.kind}.path.{key}') for key, value in weights_named.items()]
        if network:
            block, weights, trained = self.proxy()
            opt.update(network_g=block, path={'pretrain_network_g': weights})
            before = (*before, *trained)
            used += [] if trained else [digest_of_weights(weights, '--proxy')]
        name = f'{_slug(job.title)}_{self.contents.digest([opt, used])}'
        if name not in self.choosing:
            self.choosing[name] = self._task(job.job, f'choosing, {job.title}', name, opt, before)
        return self.root / 'results' / name

    def training(
        self, title: str, block: Block, seed: int, needs: Sequence[str] = (), measured: bool = True
    ) -> Training:
        """Plan a training.

        Args:
            title: of the row.
            block: that reads its images.
            seed: of weights, noise and order.
            needs: names of tasks that choose.
            measured: whether it is measured on the reported images.
        """
        choosing = self.roles.choosing if measured else None
        by_best = choosing is not None
        sets = {'val': choosing} if choosing is not None else self._reports if measured else {}
        every = max(1, self.iterations // BEST_OF) if by_best else self.iterations
        if measured and self.asked.curve is not None:
            every = -(-self.iterations // self.asked.curve)
        opt = self.file.training(block, self.iterations, seed, sets, every, seed == 0 and not by_best)
        opt.update(self._common())
        used = [*map(self.contents.source, [self.pool, *sets.values()]), *self.file.weights_digests()]
        name = f'{_slug(title)}_seed{seed}_{self.contents.digest([opt, used])}'
        opt['datasets']['train']['num_worker_per_gpu'] = self.workers  # which changes no result, and hence no name
        task = self._task('train', f'{title}, seed {seed}', name, opt, tuple(needs), '--auto_resume')
        folder = self.root / 'experiments' / name
        log = folder / 'training_log.jsonl'
        if not by_best:
            weights = folder / 'models' / 'net_g_latest.pth'
            return Training((task,), folder / 'metrics.json', folder / 'visualization', weights, log)
        weights = folder / 'models' / 'net_g_best.pth'
        measuring = self._measuring(opt, name, task, weights, seed)
        result = self.root / 'results' / measuring.name
        return Training((task, measuring), result / 'metrics.json', result / 'visualization', weights, log)

    def write_option_files(self) -> None:
        """Write what the tasks read."""
        for name, opt in self.option_files.items():
            with atomic_open(self._path_of(name), 'w') as file:
                yaml.safe_dump(opt, file, sort_keys=False, allow_unicode=True)

    def _measuring(self, opt: Block, name: str, training: Task, weights: Path, seed: int) -> Task:
        """Measure the best checkpoint of a training."""
        kept: Block = {key: opt[key] for key in MEASURED_WITH if key in opt}
        tests = {key.replace('val', 'test'): block for key, block in self._reports.items()}
        kept.update(
            datasets=deepcopy(tests),
            path={'pretrain_network_g': str(weights)},
            val={**opt['val'], 'save_img': seed == 0},
        )
        return self._task('test', f'{training.title}, measured', f'{name}_test', kept, (training.name,))

    def _task(self, job: str, title: str, name: str, opt: Block, needs: tuple[str, ...], *words: str) -> Task:
        self.option_files[name] = {'name': name, **{key: value for key, value in opt.items() if key != 'name'}}
        argv = ['-opt', str(self._path_of(name)), *words]
        return Task(name, title, partial(do_job, job, str(self.root), argv), needs)

    def _path_of(self, name: str) -> Path:
        return self.root / 'options' / f'{name}.yml'

    def _common(self) -> Block:
        return self.file.common([*self.asked.imports])


def _without(block: Block, *keys: str) -> Block:
    return {key: deepcopy(value) for key, value in block.items() if key not in keys}


def _random_ranks(images: int, seed: int) -> list[int]:
    order = np.random.default_rng(seed).permutation(images)
    ranks = np.empty(images, int)
    ranks[order] = np.arange(1, images + 1)
    return [int(rank) for rank in ranks]


def _slug(title: str) -> str:
    """A title as part of a file name."""
    text = title.replace(' %', 'p').replace(' ', '-').replace(':', '-')
    return re.sub(r'[^\w.=+-]', '', text)[:LONGEST]
