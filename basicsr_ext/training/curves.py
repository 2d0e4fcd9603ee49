"""What a training's log says of its losses and validations, as series over the iterations."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from basicsr_ext.errors import DataError, shown
from basicsr_ext.schedule.warmup import Interval

LOG = 'training_log.jsonl'
POINTS, BATCHES = 40, 4  # windows of a long training at most, logged batches in one at least
SHARE = re.compile(r'exit_\d+')  # of the image area that leaves by one exit: as many series as exits
UNITS = {  # parts of the names of metrics
    'psnr': 'dB',
    'ssim': 'no unit',
    'lpips': 'no unit',
    'niqe': 'no unit',
    'mgvg': 'no unit',
    'spearman': 'no unit',
    'pearson': 'no unit',
    'macs': 'parts of the full network',
    'exit_mean': 'number of the exit',
}


@dataclass(frozen=True)
class Series:
    """Values over iterations.

    Attributes:
        iterations: ascending, (n,).
        values: finite, (n,).
    """

    iterations: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def means(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """The means over windows of so many iterations, 1 to `window` the first: mean iteration and mean value.

        A window without values is left out.
        """
        places = (np.asarray(self.iterations) - 1) // window
        _, groups, counts = np.unique(places, return_inverse=True, return_counts=True)
        return tuple(np.bincount(groups, column) / counts for column in (self.iterations, self.values))  # type: ignore[return-value]


@dataclass(frozen=True)
class TrainingCurves:
    """The series of one training.

    Attributes:
        name: of the run.
        losses: name -> series of single batches.
        metrics: metric and dataset -> series of the means over its images.
        warmups: first and last iteration of those on shuffled pixels.
        done: iterations.
    """

    name: str
    losses: dict[str, Series]
    metrics: dict[tuple[str, str], Series]
    warmups: Sequence[Interval]
    done: int

    def sentence(self, window: 'Window') -> str:
        """The last value of each series, a loss as the mean of its last window."""
        losses = [f'{name} {series.means(window.iterations)[1][-1]:.4g}' for name, series in self.losses.items()]
        metrics = [
            f'{metric} on {dataset} {series.values[-1]:.4f} {"dB" if unit_of(metric) == "dB" else ""}'.rstrip()
            for (metric, dataset), series in self.metrics.items()
        ]
        return f'{self.name}: ' + ', '.join([f'{self.done:,} iterations', *losses, *metrics])


def read_curves(log: Path, name: str, warmups: Sequence[Interval] | None = None) -> TrainingCurves:
    """Read a training's log; null, for not finite, is left out, and so is a last line that is not whole yet.

    Args:
        log: `training_log.jsonl`.
        name: of the run.
        warmups: first and last iteration of each; None takes the logged iterations that belong to one.

    Raises:
        DataError: it is missing or something else.
    """
    lines = _lines(log)
    trained = [line for line in lines if 'validation' not in line]
    losses = _series((line['iter'], _losses(line)) for line in trained)
    metrics = _series((line['iter'], _metrics(line)) for line in lines if 'validation' in line)
    if warmups is None:
        shuffled = [line['iter'] for line in trained if line.get('warmup')]
        warmups = [(1, max(shuffled))] if shuffled else []
    return TrainingCurves(name, losses, metrics, warmups, lines[-1]['iter'] if lines else 0)


def _lines(log: Path) -> list[dict[str, Any]]:
    advice = 'Name the folder of an experiment that `basicsr-ext train` made, or a manifest.'
    try:
        *whole, last = log.read_text(encoding='utf-8').split('\n')
        lines = [json.loads(line) for line in [*whole, last] if line.endswith('}')]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(log, 'the log of a training', 'none', advice) from error
    except ValueError as error:
        raise DataError(log, 'a JSON object in each line', error, advice) from error
    for line in lines:
        if not isinstance(line.get('iter'), int) or not isinstance(line.get('validation', {}), dict):
            raise DataError(log, 'iterations with their values', shown(line), advice)
    return lines


def _losses(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name.startswith('l_')}


def _metrics(line: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (metric, dataset): value
        for dataset, means in line['validation'].items()
        for metric, value in means.items()
        if not SHARE.fullmatch(metric)
    }


def _series(points: Iterable[tuple[int, dict[Any, Any]]]) -> dict[Any, Series]:
    series: dict[Any, Series] = {}
    for iteration, values in points:
        for name, value in values.items():
            if isinstance(value, (int, float)) and math.isfinite(value):  # NaN in the logs of older versions
                own = series.setdefault(name, Series())
                own.iterations.append(iteration)
                own.values.append(value)
    return series


@dataclass(frozen=True)
class Window:
    """What losses are averaged over.

    Attributes:
        iterations: of it.
        batches: that were logged in it, of the training with the most.
    """

    iterations: int
    batches: int

    @property
    def words(self) -> str:
        """What the losses are."""
        if self.batches == 1:
            return 'single batches, as few were logged'
        return f'means over windows of {self.iterations:,} iterations, {self.batches} logged batches in each'


def common_window(runs: Sequence[TrainingCurves]) -> Window:
    """So many iterations that the training with the most logged batches has 40 windows, or 4 batches in each.

    Of a training of which few batches were logged a window holds a fifth of them; of fewer than ten, one.
    """
    series = [each for run in runs for each in run.losses.values()]
    longest = max(series, key=lambda each: len(each.values))
    number = len(longest.values)
    batches = max(-(-number // POINTS), min(BATCHES, number // 5), 1)
    return Window(batches * max(round(longest.iterations[-1] / number), 1), batches)


def unit_of(metric: str) -> str:
    """The unit of a metric by its name in `val.metrics`; '' where it is not known."""
    return next((unit for part, unit in UNITS.items() if part in metric.lower()), '')
