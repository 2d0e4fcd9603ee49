"""Which checkpoint is the best one so far."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.training.validation import Scores


@dataclass(frozen=True)
class BestOptions:
    """What chooses the best checkpoint: the mean of a metric over the images of a validation set.

    Attributes:
        dataset: name of the set, as in `datasets.val_2.name`; None takes the first one that is measured.
        metric: name of a metric in `val.metrics`; None takes the first one.
    """

    dataset: str | None = None
    metric: str | None = None

    def check(self, datasets: Sequence[str], metrics: Collection[str]) -> None:
        """Demand that there are the set and the metric.

        Args:
            datasets: names of the validation sets.
            metrics: what is measured on them.

        Raises:
            OptionError: there is none of this name, or nothing is measured.
        """
        for key, asked, known, kind in (
            ('dataset', self.dataset, datasets, 'the name of a validation set'),
            ('metric', self.metric, metrics, 'a metric of val.metrics'),
        ):
            if not known:
                raise OptionError('val.best', f'{kind} to choose by', 'none', 'Add one, or remove val.best.')
            if asked is not None and asked not in known:
                raise OptionError(f'val.best.{key}', kind, shown(asked), nearest(asked, known))


def best_score(
    metrics: Mapping[str, Any], results: Mapping[str, Scores], current_iter: int, chosen: BestOptions
) -> dict[str, Any] | None:
    """The value that decides: a metric of `val.metrics`, averaged over the images of a dataset.

    Args:
        metrics: name -> block with `better`.
        results: name of a dataset -> what its validation found.
        current_iter: iteration.
        chosen: the dataset and the metric; the first ones where it names none.

    Returns:
        `dataset`, `metric`, `value`, `better` (higher or lower) and `iter`; None where nothing was measured.
    """
    for dataset, scores in results.items():
        if chosen.dataset not in (None, dataset):
            continue
        measured = {metric: value for metric, value in scores.means.items() if metric in metrics}  # not what it cost
        for metric, value in measured.items():
            if chosen.metric not in (None, metric):
                continue
            better = metrics[metric].get('better', 'higher')
            return {'dataset': dataset, 'metric': metric, 'value': value, 'better': better, 'iter': current_iter}
    return None


def is_better(score: dict[str, Any], best: dict[str, Any] | None) -> bool:
    """Whether a score beats the best one so far; an equal one does not, nor NaN, which in turn every number beats.

    The best one of another metric or dataset, which the options of an earlier run named, is none.
    """
    if isnan(score['value']):
        return False
    if best is None or isnan(best['value']) or any(best[key] != score[key] for key in ('dataset', 'metric', 'better')):
        return True
    higher: bool = score['value'] > best['value']
    lower: bool = score['value'] < best['value']
    return higher if score['better'] == 'higher' else lower


def save_networks(model: Any, label: str) -> None:
    """Write `net_g_<label>.pth` as the model's own `save` writes `net_g`."""
    if hasattr(model, 'net_g_ema'):
        model.save_network([model.net_g, model.net_g_ema], 'net_g', label, param_key=['params', 'params_ema'])
    else:
        model.save_network(model.net_g, 'net_g', label)
