"""The picture of where a network stopped."""

import os

import numpy as np
from torch import Tensor

from basicsr_ext.images.file_io import LEVELS
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.runtime.figures import save_figure

OPACITY = 0.4
LONGEST = 1500  # pixels of a side that are shown
LEGEND_ENTRY = 1.6  # inches


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


def draw_exit_map(
    image: np.ndarray, grid: RegionGrid, exits: Tensor, branches: int, path: str | os.PathLike[str]
) -> None:
    """Save an image under the colours of the exits of its regions, with the share of the area of each exit.

    Where regions overlap, the border is drawn in the middle.

    Args:
        image: restored, H x W grey, H x W x 3 RGB or H x W x 4 RGB and alpha, which is not shown; uint8 or uint16.
        grid: its regions.
        exits: rows x columns, 1 to `branches`.
        branches: exits that the network has.
        path: the PNG file.
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
    figure = Figure(figsize=(max(factor * width, 4) + 0.3, factor * height + 1), layout='constrained')
    axis = figure.subplots()
    axis.imshow(pixels / LEVELS[image.dtype.name], cmap='gray', vmin=0, vmax=1, extent=(0, width, height, 0))
    norm = BoundaryNorm(np.arange(branches + 1) + 0.5, branches)
    colormap, (xs, ys) = ListedColormap(colours), (side.borders() for side in (grid.columns, grid.rows))
    axis.pcolormesh(xs, ys, exits.numpy(), cmap=colormap, norm=norm, alpha=OPACITY, edgecolors='white', linewidth=0.5)
    axis.axis('off')
    shares = exit_shares(grid, exits, branches)
    handles = [
        Patch(color=colour, label=f'exit {branch}: {share:.0%}')
        for branch, (colour, share) in enumerate(zip(colours, shares, strict=True), 1)
    ]
    columns = max(1, int(figure.get_figwidth() / LEGEND_ENTRY))
    figure.legend(handles=handles, loc='outside lower center', ncols=columns, frameon=False)
    save_figure(figure, path)
