"""Which checkpoint is the best one so far."""

from collections.abc import Mapping
from math import isnan
from typing import Any

from basicsr_ext.training.validation import Scores


def best_score(metrics: dict[str, Any], results: Mapping[str, Scores], current_iter: int) -> dict[str, Any] | None:
    """The value that decides: the first metric of `val.metrics`, averaged over the images of the first dataset.

    Returns:
        `dataset`, `metric`, `value`, `better` (higher or lower) and `iter`; None where nothing was measured.
    """
    for dataset, scores in results.items():
        measured = {metric: value for metric, value in scores.means.items() if metric in metrics}  # not what it cost
        for metric, value in measured.items():
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
