"""The nearest picture of each: copies within a set, and images of one set in another."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BLOCK = 1024  # images that are compared with as many others at a time


@dataclass(frozen=True)
class Nearest:
    """The nearest other picture of each of n.

    Attributes:
        distance: 1 less the correlation of the descriptions: 0 of a copy, 1 of pictures that have nothing in common; 1
            where there is no other, and of blank ones; (n,).
        place: of the other picture, (n,); -1 where there is none.
    """

    distance: np.ndarray
    place: np.ndarray


def orientations(descriptions: np.ndarray) -> Iterator[np.ndarray]:
    """The descriptions of the pictures as they are, mirrored and turned, in all eight ways.

    To mirror a picture changes the sign of every odd coefficient of its DCT in that direction, to transpose it
    transposes them.

    Args:
        descriptions: as `MeasuredImage.description`, (n, 8, 8).
    """
    signs = np.where(np.arange(descriptions.shape[1]) % 2, -1, 1)
    for turned in (descriptions, descriptions.swapaxes(1, 2)):
        for rows in (1, signs[:, None]):
            for columns in (1, signs):
                yield turned * rows * columns


def nearest(descriptions: np.ndarray, others: np.ndarray | None = None) -> Nearest:
    """The nearest of other pictures in whatever orientation; of several that are as near, the first.

    In blocks of scalar products: 100,000 images take minutes, and 100 MB.

    Args:
        descriptions: (n, 8, 8).
        others: (m, 8, 8); None compares the pictures with those that stand before them.
    """
    own, turned = (
        _flat(descriptions),
        [_flat(each) for each in orientations(descriptions if others is None else others)],
    )
    count = len(turned[0])
    best, place = np.full(len(own), -np.inf, np.float32), np.full(len(own), -1)
    for start in range(0, len(own), BLOCK):
        rows = slice(start, start + BLOCK)
        last = count if others is not None else min(start + BLOCK, count)
        for first in range(0, last, BLOCK):
            columns = slice(first, first + BLOCK)
            products = np.max([own[rows] @ each[columns].T for each in turned], axis=0)
            if others is None and first == start:
                products[np.triu_indices(len(products))] = -np.inf  # itself and those that come later
            found = products.argmax(1)
            value = products[np.arange(len(products)), found]
            better = value > best[rows]
            best[rows][better] = value[better]
            place[rows][better] = first + found[better]
    return Nearest(_distance(own, turned[0], best, place), place)


def _flat(descriptions: np.ndarray) -> np.ndarray:
    number, rows, columns = descriptions.shape
    return np.ascontiguousarray(descriptions.reshape(number, rows * columns), np.float32)


def _distance(own: np.ndarray, others: np.ndarray, products: np.ndarray, place: np.ndarray) -> np.ndarray:
    """1 less the correlation, of scalar products; 1 where there is no other or one of both is blank."""
    lengths = [np.sqrt((each.astype(np.float64) ** 2).sum(1)) for each in (own, others)]
    both = lengths[0] * (lengths[1][place] if len(others) else 0)
    known = (place >= 0) & (both > 0)
    distance = np.ones(len(own))
    distance[known] = np.maximum(1 - products[known].astype(np.float64) / both[known], 0)
    return distance
