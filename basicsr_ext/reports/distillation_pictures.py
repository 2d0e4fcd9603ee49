"""Pictures of a distillation: some synthetic images as they form, and the loss."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from basicsr_ext.images.pixels import as_array, for_display
from basicsr_ext.runtime.figures import SMOOTHED, Caption, running_mean, save_figure, tidy

AMPLIFIED = 4  # changes in the gallery
NAMES = {'gt': 'clean', 'lq': 'input'}


def draw_forming(
    start: Mapping[str, Tensor], now: Mapping[str, Tensor], step: int, path: str | os.PathLike[str]
) -> None:
    """Save images as they were at the start, as they are, and the change between.

    Args:
        start, now: `gt`, and `lq` where it is optimised: N x C x H x W, [0, 1].
        step: the steps that are done.
        path: the file.
    """
    count = len(now['gt'])
    rows: list[tuple[str, Tensor]] = []
    for kind, images in now.items():
        change = 0.5 + AMPLIFIED * (images - start[kind])
        name = NAMES[kind]
        rows += [(f'{name}, start', start[kind]), (f'{name}, step {step}', images), (f'change x {AMPLIFIED}', change)]
    height, width = now['gt'].shape[-2:]
    figure = Figure(figsize=(max(1.6 * count, 6), 1.75 * len(rows) + 0.9), layout='constrained')
    notes = [
        f'Whole images of {height} x {width} pixels (height x width), a column each.',
        f'change: the difference to the start, times {AMPLIFIED}; grey is none, lighter is brighter than at the start.',
    ]
    Caption(f'Synthetic images after {step:,} matching steps', notes).put(figure)
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (label, images) in zip(axes, rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(for_display(as_array(image.clamp(0, 1))), cmap='gray', vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label)
    save_figure(figure, path)


def draw_matching_loss(losses: Sequence[float], path: str | os.PathLike[str]) -> None:
    """Save the matching loss over the steps, with its running mean."""
    steps = np.arange(1, len(losses) + 1)
    figure = Figure(figsize=(8, 4.2), layout='constrained')
    mean = max(1, len(losses) // SMOOTHED)
    notes = [f'Faint: each step. Strong: the mean of the last {mean:,} steps.']
    Caption('How the gradients of synthetic images differ from those of real ones; lower is better', notes).put(figure)
    axis = figure.subplots()
    axis.plot(steps, losses, color='C0', alpha=0.3, linewidth=0.8)
    axis.plot(steps, running_mean(losses), color='C0', linewidth=1.6)
    axis.set(xlabel='matching step', ylabel='matching loss [no unit]', ylim=(0, None))
    tidy(axis)
    save_figure(figure, path)
