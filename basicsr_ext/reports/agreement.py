"""How well predicted values agree with labels: coefficients, a table, a picture."""

import csv
import os
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from basicsr_ext.runtime.figures import save_figure, tidy
from basicsr_ext.runtime.files import atomic_open

WORST = 5  # predictions that a picture names


def shares(labels: np.ndarray, predictions: np.ndarray) -> dict[str, np.ndarray]:
    """The share of each item in the coefficients, which are the means over the items.

    Pearson's coefficient is the mean of the products of both columns' standard scores, Spearman's that of the products
    of their ranks' standard scores, so that an item that is judged wrong has a small or negative share. Where a column
    is constant both are 0.

    Args:
        labels, predictions: (n,).

    Returns:
        `spearman`, `pearson` and `mse`, each (n,).
    """
    ranks = rankdata(labels), rankdata(predictions)
    return {
        'spearman': _standard_scores(ranks[0]) * _standard_scores(ranks[1]),
        'pearson': _standard_scores(labels) * _standard_scores(predictions),
        'mse': (predictions - labels) ** 2,
    }


def _standard_scores(values: np.ndarray) -> np.ndarray:
    deviations = values - values.mean()
    spread = deviations.std()
    return deviations / spread if spread > 0 else np.zeros_like(deviations)


def write_table(
    names: Sequence[str], labels: np.ndarray, predictions: np.ndarray, path: str | os.PathLike[str]
) -> None:
    """Write `path,label,prediction` as CSV, the largest error first; as a file of labels it can be revised and read."""
    with atomic_open(path, 'w') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['path', 'label', 'prediction'])
        for index in np.argsort(-abs(predictions - labels), kind='stable').tolist():
            table.writerow([names[index], f'{labels[index]:.6f}', f'{predictions[index]:.6f}'])


def draw_agreement(
    names: Sequence[str],
    labels: np.ndarray,
    predictions: np.ndarray,
    coefficients: Mapping[str, float],
    path: str | os.PathLike[str],
) -> None:
    """Save predictions over labels, the worst few named.

    Args:
        names: of the items.
        labels, predictions: (n,), [0, 1].
        coefficients: by name, for the title.
        path: the PNG file.
    """
    from matplotlib.figure import Figure  # here, because registering a model shall not import it

    figure = Figure(figsize=(5.2, 5.4), layout='constrained')
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color='0.7', linewidth=1)
    axis.plot(labels, predictions, '.', color='#0072b2', alpha=0.7)
    for index in np.argsort(-abs(predictions - labels), kind='stable')[:WORST].tolist():
        axis.annotate(names[index], (labels[index], predictions[index]), fontsize='x-small', color='#d55e00')
    axis.set(
        xlabel='label [no unit]', ylabel='prediction [no unit]', xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect='equal'
    )
    axis.set_title(', '.join(f'{name} {value:.4g}' for name, value in coefficients.items()), fontsize='medium')
    tidy(axis)
    save_figure(figure, path)
