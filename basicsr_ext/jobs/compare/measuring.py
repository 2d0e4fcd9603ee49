"""What the trainings of a comparison reached, and what they cost."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np

from basicsr_ext.data.shared_files import image_files
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.compare.frame import Frame, Training
from basicsr_ext.jobs.compare.sets import Row
from basicsr_ext.options.load import Options
from basicsr_ext.reports.comparison import Comparison, Measured, Metric
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
        frame.opt['name'],
        rows_measured,
        metric,
        frame.iterations,
        int(frame.opt['train']['total_iter']),
        frame.iterations * int(frame.loader.get('batch_size_per_gpu') or 1) * int(frame.gt_size or 0) ** 2,
        len(frame.items),
        frame.roles.notes,
    )


def _measured(frame: Frame, row: Row, trainings: Sequence[Training], metric: Metric, pool: TaskPool) -> Measured:
    dataset = scheduled(build_dataset({**deepcopy(row.block(0)), 'phase': 'train'}, f'row {row.title}'))
    files = image_files(dataset)
    seconds = [sum(pool.seconds(task) or 0 for task in training.tasks) for training in trainings]
    return Measured(
        row.title,
        str(row.set),
        str(row.size),
        len(files),
        len(dataset),
        sum(file.size for file in files),
        _choosing_seconds(frame, row.needs, pool),
        float(np.mean(seconds)),
        {name: _values(trainings, name, metric) for name in frame.roles.reports},
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
