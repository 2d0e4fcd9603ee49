"""Pictures of a training: its curve, what it restores, and what a pixel-shuffled warm-up does to a patch."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from basicsr_ext.images.pixels import as_array, for_display, to_8bit
from basicsr_ext.runtime.figures import running_mean, save_figure, tidy
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.warmup import Interval


def comparison_strip(visuals: Mapping[str, Tensor], side: int = 256) -> np.ndarray:
    """Input, result and ground truth beside each other, the input enlarged by repeating its pixels.

    Args:
        visuals: `result` and, where they are, `lq` and `gt`: 1 x C x H x W, RGB or grey, [0, 1].
        side: of the middle that is shown of a large image.

    Returns:
        (H, 3 W, 3), RGB, uint8.
    """
    height, width = visuals['result'].shape[-2:]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    parts = []
    for image in (visuals[key].float() for key in ('lq', 'result', 'gt') if key in visuals):
        enlarged = functional.interpolate(image[:, : 3 if image.shape[1] >= 3 else 1], (height, width))
        parts.append(enlarged[0, :, top : top + side, left : left + side].expand(3, -1, -1))
    return to_8bit(as_array(torch.cat(parts, -1)))


def draw_training_curve(log: Path, warmups: Sequence[Interval], path: str | os.PathLike[str]) -> None:
    """Save losses and validation metrics over the iterations, the warm-ups shaded; null, for not finite, is left out.

    Args:
        log: `training_log.jsonl`.
        warmups: first and last iteration of each.
        path: the file; nothing is drawn before the first logged iteration.
    """
    lines = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    losses = _series((line['iter'], _losses(line)) for line in lines if 'validation' not in line)
    metrics = _series((line['iter'], _first_metrics(line)) for line in lines if 'validation' in line)
    if not losses:
        return
    done = lines[-1]['iter']
    figure = Figure(figsize=(9, 6 if metrics else 3.6), layout='constrained')
    axes: list[Axes] = figure.subplots(2 if metrics else 1, 1, sharex=True, squeeze=False)[:, 0].tolist()
    for number, (name, (iterations, values)) in enumerate(losses.items()):
        axes[0].plot(iterations, values, color=f'C{number}', alpha=0.3, linewidth=0.8)
        axes[0].plot(iterations, running_mean(values), color=f'C{number}', linewidth=1.6, label=name)
    positive = all(value > 0 for _, values in losses.values() for value in values)
    axes[0].set(ylabel='loss', yscale='log' if positive else 'linear')
    for axis in axes[1:]:
        for number, (name, (iterations, values)) in enumerate(metrics.items()):
            axis.plot(iterations, values, color=f'C{number}', marker='.', label=name)
        axis.set(ylabel='validation')
    for axis in axes:
        for number, (first, last) in enumerate(span for span in warmups if span[0] <= done):
            axis.axvspan(first, min(last, done), color='0.85', zorder=0, label=None if number else 'pixels shuffled')
        axis.legend(frameon=False)
    axes[-1].set(xlabel='iteration')
    tidy(*axes)
    save_figure(figure, path)


def _losses(line: dict[str, Any]) -> dict[str, float | None]:
    return {name: value for name, value in line.items() if name.startswith('l_')}


def _first_metrics(line: dict[str, Any]) -> dict[str, float | None]:
    """The first metric on every dataset: several have scales of their own."""
    firsts = {dataset: next(iter(means.items()), None) for dataset, means in line['validation'].items()}
    return {f'{first[0]} on {dataset}': first[1] for dataset, first in firsts.items() if first is not None}


def _series(points: Iterable[tuple[int, dict[str, float | None]]]) -> dict[str, tuple[list[int], list[float]]]:
    series: dict[str, tuple[list[int], list[float]]] = {}
    for iteration, values in points:
        for name, value in values.items():
            if value is None or not math.isfinite(value):  # NaN in the logs of older versions
                continue
            iterations, column = series.setdefault(name, ([], []))
            iterations.append(iteration)
            column.append(value)
    return series


def draw_shuffled_patch(source: Sample, shuffled: Sample, path: str | os.PathLike[str]) -> None:
    """Save a pair of patches beside what the warm-up makes of it.

    Args:
        source, shuffled: samples with `lq` and `gt`, (C, H, W), RGB or grey, [0, 1].
        path: the file.
    """
    figure = Figure(figsize=(6, 6.4), layout='constrained')
    axes = figure.subplots(2, 2)
    for row, key in enumerate(('lq', 'gt')):
        for column, (sample, title) in enumerate(((source, 'source'), (shuffled, 'pixels shuffled'))):
            axis = axes[row, column]
            pixels = for_display(as_array(sample[key].clamp(0, 1)))
            axis.imshow(pixels, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
            axis.set(xticks=[], yticks=[], title=f'{key}, {title}')
    save_figure(figure, path)
