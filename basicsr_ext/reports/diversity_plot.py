"""The picture of diversity: how the distances of pairs are distributed."""

import os
from collections.abc import Mapping

from matplotlib.figure import Figure

from basicsr_ext.alignment.diversity import Diversity, cumulative
from basicsr_ext.runtime.figures import save_figure, tidy


def draw_diversity(sets: Mapping[str, Diversity], path: str | os.PathLike[str]) -> None:
    """Save the distribution functions of both distances of several datasets (TripleD, Fig. 5).

    A curve further to the right is a more diverse dataset.

    Args:
        sets: by their names in the legend.
        path: the PNG file.
    """
    figure = Figure(figsize=(11, 4.5), layout='constrained')
    titles = {'pixels': 'Pairwise Euclidean distance (PED)', 'features': 'Pairwise feature distance (PFD)'}
    for axis, (kind, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for number, (name, found) in enumerate(sets.items()):
            distances, parts = cumulative(getattr(found, kind))
            style = {'linestyle': ('-', '-', '--')[number % 3], 'color': f'C{number}'}
            axis.step([0, *distances], [0, *parts], where='post', label=f'{name}, {len(distances)} pairs', **style)
        axis.set(title=title, xlabel='distance', ylabel='part of the pairs', xlim=(0, None), ylim=(0, 1))
        axis.legend(frameon=False, fontsize='small')
    tidy(*figure.axes, grid=True)
    save_figure(figure, path)
