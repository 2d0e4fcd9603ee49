"""Copies are found in whatever form, and nothing else."""

import cv2
import numpy as np
import pytest

from basicsr_ext.selection.audit import neighbours
from basicsr_ext.selection.audit.measured_image import MeasuredImage
from basicsr_ext.selection.audit.neighbours import nearest, orientations
from tests.helpers.images import photo

WAYS = [lambda image, turns=turns, flip=flip: np.rot90(image[:, ::-1] if flip else image, turns) for turns in range(4) for flip in (0, 1)]  # fmt: skip  # noqa: E501


def describe(image: np.ndarray) -> np.ndarray:
    return MeasuredImage(np.ascontiguousarray(image)).description


def descriptions(number: int, seed: int = 0) -> np.ndarray:
    return np.stack([describe(photo(seed + each, 64, 80)) for each in range(number)])


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def test_a_description_is_that_of_the_dct_of_the_thumbnail() -> None:
    """Of an image of 256 x 256, whose thumbnail has the means of 8 x 8 pixels."""
    image = photo(1, 256, 256)
    thumbnail = np.rint(image.reshape(32, 8, 32, 8).mean((1, 3)))
    at, number = np.arange(32), np.arange(8)
    basis = np.cos(np.pi * number[:, None] * (2 * at + 1) / 64) * np.where(number, 2, 2**0.5)[:, None] / 8
    expected = basis @ thumbnail @ basis.T * np.hypot(number[:, None], number)
    expected *= 1000 / np.linalg.norm(expected)
    assert np.abs(describe(image) - expected).max() < 5 and (describe(image) % 1 == 0).all()


def test_orientations_are_those_of_the_turned_pictures() -> None:
    image = photo(2, 96, 96)
    found = [each[0] for each in orientations(describe(image)[None])]
    for way in WAYS:
        assert max(correlation(describe(way(image)), each) for each in found) > 0.999
    assert len({each.tobytes() for each in found}) == 8


@pytest.mark.parametrize('block', [3, 1024])
@pytest.mark.parametrize('has_others', [False, True])
def test_the_nearest_equals_a_plain_loop(block: int, has_others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, 'BLOCK', block)
    own, others = descriptions(10), descriptions(7, seed=50) if has_others else None
    found = nearest(own, others)
    for row, one in enumerate(own):
        compared = own[:row] if others is None else others
        values = [max(correlation(one, each[0]) for each in orientations(other[None])) for other in compared]
        if values:
            assert found.place[row] == int(np.argmax(values))
            assert found.distance[row] == pytest.approx(1 - max(values), abs=1e-6)
        else:
            assert found.place[row] == -1 and found.distance[row] == 1


@pytest.mark.parametrize('way', range(8))
def test_copies_in_all_orientations_are_near(way: int) -> None:
    """Compressed and reduced, too."""
    image = photo(3, 120, 160)
    turned = np.ascontiguousarray(WAYS[way](image))
    small = cv2.resize(turned, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    again = cv2.imdecode(cv2.imencode('.jpg', small, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE)
    every = np.stack([describe(image), *descriptions(5, seed=90), describe(again)])
    found = nearest(every)
    assert found.place[-1] == 0 and found.distance[-1] < 0.03
    assert found.distance[:-1].min() > 0.1


def test_blank_images_are_copies_of_nothing() -> None:
    blank = np.stack([describe(np.full((40, 40), level, np.uint8)) for level in (0, 0, 200)])
    assert not blank.any() and (nearest(blank).distance == 1).all()
    assert (nearest(blank, blank[:0]).place == -1).all()
