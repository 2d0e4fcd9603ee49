"""Whether the first part of a ranking by drawn tiles would stay if others had been drawn."""

import numpy as np

DRAWS = 100


def overlap_of_draws(rounds: np.ndarray, size: int, generator: np.random.Generator) -> float:
    """The part of the first images of a ranking that is expected among the first of the ranking without chance.

    A score is the mean of its rounds, each by tiles drawn anew. A bootstrap (Efron, 1979) draws of every image as many
    rounds with replacement; how far its means lie from the scores, times sqrt(R / (R - 1)) because R rounds lie closer
    to their own mean than to the true one, is as far as the scores lie from those of all tiles.

    Args:
        rounds: (R, N), R at least 2, the higher the better.
        size: of the first part.
        generator: that draws.

    Returns:
        In [0, 1]; the mean of 100 draws.
    """
    number, images = rounds.shape
    scores = rounds.mean(0)
    first = _first(scores, size)
    widened = np.sqrt(number / (number - 1))
    common = 0
    for _ in range(DRAWS):
        drawn = np.take_along_axis(rounds, generator.integers(number, size=(number, images)), 0).mean(0)
        common += int(np.count_nonzero(first & _first(scores + widened * (drawn - scores), size)))
    return common / (DRAWS * size)


def _first(scores: np.ndarray, size: int) -> np.ndarray:
    chosen = np.zeros(len(scores), dtype=bool)
    chosen[np.argpartition(-scores, size - 1)[:size]] = True
    return chosen
