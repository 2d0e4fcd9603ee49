"""The picture of where a network stopped."""

import os

import numpy as np
from torch import Tensor

from basicsr_ext.images.file_io import LEVELS
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.inference.settings import InferenceSettings
from basicsr_ext.runtime.figures import Caption, save_figure

OPACITY = 0.4
LONGEST = 1500  # pixels of a side that are shown
LEGEND_ENTRY = 2.2  # inches
SCORES = {  # what they are, of those in `EXIT_SCORES`
    'sharpness': 'sharpness (MGVG of its grey image in 8-bit levels, no unit; higher is sharper)',
    'mean_gradient': 'mean gradient (8-bit levels per pixel; higher is sharper)',
    'noise': 'noise (standard deviation in 8-bit levels; fine texture counts too)',
    'change': 'PSNR to what the exit before gave (dB; higher where a further exit changes little)',
}


def exit_shares(grid: RegionGrid, exits: Tensor, branches: int) -> list[float]:
    """The share of the area that each exit restored, 1 to `branches`; where regions overlap, half of it is theirs.

    Args:
        grid: regions of an image.
        exits: rows x columns.
        branches: exits that the network has.
    """
    rows, columns = (np.diff(side.borders()) / side.length for side in (grid.rows, grid.columns))
    areas, depths = np.outer(rows, columns), exits.numpy()
    return [float(areas[depths == branch].sum()) for branch in range(1, branches + 1)]


def rule_in_words(settings: InferenceSettings, last: int) -> str:
    """How regions leave the network, in one sentence.

    Args:
        settings: that the image was restored with.
        last: the exit for regions that do not leave before.
    """
    rule = settings.adaptive
    if rule is None:
        return f'All regions leave at exit {last}.'
    if rule.budget is not None:
        by = [rule.score_name] if rule.forecast is None else rule.forecast.scores
        return (
            f'The regions that {", ".join(by)} say to have most to gain go on until {rule.budget:.4g} of the '
            f'cost of the full network is used, to exit {last} at most.'
        )
    threshold = {
        None: f'the threshold {rule.threshold:.4g}',
        'previous': f'{rule.threshold:.4g} times that at the exit before',
        'input': f'{rule.threshold:.4g} times that of the input',
    }[rule.relative]
    score = SCORES.get(rule.score_name, f'score {rule.score_name}')
    return f'Each region leaves at the first exit whose {score} is {rule.side} {threshold}; else at exit {last}.'


def draw_exit_map(
    image: np.ndarray,
    grid: RegionGrid,
    exits: Tensor,
    branches: int,
    path: str | os.PathLike[str],
    cost: float | None = None,
    rule: str = '',
) -> None:
    """Save an image under the colours of the exits of its regions, with the share of the area of each exit.

    Where regions overlap, the border is drawn in the middle.

    Args:
        image: restored, H x W grey, H x W x 3 RGB or H x W x 4 RGB and alpha, which is not shown; uint8 or uint16.
        grid: its regions.
        exits: rows x columns, 1 to `branches`.
        branches: exits that the network has.
        path: the PNG file.
        cost: MACs of the image, in parts of those of the full network on the whole image, if it is known.
        rule: how regions leave, of `rule_in_words`.
    """
    from matplotlib import colormaps  # here, because registering a model shall not import it
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    height, width = image.shape[:2]
    step = max(1, -(-max(height, width) // LONGEST))
    pixels = image[::step, ::step, :3] if image.ndim == 3 else image[::step, ::step]
    colours = colormaps['viridis'](np.linspace(0, 1, branches))

    factor = 7 / max(height, width)
    figure = Figure(figsize=(max(factor * width, 5.5) + 0.3, factor * height + 1.9), layout='constrained')
    price = '' if cost is None else f', at {cost:.0%} of the cost of the full network'
    notes = [rule] if rule else []
    if cost is not None:
        notes.append('Cost: MACs, overlaps of regions and images at exits passed included, against one whole image.')
    shown = f'Whole image, {height} x {width} pixels (height x width), {len(exits)} x {len(exits[0])} regions.'
    Caption(f'Where regions leave the network{price}', [*notes, shown]).put(figure)
    axis = figure.subplots()
    axis.imshow(pixels / LEVELS[image.dtype.name], cmap='gray', vmin=0, vmax=1, extent=(0, width, height, 0))
    norm = BoundaryNorm(np.arange(branches + 1) + 0.5, branches)
    colormap, (xs, ys) = ListedColormap(colours), (side.borders() for side in (grid.columns, grid.rows))
    axis.pcolormesh(xs, ys, exits.numpy(), cmap=colormap, norm=norm, alpha=OPACITY, edgecolors='white', linewidth=0.5)
    axis.axis('off')
    shares = exit_shares(grid, exits, branches)
    handles = [
        Patch(color=colour, label=f'exit {branch}: {share:.0%} of the area')
        for branch, (colour, share) in enumerate(zip(colours, shares, strict=True), 1)
    ]
    columns = max(1, int(figure.get_figwidth() / LEGEND_ENTRY))
    axis.legend(
        handles=handles, loc='upper center', bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False, fontsize='small'
    )
    save_figure(figure, path)
