"""What the trainings of a comparison reached, and what they cost."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np

from basicsr_ext.data.shared_files import image_files
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.compare.frame import Frame, Training
from basicsr_ext.jobs.compare.sets import Row
from basicsr_ext.options.load import Options
from basicsr_ext.reports.comparison import Comparison, Curves, Measured, Metric
from basicsr_ext.runtime.files import read_json
from basicsr_ext.runtime.task_pool import TaskPool
from basicsr_ext.training.building import build_dataset


def metric_of(opt: Options) -> Metric:
    """The first metric of the validation."""
    metrics = (opt.get('val') or {}).get('metrics')
    if not metrics:
        raise OptionError('val.metrics', 'a metric to compare', 'none', 'Add psnr: {type: calculate_psnr, ...}.')
    name, block = next(iter(metrics.items()))
    unit = 'dB' if 'psnr' in str(block.get('type')).lower() else ''
    return Metric(name, unit, block.get('better', 'higher'))


def measured(
    frame: Frame, rows: Sequence[Row], trainings: Mapping[str, Sequence[Training]], metric: Metric, pool: TaskPool
) -> Comparison:
    """What the trainings reached."""
    rows_measured = [_measured(frame, row, trainings[row.title], metric, pool) for row in rows]
    return Comparison(
        frame.file.opt['name'],
        rows_measured,
        metric,
        frame.iterations,
        frame.file.full_length,
        _pixels(frame),
        len(frame.items),
        frame.roles.notes,
        frame.asked.against,
        _curves(frame, trainings, metric) if frame.asked.curve is not None else None,
    )


def _pixels(frame: Frame) -> int:
    """Of the ground truth that a training sees."""
    batches = int(frame.file.loader.get('batch_size_per_gpu') or 1) * int(frame.file.opt['train'].get('accum_iter', 1))
    return frame.iterations * batches * int(frame.gt_size or 0) ** 2


def _measured(frame: Frame, row: Row, trainings: Sequence[Training], metric: Metric, pool: TaskPool) -> Measured:
    dataset = scheduled(build_dataset({**deepcopy(row.block(0)), 'phase': 'train'}, f'row {row.title}'))
    files = image_files(dataset)
    own = frame.of(row.set)
    seconds = [sum(pool.seconds(task) or 0 for task in training.tasks) for training in trainings]
    memory = [most for training in trainings if (most := pool.memory(training.tasks[0])) is not None]
    return Measured(
        row.title,
        '@'.join([row.set.choice, *(each for each in row.set.changes if each not in own.changes)]),
        str(row.size),
        len(files),
        len(dataset),
        sum(file.size for file in files),
        _choosing_seconds(frame, row.needs, pool),
        float(np.mean(seconds)),
        {name: _values(trainings, name, metric) for name in frame.roles.reports},
        own.changes,
        own.iterations,
        _pixels(own),
        max(memory, default=None),
        [str(training.weights.relative_to(frame.root.parent)) for training in trainings],
    )


def _choosing_seconds(frame: Frame, needs: Sequence[str], pool: TaskPool) -> float:
    """How long these tasks and those that they need took."""
    wanted, seen = list(needs), set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += frame.choosing[name].needs
    return sum(pool.seconds(frame.choosing[name]) or 0 for name in seen)


def _values(trainings: Sequence[Training], name: str, metric: Metric) -> np.ndarray:
    """What each seed reached on each image of a reported set, (S, I); (S, 1) where a model tells its means alone."""
    values = []
    for training in trainings:
        found = read_json(training.metrics)
        images = found['per_image'][name]
        own = [images[image][metric.name] for image in sorted(images)] or [found[name][metric.name]]
        if any(value is None for value in own):
            raise DataError(training.metrics, f'finite values of {metric.name}', 'others', 'Look at its training log.')
        values.append(own)
    return np.array(values, np.float64)


def _curves(frame: Frame, trainings: Mapping[str, Sequence[Training]], metric: Metric) -> Curves:
    """What the trainings measured on their way, on the images that choose checkpoints or else on the reported ones."""
    roles = frame.roles
    name = next(iter(roles.reports)) if roles.choosing is None else roles.choosing['name']
    rows = {title: [_curve(training.log, name, metric) for training in own] for title, own in trainings.items()}
    return Curves(name, {title: {at: [each[at] for each in own] for at in own[0]} for title, own in rows.items()})


def _curve(log: Path, name: str, metric: Metric) -> dict[int, float]:
    """Iteration -> the mean over the images."""
    lines = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    return {line['iter']: line['validation'][name][metric.name] for line in lines if 'validation' in line}
