"""A few of many things, evenly spread over them all."""

import numpy as np


def spread(number: int, count: int) -> list[int]:
    """The indices of at most `number` of `count` things: the beginnings of equal parts."""
    number = min(number, count)
    return [place * count // number for place in range(number)]


def spread_to_ends(number: int, count: int) -> list[int]:
    """The indices of at most `number` of `count` things, the first and the last among them; one alone is the first."""
    places: list[int] = np.linspace(0, count - 1, min(number, count)).round().astype(int).tolist()
    return places
