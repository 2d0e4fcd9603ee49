"""The ranks of scores, and one ranking of several."""

from collections.abc import Mapping, Sequence

import numpy as np


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """The ranks of scores: 1 for the largest, n for the smallest; equal scores keep their order.

    Args:
        scores: (n,).
    """
    return ranks_of_order(np.argsort(-scores, kind='stable'))


def ranks_of_order(rows: np.ndarray) -> np.ndarray:
    """The rank of each row, (n,), from 1 for the first of an order of all rows."""
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[rows] = np.arange(1, len(rows) + 1)
    return ranks


def mean_rank_score(rankings: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over rankings of (n - rank) / (n - 1): 1 for an item that is first in all of them, 0 for the last one.

    Args:
        rankings: each (n,), ranks from 1.
    """
    last = max(len(rankings[0]) - 1, 1)
    return np.mean([(len(ranks) - ranks) / last for ranks in rankings], axis=0)


def score_columns(
    method: str, scores: Mapping[str, np.ndarray], dampings: Sequence[float]
) -> dict[str, Sequence[float] | Sequence[int]]:
    """The columns of a manifest: `<method>` and `rank`, then those of each level and damping where there are several.

    Args:
        method: name of the score.
        scores: level -> (n, dampings); with several levels the first damping of each is combined by mean rank.
        dampings: relative dampings, named in the columns.
    """
    parts: dict[str, np.ndarray] = {}
    for level, values in scores.items():
        prefix = f'_{level}' if len(scores) > 1 else ''
        if prefix:
            parts[prefix] = values[:, 0]
        if values.shape[1] > 1:
            parts.update({f'{prefix}_damping_{d:g}': values[:, i] for i, d in enumerate(dampings)})
    firsts = [values[:, 0] for values in scores.values()]
    main = firsts[0] if len(firsts) == 1 else mean_rank_score([ranks_of(first) for first in firsts])
    columns: dict[str, Sequence[float] | Sequence[int]] = {method: main.tolist(), 'rank': ranks_of(main).tolist()}
    for name, values in parts.items():
        columns[f'{method}{name}'], columns[f'rank{name}'] = values.tolist(), ranks_of(values).tolist()
    return columns
