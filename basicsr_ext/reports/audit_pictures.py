"""Pictures of an audit: the worst images of each finding, and how its values are distributed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from basicsr_ext.runtime.figures import Caption, save_figure, tidy
from basicsr_ext.selection.audit.outcome import FindingNote, with_unit

SUSPECT, SOUND = '#d55e00', '0.35'  # told apart by the colour-blind too
BINS = 40
NO_CAPTION = Caption()
UNITS = {  # of findings, as they stand alone, without a number before them
    'apart': 'distance, no unit',
    'correlation': 'correlation, no unit',
    'levels': '8-bit levels',
    'of the Nyquist frequency': 'part of the Nyquist frequency',
    'of the pixels': 'part of the pixels',
    'spreads away': 'spreads of the set',
    'times': 'factor, no unit',
}


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

    @property
    def label(self) -> str:
        """The name with the unit."""
        unit = self.note.unit or 'no unit'
        return f'{self.name} [{UNITS.get(unit, unit)}]'


def draw_worst(rows: Sequence[Row], path: str | os.PathLike[str], caption: Caption = NO_CAPTION) -> None:
    """Save a row of images for each finding, the worst at the left; suspect ones have coloured titles."""
    columns = max(len(row.tiles) for row in rows)
    figure = Figure(figsize=(max(2.1 * columns, 7), 2.3 * len(rows) + 0.9), layout='constrained')
    caption.put(figure)
    for part, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        part.suptitle(f'{row.label}: {row.note.says} ({bounds_in_words(row.note)})', fontsize=9, x=0.01, ha='left')
        for number, axis in enumerate(part.subplots(1, columns, squeeze=False)[0]):
            axis.axis('off')
            if number < len(row.tiles):
                tile = row.tiles[number]
                axis.imshow(np.full((2, 3), 0.8) if tile.pixels is None else tile.pixels, cmap='gray', vmin=0, vmax=1)
                axis.set_title(tile.title, fontsize=8, color=SUSPECT if tile.is_suspect else SOUND, parse_math=False)
    save_figure(figure, path)


def bounds_in_words(note: FindingNote) -> str:
    """What is usual, and from where on values are suspect."""
    ends = {'below': note.low, 'above': note.high}
    suspect = ' or '.join(f'{side} {with_unit(end)}' for side, end in ends.items() if end is not None)
    return f'usual {with_unit(note.usual)}, suspect {suspect}'


def draw_histograms(rows: Sequence[Row], path: str | os.PathLike[str], caption: Caption = NO_CAPTION) -> None:
    """Save a histogram of each finding, with what is usual and where suspect values begin."""
    columns = min(len(rows), 3)
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(max(4.2 * columns, 6), 2.9 * lines + 0.9), layout='constrained')
    caption.put(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, row in zip(axes, rows, strict=False):
        axis.hist(row.values, bins=BINS, color='0.55', edgecolor='white', linewidth=0.4)
        axis.axvline(row.note.usual, color='#0072b2', linewidth=1, label='usual in this set')
        for bound in (row.note.low, row.note.high):
            if bound is not None:
                axis.axvline(bound, color=SUSPECT, linewidth=1, linestyle='--', label='suspect from here on')
        axis.set(xlabel=row.label, ylabel='number of images')
        axis.set_title(row.note.says, fontsize=9)
        axis.set_yscale('symlog', linthresh=1)
        axis.yaxis.set_major_formatter('{x:.0f}')
    for axis in axes[len(rows) :]:
        axis.axis('off')
    handles = {label: handle for handle, label in zip(*axes[0].get_legend_handles_labels(), strict=True)}
    axes[0].legend(handles.values(), handles, fontsize='x-small', frameon=False)
    tidy(*axes)
    save_figure(figure, path)
