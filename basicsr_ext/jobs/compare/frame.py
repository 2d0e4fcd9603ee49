"""What all rows of a comparison share: the training file, the pool of images, the tasks that have to be done."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from basicsr_ext.data.inventory import inventory
from basicsr_ext.errors import OptionError, under
from basicsr_ext.jobs.compare.asked import Asked
from basicsr_ext.jobs.compare.child import do_job
from basicsr_ext.jobs.compare.roles import Block, Roles
from basicsr_ext.jobs.compare.schedule import at_length, warmup_at_length
from basicsr_ext.jobs.resumable import source_of
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.options.load import find_file, load_options
from basicsr_ext.runtime.files import atomic_open, digest_of_file
from basicsr_ext.runtime.task_pool import Task
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item, write_manifest
from basicsr_ext.training.building import build_dataset

WARMUP = 'PixelShuffleWarmupDataset'  # stands outermost, around what is compared
PROXY_SEED = 1000  # none of the seeds of the rows
MEASURED_WITH = ('model_type', 'scale', 'num_gpu', 'manual_seed', 'network_g', 'imports')  # keys of a test
SAVES = 4  # saved states of a training, of which the last one is kept


@dataclass(frozen=True)
class Training:
    """One training of a row.

    Attributes:
        tasks: that have to be done, the last one measures.
        metrics: the file with what it reached.
        pictures: the folder of the restored images; they are kept of the first seed.
        weights: the network that is measured.
    """

    tasks: tuple[Task, ...]
    metrics: Path
    pictures: Path
    weights: Path


@dataclass(frozen=True)
class Choosing:
    """A job that chooses.

    Attributes:
        job: its name.
        kind: of the choice, under which the command line adds to its settings.
        title: what it is called in messages.
        settings: its block.
        known: the dataclass of this block.
    """

    job: str
    kind: str
    title: str
    settings: Block
    known: type[Any]


class Frame:
    """The training file with its images, around which the rows are made.

    Args:
        opt: the options as they stand in the training file.
        datasets: its completed blocks.
        roles: the sets that are kept apart.
        asked: the command line.
        root: where trainings and results of other jobs come.
        workers: that a training may have at most.
        precision: `float32` or `bfloat16`, in which derivatives are computed.

    Attributes:
        pool: the block that reads all images.
        items: the images of the pool.
        root: where trainings and results of other jobs come.
        choosing: name -> tasks that are done before the trainings.
        known_kinds: of choices that a job makes, to whose settings the command line can add.
        option_files: name -> options that the tasks read.
    """

    def __init__(
        self,
        opt: Block,
        datasets: Mapping[str, Block],
        roles: Roles,
        asked: Asked,
        root: Path,
        workers: int,
        precision: str,
    ) -> None:
        self.opt, self.roles, self.asked, self.root = opt, roles, asked, root
        train = datasets['train']
        self.loader = {key: value for key, value in train.items() if key in LOADER_KEYS}
        self.workers = min(workers, int(self.loader.get('num_worker_per_gpu') or 0))
        outer = {key: value for key, value in train.items() if key not in (*LOADER_KEYS, 'phase')}
        self.wrapper = (
            {key: value for key, value in outer.items() if key != 'dataset'} if outer['type'] == WARMUP else {}
        )
        self.pool: Block = {**_inherited(outer), **outer['dataset']} if self.wrapper else outer
        self.iterations = asked.iterations or int(opt['train']['total_iter'])
        self.precision = precision
        self.choosing: dict[str, Task] = {}
        self.known_kinds: set[str] = set()
        self._built: dict[str, SampleDataset] = {}
        self._contents: dict[str, Mapping[str, str]] = {}
        self.option_files: dict[str, Block] = {}
        self._reports = {
            'val' if number == 0 else f'val_{number + 1}': block for number, block in enumerate(roles.reports.values())
        }

    @cached_property
    def items(self) -> list[Item]:
        """The images of the pool."""
        return inventory(self.built(self.pool))

    def draw(self, seed: int) -> Path:
        """A manifest with a random order of the pool."""
        path = self.root / f'random_seed{seed}_{self._digest(self._content(self.pool))}.parquet'
        if not path.is_file():
            ranks = _random_ranks(len(self.items), seed)
            write_manifest(path, self.items, {'rank': ranks}, {'method': 'random', 'seed': seed, 'options': {}})
        return path

    @property
    def gt_size(self) -> int | None:
        """The side of training patches in the ground truth, where the pool names it."""
        block = self.pool
        while 'gt_size' not in block and isinstance(block.get('dataset'), dict):
            block = block['dataset']
        return block.get('gt_size')

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
        given = self.asked.proxy
        if given is None:
            training = self.training('proxy', self.pool, PROXY_SEED, measured=False)
            (task,) = training.tasks
            self.choosing.setdefault(task.name, task)
            return deepcopy(self.opt['network_g']), str(training.weights), (task.name,)
        if not given.endswith(('.yml', '.yaml')):
            return deepcopy(self.opt['network_g']), given, ()
        opt = load_options(given)
        weights = (opt.get('path') or {}).get('pretrain_network_g')
        if 'network_g' not in opt or not isinstance(weights, str):
            raise OptionError(
                f'--proxy {given}', 'network_g and path.pretrain_network_g', 'a file without', 'Add them.'
            )
        return opt['network_g'], weights, ()

    def job(
        self, job: Choosing, datasets: Mapping[str, Block], network: bool = False, needs: Sequence[str] = ()
    ) -> Path:
        """Plan a job that chooses, unless that is done.

        Args:
            job: what is asked for, to which the command line can add.
            datasets: its datasets.
            network: whether it asks the proxy.
            needs: names of tasks before it.

        Returns:
            The folder of its result, whose name is that of the task.

        Raises:
            OptionError: the command line adds what the job does not know.
        """
        asked = self.asked.choosing.get(job.kind, {})
        self.known_kinds.add(job.kind)
        settings = {**job.settings, **asked}
        with under('--choosing '):
            read_block(job.known, settings, job.kind)
        opt: Block = {'num_gpu': self.opt.get('num_gpu', 'auto'), 'manual_seed': 0, **self._common()}
        opt[job.job] = settings
        opt['datasets'] = {key: _without(block, 'phase') for key, block in datasets.items()}
        before, used = tuple(needs), [job.job, *map(self._content, datasets.values())]
        if network:
            block, weights, trained = self.proxy()
            opt.update(network_g=block, path={'pretrain_network_g': weights})
            before = (*before, *trained)
            used += [] if trained else [_digest_of_weights(weights)]
        name = f'{_slug(job.title)}_{self._digest([opt, used])}'
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
        opt = deepcopy(self.opt)
        full = int(opt['train']['total_iter'])
        opt.update(self._common(), manual_seed=seed, train=at_length(opt['train'], self.iterations))
        train = {**_without(self.loader, 'num_worker_per_gpu'), **self.wrapped(block, self.iterations / full)}
        choosing = self.roles.choosing if measured else None
        by_best = choosing is not None
        sets = {'val': choosing} if choosing is not None else self._reports if measured else {}
        opt['datasets'] = {'train': train, **deepcopy(sets)}
        opt['path'] = {**(opt.get('path') or {}), 'resume_state': None}
        save = -(-self.iterations // SAVES)
        opt['logger'] = {'print_freq': max(1, self.iterations // 20), 'save_checkpoint_freq': save, 'keep_last': 1}
        freq = max(1, self.iterations // 10) if by_best else self.iterations
        val = _without_best_set(opt.get('val') or {})
        opt['val'] = {**val, 'val_freq': freq, 'save_img': seed == 0 and not by_best, 'pbar': False}
        opt.pop('dist_params', None)
        used = [self._content(self.pool), *map(self._content, sets.values())]
        name = f'{_slug(title)}_seed{seed}_{self._digest([opt, used])}'
        train['num_worker_per_gpu'] = self.workers  # which changes no result, and hence no name
        task = self._task('train', f'{title}, seed {seed}', name, opt, tuple(needs), '--auto_resume')
        folder = self.root / 'experiments' / name
        if not by_best:
            weights = folder / 'models' / 'net_g_latest.pth'
            return Training((task,), folder / 'metrics.json', folder / 'visualization', weights)
        weights = folder / 'models' / 'net_g_best.pth'
        measuring = self._measuring(opt, name, task, weights, seed)
        result = self.root / 'results' / measuring.name
        return Training((task, measuring), result / 'metrics.json', result / 'visualization', weights)

    def wrapped(self, block: Block, factor: float) -> Block:
        """A block inside the warm-up of the training file, whose length is scaled."""
        if not self.wrapper:
            return block
        return {**warmup_at_length(self.wrapper, factor), 'dataset': _without(block, 'name')}

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
        imports = [*(self.opt.get('imports') or []), *self.asked.imports]
        kept = {'scale': self.opt['scale']} if 'scale' in self.opt else {}
        return {**kept, **({'imports': imports} if imports else {})}

    def built(self, block: Block) -> SampleDataset:
        """The dataset of a block, which gives whole images."""
        key = json.dumps(block, sort_keys=True, default=str)
        if key not in self._built:
            self._built[key] = build_dataset({**deepcopy(block), 'phase': 'val'}, f'dataset {block["name"]}')
        return self._built[key]

    def _content(self, block: Block) -> Mapping[str, str]:
        """What identifies the images of a block."""
        key = json.dumps(block, sort_keys=True, default=str)
        if key not in self._contents:
            self._contents[key] = source_of(self.built(block))
        return self._contents[key]

    def _digest(self, content: Any) -> str:
        """Of options and other values, wherever the runs are."""
        text = json.dumps(content, sort_keys=True, default=_plain).replace(json.dumps(str(self.root))[1:-1], '')
        return blake2b(text.encode(), digest_size=4).hexdigest()


def _without_best_set(val: Block) -> Block:
    """The block `val` where one set alone chooses checkpoints: of `val.best` the metric is left."""
    best = {'metric': metric} if (metric := (val.get('best') or {}).get('metric')) else None
    return {**_without(val, 'best'), **({'best': best} if best else {})}


def _inherited(outer: Block) -> Block:
    return {key: outer[key] for key in ('name', 'scale') if key in outer}


def _digest_of_weights(weights: str) -> str:
    path = Path(find_file(weights))
    if not path.is_file():
        raise OptionError('--proxy', 'a file of weights', f'none at {path}', 'Correct the path, or train it first.')
    return digest_of_file(path)


def _without(block: Block, *keys: str) -> Block:
    return {key: deepcopy(value) for key, value in block.items() if key not in keys}


def _random_ranks(images: int, seed: int) -> list[int]:
    order = np.random.default_rng(seed).permutation(images)
    ranks = np.empty(images, int)
    ranks[order] = np.arange(1, images + 1)
    return [int(rank) for rank in ranks]


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, '__dataclass_fields__') else str(value)


def _slug(title: str) -> str:
    """A title as part of a file name."""
    return title.replace(' %', 'p').replace(' ', '-').replace(':', '-')
