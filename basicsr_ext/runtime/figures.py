"""What figures have in common, and figures on disk."""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from basicsr_ext.runtime.files import atomic_open

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
SMOOTHED = 20  # a smooth line averages this part of all points
TITLE, NOTE = 10, 8  # sizes of the words around a figure, in points
BOLD, PLAIN = 0.64, 0.6  # mean width of a letter, in parts of its size


@dataclass(frozen=True)
class Caption:
    """What a figure tells whoever sees it alone.

    Attributes:
        title: what is shown, above it.
        notes: how to read it, a line each, below it.
    """

    title: str = ''
    notes: Sequence[str] = ()

    def put(self, figure: 'Figure') -> None:
        """Write the words around a figure with a constrained layout, in lines of its width."""
        width = 72 * figure.get_figwidth()
        if self.title:
            title = textwrap.fill(self.title, int(width / (BOLD * TITLE)))
            figure.suptitle(title, fontsize=TITLE, weight='bold', x=0.01, ha='left')
        if self.notes:
            notes = [textwrap.fill(note, int(width / (PLAIN * NOTE))) for note in self.notes]
            figure.supxlabel('\n'.join(notes), fontsize=NOTE, color='0.3', x=0.01, ha='left')


def short_name(path: str, longest: int = 20) -> str:
    """A path in so many characters at most: of a long one the last part, its middle left out."""
    if len(path) <= longest:
        return path
    name = path.rsplit('/', 1)[-1]
    kept = longest - 1
    return name if len(name) <= longest else f'{name[: kept - kept // 2]}…{name[len(name) - kept // 2 :]}'


def sizes_in_words(sizes: Sequence[tuple[int, int]]) -> str:
    """Sizes of images, (height, width), such as `180 x 180 to 321 x 481 pixels (height x width)`."""
    ends = sorted(set(sizes), key=lambda size: (size[0] * size[1], size))
    words = ' to '.join(f'{height} x {width}' for height, width in ends[:: max(len(ends) - 1, 1)])
    return f'{words} pixels (height x width)'


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
