"""Pictures of mined patches: their criteria, the best and the worst of them, those that are kept, two tasks' losses."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from basicsr_ext.reports.ranking_pictures import COLOURS
from basicsr_ext.reports.score_words import PATCHES, UNKNOWN, explained
from basicsr_ext.runtime.figures import Caption, save_figure, short_name, tidy

COLUMNS = 10  # patches in a row of the contact sheet
BINS = 80
SHOWN = 0.995  # the part of the patches in a histogram whose tail is long and thin
FRAME = 0.8  # grey
LABEL = 0.36  # height of the words below a patch, in parts of its side
POINTS = 20_000  # of a scatter plot
NO_CAPTION = Caption()
KEPT, DISCARDED = '#e69f00', '#56b4e9'  # told apart by the colour-blind and from dark and light images


@dataclass(frozen=True)
class PatchGroup:
    """One of the groups `Top`, `Mid` and `Bottom` of the patches.

    Attributes:
        name: a key of `basicsr_ext.reports.ranking_pictures.COLOURS`.
        scores: from the largest to the smallest.
        patches: (number, p, p, 3) RGB or (number, p, p) grey, [0, 1], in this order.
        sources: the file of each, and y and x of its corner; may be left out.
    """

    name: str
    scores: np.ndarray
    patches: np.ndarray
    sources: Sequence[tuple[str, int, int]] = ()

    def title(self, criterion: str) -> str:
        """What the patches have in common."""
        words = {'Top': 'largest', 'Mid': 'middle', 'Bottom': 'smallest'}
        return f'{self.name}: {words[self.name]} {criterion}, {_interval(self.scores)}'


@dataclass(frozen=True)
class KeptImage:
    """An image and which of its patches are kept.

    Attributes:
        name: of the image.
        pixels: (H, W, 3) RGB or (H, W) grey, [0, 1].
        y, x: top and left side of each patch, (number,).
        size: side of the patches.
        kept: (number,), bool.
        rule: by which patches are kept, in words.
    """

    name: str
    pixels: np.ndarray
    y: np.ndarray
    x: np.ndarray
    size: int
    kept: np.ndarray
    rule: str = ''


def draw_histograms(
    columns: Mapping[str, np.ndarray], path: str | os.PathLike[str], caption: Caption = NO_CAPTION
) -> None:
    """Save the histogram of each criterion, of `loss` also that of its square root: Fig. 2 and 3 of the paper.

    Args:
        columns: criterion -> (patches,).
        path: the file.
        caption: the words around.
    """
    shown = dict(columns)
    if 'loss' in shown:
        shown['square root of loss'] = np.sqrt(np.maximum(shown['loss'], 0))
    across = min(len(shown), 3)
    down = -(-len(shown) // across)
    figure = Figure(figsize=(max(4.2 * across + 0.4, 6), 3.3 * down + 1.2), layout='constrained')
    caption.put(figure)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, (name, values) in zip(axes, shown.items(), strict=False):
        _draw_histogram(axis, name, values)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    for axis in axes[: len(shown) : across]:
        axis.set_ylabel('number of patches')
    save_figure(figure, path)


def _draw_histogram(axis: Axes, name: str, values: np.ndarray) -> None:
    low, high, largest = values.min(), np.quantile(values, SHOWN), values.max()
    if largest - low < 2 * (high - low):
        high = largest
    inside = values[values <= high]
    counts, edges = np.histogram(inside, BINS, (low, high if high > low else low + 1))
    axis.stairs(counts, edges, fill=True, color='0.55')
    median = float(np.median(values))
    axis.axvline(median, color=COLOURS['Bottom'], linestyle='--', linewidth=1.2, label=f'median {median:.3g}')
    left_out = len(values) - len(inside)
    if left_out:
        axis.plot([], [], ' ', label=f'{left_out:,} up to {largest:.3g} not shown')
    axis.legend(fontsize='x-small', frameon=False, loc='upper right', handlelength=1.2)
    axis.set_title(name, weight='bold')
    axis.set_xlabel(PATCHES.get(name, UNKNOWN).label(name), fontsize='small')
    axis.margins(x=0.02)
    axis.set_ylim(top=1.3 * counts.max())  # room for the legend
    axis.ticklabel_format(axis='x', scilimits=(-3, 4))
    tidy(axis)


def draw_correlations(names: Sequence[str], matrix: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Save the rank correlations as a heat map with their numbers.

    Args:
        names: of the criteria.
        matrix: (criteria, criteria), [-1, 1]; nan where a criterion is constant.
        path: the file.
    """
    side = 0.85 * len(names)
    figure = Figure(figsize=(side + 2.4, side + 2.2), layout='constrained')
    axis = figure.subplots()
    drawn = axis.imshow(matrix, cmap='RdBu_r', vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        text = '' if np.isnan(value) else f'{round(value, 2) + 0:.2f}'  # no minus before 0.00
        axis.text(column, row, text, ha='center', va='center', color='white' if abs(value) > 0.6 else 'black')
    places = range(len(names))
    axis.set_xticks(places, names, rotation=45, ha='right', rotation_mode='anchor')
    axis.set_yticks(places, names)
    Caption(
        'Rank correlation (Spearman) of the criteria',
        ['No unit. 1: both sort the patches alike, 0: unrelated, -1: in opposite orders; empty: a constant criterion.'],
    ).put(figure)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=axis, shrink=0.8)
    save_figure(figure, path)


def draw_contact_sheet(
    groups: Sequence[PatchGroup], criterion: str, path: str | os.PathLike[str], caption: Caption = NO_CAPTION
) -> None:
    """Save the patches of each group in rows, the file, the place and the value of the criterion below each.

    Args:
        groups: of as many patches each.
        criterion: that they are sorted by.
        path: the file.
        caption: the words around.
    """
    across = min(COLUMNS, len(groups[0].scores))
    down = -(-len(groups[0].scores) // across)
    height = len(groups) * (1.2 * down * (1 + LABEL) + 0.3) + 1
    figure = Figure(figsize=(max(1.2 * across, 6) + 0.2, height), layout='constrained')
    caption.put(figure)
    for axis, group in zip(figure.subplots(len(groups), 1, squeeze=False)[:, 0], groups, strict=True):
        sheet = _mosaic(group.patches, across)
        axis.imshow(sheet, cmap='gray', vmin=0, vmax=1, extent=(0, across, down * (1 + LABEL), 0))
        axis.set_anchor('W')
        axis.axis('off')
        for place, score in enumerate(group.scores):
            row, column = divmod(place, across)
            text = '\n'.join([*_origin(group, place), f'{score:.3g}'])
            below = (row + 1) * (1 + LABEL) - LABEL + 0.03
            axis.text(column + 0.5, below, text, fontsize=7, ha='center', va='top', parse_math=False)
        axis.set_title(group.title(criterion), color=COLOURS[group.name], weight='bold', loc='left', fontsize='medium')
    save_figure(figure, path)


def _origin(group: PatchGroup, place: int) -> list[str]:
    """The file of a patch, and where in it."""
    if not group.sources:
        return []
    name, y, x = group.sources[place]
    return [short_name(name), f'y {y}, x {x}']


def _interval(scores: np.ndarray) -> str:
    """The range from the first to the last score."""
    first, last = f'{scores[0]:.3g}', f'{scores[-1]:.3g}'
    return first if first == last else f'{first} to {last}'


def _mosaic(patches: np.ndarray, across: int) -> np.ndarray:
    """Patches in rows, a frame around each that a white one is seen in too, and room for words below each row."""
    number, side = patches.shape[:2]
    gap, down = max(side // 20, 1), -(-number // across)
    cell = side + 2 * gap
    tall = cell + round(LABEL * cell)
    sheet = np.ones((down * tall, across * cell, *patches.shape[3:]), patches.dtype)
    for place, patch in enumerate(patches):
        row, column = divmod(place, across)
        y, x = tall * row, cell * column
        sheet[y : y + cell, x : x + cell] = FRAME
        sheet[y + gap : y + gap + side, x + gap : x + gap + side] = patch
    return sheet


def draw_kept(image: KeptImage, criterion: str, path: str | os.PathLike[str]) -> None:
    """Save an image, and beside it the same with its kept and its discarded patches outlined.

    Patches that overlap or touch are drawn around their centres, smaller than their distance.
    """
    height, width = image.pixels.shape[:2]
    factor = 6 / max(height, width)
    figure = Figure(figsize=(max(2 * factor * width, 6) + 0.6, factor * height + 1.7), layout='constrained')
    Caption(
        f'{short_name(image.name, 60)}: patches kept by {criterion}',
        [*explained(PATCHES, [criterion]), f'Whole image, {height} x {width} pixels (height x width). {image.rule}'],
    ).put(figure)
    plain, drawn = figure.subplots(1, 2)
    for axis in (plain, drawn):
        axis.imshow(image.pixels, cmap='gray', vmin=0, vmax=1)
        axis.axis('off')
    side = min(image.size, 0.9 * _distance(image.y), 0.9 * _distance(image.x))
    inset = (image.size - side) / 2 - 0.5  # pixel 0 lies around 0
    for chosen, colour in ((~image.kept, DISCARDED), (image.kept, KEPT)):
        corners = zip(image.x[chosen] + inset, image.y[chosen] + inset, strict=True)
        boxes = [Rectangle(corner, side, side) for corner in corners]
        drawn.add_collection(PatchCollection(boxes, facecolor=(colour, 0.2), edgecolor=colour, linewidth=1.3))
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=(colour, 0.4), edgecolor=colour, label=f'{word}: {number:,}')
        for colour, word, number in (
            (KEPT, 'kept', int(image.kept.sum())),
            (DISCARDED, 'discarded', int((~image.kept).sum())),
        )
    ]
    note = f'patches of {image.size} x {image.size} pixels{", drawn smaller" if side < image.size else ""}'
    drawn.legend(
        handles=handles,
        loc='upper center',
        bbox_to_anchor=(0.5, 0),
        ncols=2,
        frameon=False,
        title=note,
        fontsize='small',
        title_fontsize='small',
    )
    save_figure(figure, path)


def _distance(starts: np.ndarray) -> float:
    """The usual distance of neighbours."""
    steps = np.diff(np.unique(starts))
    return float(np.median(steps)) if len(steps) else np.inf


def draw_losses(
    own: np.ndarray,
    other: np.ndarray,
    criterion: str,
    labels: Sequence[str],
    title: str,
    path: str | os.PathLike[str],
) -> None:
    """Save a scatter plot of a criterion in two manifests of the same patches: Fig. 7 of the paper.

    Args:
        own, other: (patches,), of which at most `POINTS` random ones are shown.
        criterion: what they are.
        labels: of the two manifests.
        title: how much the one says of the other, in words.
        path: the file.
    """
    figure = Figure(figsize=(6.4, 6.6), layout='constrained')
    some = f'{POINTS:,} random ones of {len(own):,} patches' if len(own) > POINTS else f'{len(own):,} patches'
    Caption(
        f'{criterion} of the same patches in two manifests',
        [*explained(PATCHES, [criterion]), f'Each point is a patch: {some}.'],
    ).put(figure)
    axis = figure.subplots()
    if len(own) > POINTS:
        chosen = np.random.default_rng(0).choice(len(own), POINTS, replace=False)
        own, other = own[chosen], other[chosen]
    axis.scatter(own, other, s=6, alpha=0.25, linewidths=0, color=COLOURS['Bottom'])
    axis.set(xlabel=f'{criterion}, {labels[0]}', ylabel=f'{criterion}, {labels[1]}', title=title)
    axis.ticklabel_format(scilimits=(-1, 4))
    tidy(axis)
    save_figure(figure, path)
