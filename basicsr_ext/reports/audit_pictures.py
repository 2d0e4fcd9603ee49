"""Pictures of an audit: the worst images of each finding, and how its values are distributed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from basicsr_ext.runtime.figures import save_figure, tidy
from basicsr_ext.selection.audit.outcome import FindingNote

SUSPECT, SOUND = '#d55e00', '0.35'  # told apart by the colour-blind too
BINS = 40


@dataclass(frozen=True)
class Tile:
    """An image of the gallery.

    Attributes:
        pixels: (H, W) grey or (H, W, 3) RGB, [0, 1]; None of one that cannot be decoded.
        title: above it.
        is_suspect: for the finding whose row it stands in.
    """

    pixels: np.ndarray | None
    title: str
    is_suspect: bool


@dataclass(frozen=True)
class Row:
    """A finding.

    Attributes:
        name: of it.
        note: `says`, `unit`, `usual`, `low` and `high` as in the header of an audit.
        tiles: the worst images.
        values: of all images.
    """

    name: str
    note: FindingNote
    tiles: Sequence[Tile]
    values: np.ndarray


def draw_worst(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Save a row of images for each finding, the worst at the left; suspect ones have coloured titles."""
    columns = max(len(row.tiles) for row in rows)
    figure = Figure(figsize=(max(2 * columns, 5), 2.2 * len(rows)), layout='constrained')
    for part, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        part.suptitle(f'{row.name}: {row.note.says}', weight='bold', fontsize=10, x=0.01, ha='left')
        for number, axis in enumerate(part.subplots(1, columns, squeeze=False)[0]):
            axis.axis('off')
            if number < len(row.tiles):
                tile = row.tiles[number]
                axis.imshow(np.full((2, 3), 0.8) if tile.pixels is None else tile.pixels, cmap='gray', vmin=0, vmax=1)
                axis.set_title(tile.title, fontsize=7, color=SUSPECT if tile.is_suspect else SOUND)
    save_figure(figure, path)


def draw_histograms(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Save a histogram of each finding, with what is usual and where suspect values begin."""
    columns = min(len(rows), 3)
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * lines), layout='constrained')
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, row in zip(axes, rows, strict=False):
        axis.hist(row.values, bins=BINS, color='0.55', edgecolor='white', linewidth=0.4)
        axis.axvline(row.note.usual, color='#0072b2', linewidth=1, label='usual')
        for bound in (row.note.low, row.note.high):
            if bound is not None:
                axis.axvline(bound, color=SUSPECT, linewidth=1, linestyle='--', label='suspect from here on')
        axis.set(xlabel=f'{row.name} ({row.note.unit})' if row.note.unit else row.name, ylabel='images, log scale')
        axis.set_yscale('symlog', linthresh=1)
    for axis in axes[len(rows) :]:
        axis.axis('off')
    axes[0].legend(fontsize=7, frameon=False)
    tidy(*axes)
    save_figure(figure, path)
