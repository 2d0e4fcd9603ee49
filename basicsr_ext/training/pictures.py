"""Pictures of a training: its curve, what it restores, and what a pixel-shuffled warm-up does to a patch."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from basicsr_ext.images.pixels import as_array, for_display, to_8bit
from basicsr_ext.runtime.figures import Caption, save_figure
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.warmup import Interval
from basicsr_ext.training.curve_pictures import draw_curves
from basicsr_ext.training.curves import read_curves


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
    """Save losses and validation metrics of one training, the warm-ups shaded.

    Args:
        log: `training_log.jsonl`.
        warmups: first and last iteration of each.
        path: the file; nothing is drawn before the first logged iteration.
    """
    run = read_curves(log, log.parent.name, warmups)
    if run.losses:
        draw_curves([run], path)


def draw_shuffled_patch(source: Sample, shuffled: Sample, path: str | os.PathLike[str]) -> None:
    """Save a pair of patches beside what the warm-up makes of it.

    Args:
        source, shuffled: samples with `lq` and `gt`, (C, H, W), RGB or grey, [0, 1].
        path: the file.
    """
    figure = Figure(figsize=(6, 6.8), layout='constrained')
    height, width = source['gt'].shape[-2:]
    note = f'A crop of {height} x {width} pixels (height x width) of an image; lq and gt change alike.'
    Caption('The first patch of the warm-up', [note]).put(figure)
    axes = figure.subplots(2, 2)
    for row, key in enumerate(('lq', 'gt')):
        for column, (sample, title) in enumerate(((source, 'source'), (shuffled, 'pixels shuffled'))):
            axis = axes[row, column]
            pixels = for_display(as_array(sample[key].clamp(0, 1)))
            axis.imshow(pixels, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
            axis.set(xticks=[], yticks=[], title=f'{key}, {title}')
    save_figure(figure, path)
