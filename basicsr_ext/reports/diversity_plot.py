"""The picture of diversity: how the distances of pairs are distributed."""

import os
from collections.abc import Mapping

from matplotlib.figure import Figure

from basicsr_ext.alignment.diversity import SIDE, Diversity, cumulative
from basicsr_ext.runtime.figures import Caption, save_figure, tidy

TITLES = {
    'ped': 'Euclidean distance of embeddings (PED)',
    'pfd': 'Distance of their directions (PFD)',
    'pixels': 'Euclidean distance of pixels',
}
NOTES = (
    "PED: Euclidean distance of two images' mean features of the encoder; larger means less alike; from 0, no unit.",
    'PFD: the same of mean features brought to length 1; larger means less alike; 0 to 2, no unit.',
    f'Pixels: Euclidean distance of two images brought to {SIDE} x {SIDE} pixels of 3 colours in [0, 1]; larger means '
    f'less alike; 0 to {(3 * SIDE * SIDE) ** 0.5:.0f}, no unit.',
    'A curve further to the right is a more diverse set. Each set is told with the number of pairs that were compared.',
)


def draw_diversity(sets: Mapping[str, Diversity], path: str | os.PathLike[str]) -> None:
    """Save the distribution functions of the distances in several datasets (TripleD, Fig. 5).

    A curve further to the right is a more diverse dataset.

    Args:
        sets: by their names in the legend.
        path: the PNG file.
    """
    figure = Figure(figsize=(14, 5.2), layout='constrained')
    Caption('How different the images of each set are from each other', NOTES).put(figure)
    for axis, (kind, title) in zip(figure.subplots(1, len(TITLES)), TITLES.items(), strict=True):
        for number, (name, found) in enumerate(sets.items()):
            distances, parts = cumulative(getattr(found, kind))
            style = {'linestyle': ('-', '-', '--')[number % 3], 'color': f'C{number}'}
            axis.step([0, *distances], [0, *parts], where='post', label=f'{name}, {len(distances)} pairs', **style)
        axis.set(
            title=title,
            xlabel='distance [no unit]',
            ylabel='part of the pairs that are at most so far apart',
            xlim=(0, None),
            ylim=(0, 1),
        )
        axis.legend(frameon=False, fontsize='small')
    tidy(*figure.axes, grid=True)
    save_figure(figure, path)
