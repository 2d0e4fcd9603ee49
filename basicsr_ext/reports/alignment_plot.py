"""The picture of an alignment: densities and quantiles before and after, against the target."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from basicsr_ext.alignment.comparison import kernel_density, quantiles
from basicsr_ext.runtime.figures import Caption, save_figure, tidy

COLOURS = {'full': 'tab:blue', 'subset': 'tab:orange', 'tuned': 'tab:green'}  # as in Fig. 12 of TripleD


def draw_alignment(samples: Mapping[str, np.ndarray], axis_label: str, path: str | os.PathLike[str]) -> None:
    """Save the densities of three samples, and quantiles of two against those of the first (TripleD, Fig. 12).

    Args:
        samples: `full`, `subset` and `tuned`, (n,) each.
        axis_label: what the samples are.
        path: the PNG file.
    """
    figure = Figure(figsize=(11, 5.2), layout='constrained')
    Caption(
        'How far the tuned images follow the distribution of the full set',
        [
            'full: all images, the aim; subset: the images before tuning; tuned: the same afterwards. The closer tuned '
            'comes to full (left) and to the line (right), the better. No unit.',
            f'Measured: the {axis_label}.',
        ],
    ).put(figure)
    left, right = figure.subplots(1, 2)
    every = np.concatenate(list(samples.values()))
    low, high = np.quantile(every, [0.001, 0.999])
    grid = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), 256)
    for name, sample in samples.items():
        density = kernel_density(sample, grid)
        left.plot(grid, density, color=COLOURS[name], label=name)
        left.fill_between(grid, density, color=COLOURS[name], alpha=0.15)
    left.set(xlabel=f'{axis_label} [no unit]', ylabel='density', title='Kernel densities', ylim=(0, None))
    left.legend(frameon=False)

    reference = quantiles(samples['full'])
    right.plot(reference, reference, color='0.6', linewidth=1, label='equal')
    for name in ('subset', 'tuned'):
        right.plot(reference, quantiles(samples[name]), '.', color=COLOURS[name], markersize=4, label=name)
    right.set(
        xlabel='quantiles of full [no unit]',
        ylabel='quantiles of subset and tuned [no unit]',
        title='Quantiles from 0.5 % to 99.5 %',
    )
    right.legend(frameon=False)
    tidy(left, right, grid=True)
    save_figure(figure, path)
