"""Pictures of a ranking: images of its groups, its scores, the spectra of its groups."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from basicsr_ext.reports.score_words import shown_score
from basicsr_ext.reports.spectrum import CENTRE
from basicsr_ext.runtime.figures import Caption, save_figure, short_name, tidy

COLOURS = {'Top': '#d55e00', 'Mid': '#009e73', 'Bottom': '#0072b2'}  # told apart by the colour-blind too
BRIGHTEST = 0.8  # of a spectrum; only the very centre is above
NO_CAPTION = Caption()


@dataclass(frozen=True)
class Shown:
    """An image of a picture.

    Attributes:
        pixels: (H, W) grey or (H, W, 3) RGB, [0, 1].
        rank: from 1.
        score: what it was ranked by.
        name: of the file.
    """

    pixels: np.ndarray
    rank: int
    score: float
    name: str = ''

    @property
    def label(self) -> str:
        """The file, rank and score in a few characters."""
        return f'{short_name(self.name)}\n#{self.rank}  {shown_score(self.score, 3)}'.lstrip()


@dataclass(frozen=True)
class Group:
    """One of the groups `Top`, `Mid` and `Bottom` of a ranking.

    Attributes:
        name: a key of `COLOURS`.
        ranks, scores: of its images, by rank.
        shown: some of its images, reduced.
        example: the one whose spectrum is shown.
        spectrum: of the example, (H, W), [0, 1].
        mean_spectrum: of the images of the group, brought to one size.
        says: what its images have in common, such as `the largest influence`.
    """

    name: str
    ranks: Sequence[int]
    scores: Sequence[float]
    shown: Sequence[Shown]
    example: Shown
    spectrum: np.ndarray
    mean_spectrum: np.ndarray
    says: str = ''

    @property
    def interval(self) -> str:
        """The name and the interval of ranks."""
        return f'{self.name}: ranks {self.ranks[0]} to {self.ranks[-1]}'

    @property
    def title(self) -> str:
        """The same with what the images have in common."""
        return f'{self.interval}, {self.says}' if self.says else self.interval


def draw_gallery(
    groups: Sequence[Group],
    path: str | os.PathLike[str],
    aim: np.ndarray | None = None,
    caption: Caption = NO_CAPTION,
) -> None:
    """Save a row of images for each group, below the image that the scores are for where there is one."""
    columns, rows = max(len(group.shown) for group in groups), len(groups) + (aim is not None)
    figure = Figure(figsize=(max(1.45 * columns, 7), 2.15 * rows + 0.9), layout='constrained')
    caption.put(figure)
    parts = figure.subfigures(rows, 1, squeeze=False)[:, 0]
    if aim is not None:
        parts[0].suptitle('The target', weight='bold', x=0.01, ha='left')
        axis = parts[0].subplots()
        axis.axis('off')
        _show_in_square(axis, aim)
    for part, group in zip(parts[-len(groups) :], groups, strict=True):
        part.suptitle(group.title, color=COLOURS[group.name], weight='bold', x=0.01, ha='left')
        for number, axis in enumerate(part.subplots(1, columns, squeeze=False)[0]):
            axis.axis('off')
            if number < len(group.shown):
                _show_in_square(axis, group.shown[number].pixels)
                axis.set_title(group.shown[number].label, fontsize=8, parse_math=False)
    save_figure(figure, path)


def draw_histogram(
    scores: Sequence[float],
    ranks: Sequence[int],
    name: str,
    groups: Sequence[Group],
    path: str | os.PathLike[str],
    caption: Caption = NO_CAPTION,
) -> None:
    """Save the histogram of the scores and the scores over the ranks, the groups shaded.

    Args:
        scores, ranks: of all images; a score is NaN where there is none.
        name: of the score, with its unit.
        groups: to shade.
        path: the file.
        caption: the words around.
    """
    figure = Figure(figsize=(11, 5.4), layout='constrained')
    caption.put(figure)
    left, right = figure.subplots(1, 2)
    known = [score for score in scores if not isnan(score)]
    left.hist(known, bins=min(max(len(known) // 5, 10), 60), color='0.55', edgecolor='white', linewidth=0.4)
    left.set(xlabel=name, ylabel='number of images', title=f'Scores of {len(known)} images')
    order = np.argsort(ranks)
    right.plot(np.asarray(ranks)[order], np.asarray(scores)[order], color='0.25', linewidth=1.5)
    right.set(xlabel='rank', ylabel=name, title='Scores by rank')
    for group in groups:
        style = {'color': COLOURS[group.name], 'alpha': 0.3, 'label': group.title}
        own = [score for score in group.scores if not isnan(score)]
        if own:
            left.axvspan(min(own), max(own), **style)
        right.axvspan(group.ranks[0] - 0.5, group.ranks[-1] + 0.5, **style)
    right.legend(fontsize='small', framealpha=0.8)
    tidy(left, right)
    save_figure(figure, path)


def draw_spectra(groups: Sequence[Group], path: str | os.PathLike[str], caption: Caption = NO_CAPTION) -> None:
    """Save an example of each group, its spectrum and the mean spectrum of the group, the centre square outlined."""
    figure = Figure(figsize=(3.2 * len(groups) + 0.6, 11), layout='constrained')
    caption.put(figure)
    axes = figure.subplots(3, len(groups), squeeze=False)
    for group, (example, own, mean) in zip(groups, axes.T, strict=True):
        _show_in_square(example, group.example.pixels)
        example.set_title(
            f'{group.interval}\n{group.says}'.rstrip(), color=COLOURS[group.name], weight='bold', fontsize=10
        )
        example.set_xlabel(group.example.label, parse_math=False)
        example.spines[:].set_visible(False)
        for axis, spectrum in ((own, group.spectrum), (mean, group.mean_spectrum)):
            drawn = axis.imshow(
                spectrum, cmap='magma', vmin=0, vmax=BRIGHTEST, aspect='auto', extent=(-0.5, 0.5, 0.5, -0.5)
            )
            axis.set_box_aspect(1)
            axis.add_patch(Rectangle((-CENTRE / 2, -CENTRE / 2), CENTRE, CENTRE, fill=False, color='white', ls='--'))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, label in zip(axes[:, 0], ('example', 'its spectrum', 'mean spectrum of the group'), strict=True):
        axis.set_ylabel(label)
    figure.colorbar(drawn, ax=axes[1:], shrink=0.6, label='log magnitude, stretched to [0, 1], no unit', extend='max')
    save_figure(figure, path)


def _show_in_square(axis: Axes, pixels: np.ndarray) -> None:
    """An image centred in a square, so that labels of upright and wide ones stand in one line."""
    axis.imshow(pixels, cmap='gray', vmin=0, vmax=1)
    height, width = pixels.shape[:2]
    half = max(height, width) / 2
    x, y = (width - 1) / 2, (height - 1) / 2
    axis.set(xlim=(x - half, x + half), ylim=(y + half, y - half))
