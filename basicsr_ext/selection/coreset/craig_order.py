"""Images of which every other one is like some."""

import heapq

import numpy as np

from basicsr_ext.selection.coreset.orders import Pool, in_turn, order


@order('craig')
def craig(pool: Pool) -> np.ndarray:
    """Cover the pool: the greedy choice by facility location (Mirzasoleiman et al., "CRAIG", ICML 2020, Algorithm 1),
    with Minoux' lazy evaluation. The similarity of two images is the largest distance of any less theirs.

    Readings chosen: the weights that CRAIG gives the chosen images are left out, since all sets train alike; after the
    first K images the others follow by what each alone would add.
    """
    features = pool.features.images
    squares = (features**2).sum(1)
    largest = 2 * np.sqrt(squares.max())  # no distance is larger

    def similarity(row: int) -> np.ndarray:
        distances: np.ndarray = squares + squares[row] - 2 * features @ features[row]
        return largest - np.sqrt(np.maximum(distances, 0))

    covered = np.zeros(len(pool))
    waiting = [(-similarity(row).sum(), row, 0) for row in range(len(pool))]
    heapq.heapify(waiting)
    rows: list[int] = []
    while waiting and len(rows) < pool.size:
        _, row, known = heapq.heappop(waiting)
        if known == len(rows):
            rows.append(row)
            covered = np.maximum(covered, similarity(row))
        else:
            gain = np.maximum(similarity(row) - covered, 0).sum()
            heapq.heappush(waiting, (-gain, row, len(rows)))
    rest = [row for _, row, _ in sorted(waiting)]
    return in_turn(np.array([*rows, *rest]), pool.groups)
