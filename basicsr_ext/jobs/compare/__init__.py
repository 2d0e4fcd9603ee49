"""The job `compare`: train on several choices of the images around any training file, and say which one pays."""

import importlib
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import yaml
from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed

from basicsr_ext.data.shared_files import refuse_shared
from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.compare.asked import Asked, build_parser, read_asked
from basicsr_ext.jobs.compare.frame import Frame, Training
from basicsr_ext.jobs.compare.measuring import measured, metric_of
from basicsr_ext.jobs.compare.pictures import chosen_pictures, restored_picture
from basicsr_ext.jobs.compare.roles import Roles, roles_of
from basicsr_ext.jobs.compare.sets import Row, rows_of
from basicsr_ext.jobs.compare.slots import slots_of
from basicsr_ext.jobs.compare.training_file import TrainingFile, completed
from basicsr_ext.jobs.pace import in_words, measure
from basicsr_ext.networks.precision import is_fast_in_bfloat16
from basicsr_ext.options.command_line import override
from basicsr_ext.options.imports import import_all
from basicsr_ext.options.load import Options, load_options
from basicsr_ext.reports.comparison import Comparison
from basicsr_ext.reports.comparison_report import table_lines, write_comparison
from basicsr_ext.reports.verdict import verdict
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.files import atomic_open, remove_stale
from basicsr_ext.runtime.log import job_log
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.task_pool import Task, TaskPool
from basicsr_ext.training.building import build_dataset, build_model
from basicsr_ext.version import __version__

EXAMPLE = (
    'basicsr-ext compare -opt options/train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml --sets full matching --sizes 5%'
)
STOPPED = 'Stopped. What is trained is kept; the same command continues.'
NAMED = ('target', 'report', 'proxy', 'against', 'curve')  # words of the command line that a page repeats
PRELOADED = ('basicsr_ext.jobs.compare.preload',)

for _module in pkgutil.iter_modules(__path__):
    if _module.name.endswith('_set'):
        importlib.import_module(f'{__name__}.{_module.name}')

__all__ = ['build_parser', 'compare_pipeline']


def compare_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Compare as the command line says.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or the command line, before work starts where possible; a
            training that failed.
    """
    asked = read_asked(argv)
    try:
        if asked.launcher != 'none':
            distributed.start(asked.launcher, 'gloo')  # several may share a GPU, and only words are exchanged
        return interrupt.run(lambda: _compare(asked, Path(root_path)), STOPPED)
    finally:
        distributed.stop()


def _compare(asked: Asked, root: Path) -> None:
    opt = load_options(asked.option_file)
    for assignment in asked.changes:
        override(opt, assignment)
    import_all(opt, asked.imports)
    datasets = completed(opt, root)['datasets']
    metric = metric_of(opt)
    folder = root / 'results' / opt['name']
    rank, _ = distributed.rank_and_world()
    log = job_log('compare', opt['name'], folder, rank == 0, f'\n{_options_text(asked)}')
    with log as open_log_file, _folder_of_runs(folder / 'runs', asked.dry_run) as runs:
        best = ((opt.get('val') or {}).get('best') or {}).get('dataset')
        by_best = asked.checkpoint == 'best'
        roles = roles_of(datasets, asked.target, asked.report, by_best, runs, best)
        slots = slots_of(asked.jobs)
        precision = distributed.from_first('bfloat16' if is_fast_in_bfloat16() else 'float32')
        workers = max(0, slots[0].threads - (torch.cuda.device_count() == 0))
        frame = Frame(TrainingFile(opt, datasets['train']), roles, asked, runs, workers, precision)
        rows = rows_of(frame, asked.sets, asked.sizes)
        _refuse_overlaps(frame, roles)
        _find_against(rows, asked.against)
        trainings = {row.title: [_training(frame, row, seed) for seed in range(asked.seeds)] for row in rows}
        tasks = _tasks(frame, trainings)
        pool = TaskPool(folder / 'runs' / 'done', slots, PRELOADED)
        if asked.dry_run:
            first, *changed = (completed(each.file.opt, root) for each in frame.frames)
            checks.check_everything(first)
            for each in changed:
                _check_first_batch(each)
            _tell_plan(frame, rows, tasks, pool)
            return
        folder.mkdir(parents=True, exist_ok=True)
        open_log_file()
        if rank == 0:
            remove_stale(folder)
            frame.write_option_files()
        distributed.barrier()
        _run(pool, tasks, rank)
        distributed.barrier()
        if rank == 0:
            comparison = measured(frame, rows, trainings, metric, pool)
            _finish(comparison, frame, rows, trainings, folder, asked)


@contextmanager
def _folder_of_runs(usual: Path, dry_run: bool) -> Iterator[Path]:
    """Where manifests and trainings come: a folder that vanishes where none is to be made."""
    if not dry_run:
        yield usual
        return
    with TemporaryDirectory() as passing:
        yield Path(passing)


def _refuse_overlaps(frame: Frame, roles: Roles) -> None:
    """Demand that no image of a role is one of another role, or is trained on."""
    pools = {str(frame.contents.source(each.pool)): each.pool for each in frame.frames}
    for pool in pools.values():
        refuse_shared({name: frame.built(block) for name, block in {'datasets.train': pool, **roles.named()}.items()})


def _check_first_batch(opt: Options) -> None:
    """Run the first training sample of a row that changes something through its network."""
    set_random_seed(opt['manual_seed'])
    dataset = build_dataset(opt['datasets']['train'], 'datasets.train')
    checks.check_first_batch(build_model(opt), dataset, 'datasets.train')


def _find_against(rows: Sequence[Row], title: str | None) -> None:
    """Demand that the row with which all are compared is there."""
    titles = [row.title for row in rows]
    if title is not None and title not in titles:
        raise OptionError('--against', 'a row, by its title', shown(title), nearest(title, titles))


def _training(frame: Frame, row: Row, seed: int) -> Training:
    return frame.of(row.set).training(row.title, row.block(seed), seed, row.needs)


def _tasks(frame: Frame, trainings: Mapping[str, Sequence[Training]]) -> list[Task]:
    """What is done, in this order where that is free: choosing, then the trainings seed by seed."""
    by_seed = zip(*trainings.values(), strict=True)
    return [*frame.choosing.values(), *(task for seed in by_seed for training in seed for task in training.tasks)]


def _tell_plan(frame: Frame, rows: Sequence[Row], tasks: Sequence[Task], pool: TaskPool) -> None:
    """Log what would be done, and how long the trainings take: by those that are done, or by a trial of one."""
    seconds = {task.name: pool.seconds(task) for task in tasks}
    lines = [
        f'{task.title}: {"to do" if (took := seconds[task.name]) is None else f"done in {took:.0f} s"}'
        for task in tasks
    ]
    trainings = [task for task in tasks if task.name not in frame.choosing]
    known = [took for task in trainings if (took := seconds[task.name]) is not None]
    todo = sum(seconds[task.name] is None for task in trainings)
    time = ''
    if todo:
        each = float(np.mean(known)) if known else _trial(frame, trainings[0], pool.slots[0].threads)
        time = f', about {in_words(todo * each / len(pool.slots))} for the trainings at {in_words(each)} each'
    aimed = f'aimed at: {frame.roles.target["name"]}' if frame.roles.target else 'aimed at: none'
    said = [*lines, *frame.roles.notes, f'{aimed}; reported: {", ".join(frame.roles.reports)}']
    get_root_logger().info('\n'.join(said))
    left = sum(took is None for took in seconds.values())
    get_root_logger().info(
        f'{len(rows)} rows, {len(tasks)} runs of which {left} are to do, {len(pool.slots)} at a time{time}; '
        f'{frame.iterations} iterations each, {len(frame.items)} training images. All is sound.'
    )


def _trial(frame: Frame, training: Task, threads: int) -> float:
    """How many seconds a training takes, by a few of its iterations on all images."""
    torch.set_num_threads(threads)
    opt, file = deepcopy(frame.option_files[training.name]), frame.file
    opt['datasets']['train'] = {**file.loader, 'num_worker_per_gpu': frame.workers, **file.wrapped(file.pool, 1)}
    pace = measure(opt, frame.root, frame.root)
    return pace.seconds_of(frame.iterations, frame.asked.curve or 1)


def _run(pool: TaskPool, tasks: Sequence[Task], rank: int) -> None:
    """Do the tasks, and log each."""
    done = sum(pool.seconds(task) is not None for task in tasks)
    with Progress('Comparing', len(tasks), done, unit='run', hidden=rank != 0) as progress:

        def tell(task: Task) -> None:
            progress.update()
            if rank == 0:
                get_root_logger().info(f'{task.title}: done in {pool.seconds(task) or 0:.0f} s.')

        pool.run(tasks, tell)


def _finish(
    comparison: Comparison,
    frame: Frame,
    rows: Sequence[Row],
    trainings: Mapping[str, Sequence[Training]],
    folder: Path,
    asked: Asked,
) -> None:
    """Write the results and say the answer."""
    found = verdict(comparison)
    winner = next(row for row in rows if row.title == found.winner)
    path = _write_winner(frame, winner, folder)
    with atomic_open(folder / 'winner.pth') as file:
        file.write(trainings[winner.title][0].weights.read_bytes())
    restored = restored_picture(comparison, found.winner, trainings, frame)
    pictures = [*restored, *chosen_pictures(frame, rows)]
    write_comparison(comparison, found, folder, _asked(asked), pictures, path.name)
    said = [
        *table_lines(comparison),
        '',
        *found.sentences,
        f'To train on {found.winner} in full: basicsr-ext train -opt {path}',
        f'Its network after {comparison.iterations} iterations: {folder / "winner.pth"}',
        f'Report: {folder / "compare.html"}',
    ]
    get_root_logger().info('\n'.join(['', *said]))


def _write_winner(frame: Frame, row: Row, folder: Path) -> Path:
    """Write the training file with the row's images, at its full length."""
    own = frame.of(row.set).file
    opt = deepcopy(own.opt)
    title = re.sub(r'[^\w.=+-]', '', row.title.replace(' %', 'p').replace(' ', '_').replace(':', '_'))[:80]
    opt['name'] = f'{opt["name"]}_{title}'
    opt['datasets']['train'] = {**own.loader, **own.wrapped(row.block(0), 1)}
    path = folder / 'winner.yml'
    with atomic_open(path, 'w') as file:
        file.write(f'# Written by basicsr-ext {__version__}: {frame.asked.option_file} on {row.title}.\n')
        yaml.safe_dump(opt, file, sort_keys=False, allow_unicode=True)
    return path


def _asked(asked: Asked) -> dict[str, str]:
    """The command line, for the page."""
    return {
        '-opt': asked.option_file,
        '--sets': ' '.join(map(str, asked.sets)),
        '--sizes': ', '.join(map(str, asked.sizes)),
        '--seeds': str(asked.seeds),
        '--iterations': 'those of the option file' if asked.iterations is None else str(asked.iterations),
        '--checkpoint': asked.checkpoint,
        **{f'--{name}': str(value) for name in NAMED if (value := getattr(asked, name))},
        **({'--set': ' '.join(asked.changes)} if asked.changes else {}),
        **({'--choosing': _choosing_text(asked)} if asked.choosing else {}),
    }


def _options_text(asked: Asked) -> str:
    return '\n'.join(f'  {name}: {value}' for name, value in _asked(asked).items())


def _choosing_text(asked: Asked) -> str:
    keys = [(f'{kind}.{key}', value) for kind, block in asked.choosing.items() for key, value in block.items()]
    return ' '.join(f'{key}={value}' for key, value in keys)
