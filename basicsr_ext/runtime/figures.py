"""Figures on disk."""

import os
from typing import TYPE_CHECKING

from basicsr_ext.runtime.files import atomic_open

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120


def save_figure(figure: 'Figure', path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_open(path) as file:
        figure.savefig(file, format='png', dpi=DPI)
