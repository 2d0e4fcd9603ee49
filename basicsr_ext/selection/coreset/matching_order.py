"""Images chosen together so that their mean gradient matches the target's.

Near are GradMatch (Killamsetty et al., "GRAD-MATCH", ICML 2021), which matches with weights and without curvature, and
herding (Welling, ICML 2009), whose greedy rule it shares.
"""

import numpy as np

from basicsr_ext.selection.coreset.orders import Pool, order
from basicsr_ext.selection.coreset.prediction import Objective, Total

LEAST = 1e-9  # of the objective's magnitude, that a swap has to gain
SWEEPS = 50


@order('matching')
def matching(pool: Pool) -> np.ndarray:
    """Choose K images with the least second-order prediction of the target's loss: greedily, then by swaps while they
    help. Beyond K, and among the K, the order is greedy, so that the first images of it are a choice too.

    Where groups count, they take turns, and a swap stays in its group. The guard `norm` lets no mean norm of the chosen
    features fall below the pool's: images of small gradients cancel cheaply and teach nothing.

    Returns:
        (n,), all rows.
    """
    search = _Search(pool)
    chosen = search.swap(search.extend([], np.arange(len(pool)), pool.size))
    nested = search.extend([], np.array(chosen), len(chosen))
    return np.array(search.extend(nested, np.arange(len(pool)), len(pool)))


class _Search:
    def __init__(self, pool: Pool) -> None:
        self.pool, self.features = pool, pool.features
        self.objective = Objective(pool.features)
        self.norms = np.linalg.norm(pool.features.images, axis=1)
        self.least = self.norms.mean() if pool.guard == 'norm' else 0.0
        self.groups = None if pool.groups is None else np.asarray(pool.groups)

    def extend(self, chosen: list[int], among: np.ndarray, size: int) -> list[int]:
        """Add the rows among some that lower the prediction most, one after the other, until there are `size`."""
        chosen, free = list(chosen), np.zeros(len(self.pool), dtype=bool)
        free[among] = True
        free[chosen] = False
        total = Total.of(self.features, chosen)
        while len(chosen) < size:
            candidates = self._allowed(self._of_next_group(free, chosen), self.norms[chosen].sum(), len(chosen) + 1)
            if len(chosen) >= self.pool.size:
                total.curvature = None  # beyond K the pool's curvature is good enough
            values = self.objective.values(total, len(chosen) + 1, candidates)
            best = int(candidates[values.argmin()])
            chosen.append(best)
            free[best] = False
            self._add(total, best)
        return chosen

    def swap(self, chosen: list[int]) -> list[int]:
        """Exchange one row for another as long as that lowers the prediction."""
        chosen, free = list(chosen), np.ones(len(self.pool), dtype=bool)
        free[chosen] = False
        total = Total.of(self.features, chosen)
        value = float(self.objective.values(total, len(chosen))[0])
        for _ in range(SWEEPS):
            before = value
            for place, row in enumerate(chosen):
                self._add(total, row, -1)
                rest = self.norms[chosen].sum() - self.norms[row]
                candidates = self._allowed(self._like(row, free), rest, len(chosen), strict=True)
                best, least = row, value
                if len(candidates):
                    values = self.objective.values(total, len(chosen), candidates)
                    best, least = int(candidates[values.argmin()]), float(values.min())
                if least < value - LEAST * abs(value):
                    free[row], free[best] = True, False
                    chosen[place], value = best, least
                self._add(total, chosen[place])
            if value == before:
                break
        return chosen

    def _add(self, total: Total, row: int, sign: int = 1) -> None:
        total.mean = total.mean + sign * self.features.images[row]
        if total.curvature is not None and self.features.curvature is not None:
            total.curvature = total.curvature + sign * self.features.curvature.images[row]

    def _allowed(self, candidates: np.ndarray, rest: float, size: int, strict: bool = False) -> np.ndarray:
        """The candidates with which the guard holds; if there are none, the ones of the largest norm."""
        if self.pool.guard == 'none' or size > self.pool.size or not len(candidates):
            return candidates
        norms = self.norms[candidates]
        kept = candidates[rest + norms >= size * self.least]
        return kept if len(kept) or strict else candidates[[norms.argmax()]]

    def _of_next_group(self, free: np.ndarray, chosen: list[int]) -> np.ndarray:
        rows = np.flatnonzero(free)
        if self.groups is None:
            return rows
        names, taken = np.unique(self.groups), self.groups[chosen]
        open_names = [name for name in names if (self.groups[rows] == name).any()]
        name = min(open_names, key=lambda name: int((taken == name).sum()))
        return rows[self.groups[rows] == name]

    def _like(self, row: int, free: np.ndarray) -> np.ndarray:
        return np.flatnonzero(free if self.groups is None else free & (self.groups == self.groups[row]))
