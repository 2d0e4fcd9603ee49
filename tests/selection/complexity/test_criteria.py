"""The complexity of an image against plain loops and another library."""

import numpy as np
import pytest
from skimage.measure import shannon_entropy

from basicsr_ext.images.pixels import bgr_to_grey, levels_to_8bit
from basicsr_ext.selection.complexity.criteria import CRITERIA, entropy, gradient, std
from basicsr_ext.selection.patches.criteria import PatchGrid, PatchImage, grad_mag
from tests.helpers.criteria import plain_complexity


def test_known_values() -> None:
    constant, ramp = np.full((7, 5), 93, np.uint8), np.arange(256, dtype=np.uint8).reshape(8, 32)
    assert [criterion(constant) for criterion in CRITERIA.values()] == [0, 0, 0]
    assert entropy(ramp) == 8 and entropy(np.tile(ramp, (3, 2))) == 8
    halves = np.repeat(np.array([[0, 200]], np.uint8), 6, axis=0)
    assert entropy(halves) == 1 and std(halves) == 100 and gradient(halves) == 100
    assert std(ramp) == pytest.approx(np.sqrt((256**2 - 1) / 12))
    assert gradient(np.arange(10, dtype=np.uint8)[None]) == pytest.approx(0.9)


@pytest.mark.parametrize('name', CRITERIA)
def test_measures_equal_plain_loops(name: str) -> None:
    rng = np.random.default_rng(0)
    for size, top in (((9, 13), 256), ((1, 1), 256), ((1, 8), 30), ((31, 2), 5), ((40, 40), 256)):
        grey = rng.integers(0, top, size, np.uint8)
        assert CRITERIA[name](grey) == pytest.approx(plain_complexity(name, grey), rel=1e-6, abs=1e-12)


def test_entropy_is_that_of_scikit_image() -> None:
    grey = np.random.default_rng(1).integers(20, 90, (50, 70), np.uint8)
    assert entropy(grey) == pytest.approx(shannon_entropy(grey), rel=1e-12)


def test_the_gradient_is_that_of_patches() -> None:
    grey = np.random.default_rng(2).integers(0, 256, (24, 24), np.uint8)
    patch = PatchImage(grey[..., None], PatchGrid(24, 24, 24, 24))
    assert gradient(grey) == pytest.approx(255 * grad_mag(patch)[0], rel=1e-6)


def test_8_bit_levels_are_rounded_and_clipped() -> None:
    values = np.array([-3.2, 0.49, 0.51, 254.6, 255.4, 300], np.float32)
    assert levels_to_8bit(values).tolist() == [0, 0, 1, 255, 255, 255] and levels_to_8bit(values).dtype == np.uint8
    image = np.random.default_rng(3).integers(0, 256, (5, 6, 3), np.uint8)
    b, g, r = np.moveaxis(image.astype(float), 2, 0)
    assert np.abs(bgr_to_grey(image) - (0.299 * r + 0.587 * g + 0.114 * b)).max() <= 0.51
    assert (bgr_to_grey(image[..., :1]) == image[..., 0]).all()
