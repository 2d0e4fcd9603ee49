"""What figures have in common, and figures on disk."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from basicsr_ext.runtime.files import atomic_open

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
SMOOTHED = 20  # a smooth line averages this part of all points


def tidy(*axes: 'Axes', grid: bool = False) -> None:
    """Leave out the frame above and at the right, and draw a faint grid where one is asked for."""
    for axis in axes:
        axis.spines[['top', 'right']].set_visible(False)
        if grid:
            axis.grid(alpha=0.3)


def running_mean(values: Sequence[float]) -> np.ndarray:
    """The mean of the last few values at each point, the smooth line of a figure; (n,)."""
    window = max(1, len(values) // SMOOTHED)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def save_figure(figure: 'Figure', path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_open(path) as file:
        figure.savefig(file, format='png', dpi=DPI)
