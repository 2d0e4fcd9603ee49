"""Criteria of patches against a plain loop over the patches, and their known values."""

import numpy as np
import pytest

from basicsr_ext.selection.patches.criteria import CRITERIA, PatchGrid, PatchImage, grad, std
from tests.helpers.criteria import PLAIN, Patch, plain_freq


def noise(height: int, width: int, channels: int, kind: str = 'uint8') -> np.ndarray:
    values = np.random.default_rng(height * width + channels).integers(0, 256, (height, width, channels))
    return values.astype(np.uint8) if kind == 'uint8' else (values * 0.97 + 0.3).astype(np.float32)


def patches_of(image: np.ndarray, grid: PatchGrid) -> list[Patch]:
    corners = zip(*(side.tolist() for side in grid.corners()), strict=True)
    return [image[y : y + grid.size, x : x + grid.size].astype(np.float64) / 255 for y, x in corners]


def values(name: str, image: np.ndarray, size: int | None = None) -> np.ndarray:
    """A criterion of the patches side by side; of the whole square image by default."""
    height, width = image.shape[:2]
    size = size or height
    return CRITERIA[name](PatchImage(image, PatchGrid(height, width, size, size)))


def compare(name: str, image: np.ndarray, grid: PatchGrid) -> None:
    found = CRITERIA[name](PatchImage(image, grid))
    expected = [PLAIN[name](patch) for patch in patches_of(image, grid)]
    assert found.dtype == np.float64 and found.shape == (len(grid),)
    # The variance of values that are no whole numbers is a small difference of large sums.
    rounding = 1e-6 if name == 'std' and image.dtype == np.float32 else 1e-15
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=rounding)


# ---- the grid ----


def test_the_grid_of_the_paper() -> None:
    grid = PatchGrid(1356, 2040, 96, 120)
    assert len(grid) == 187
    y, x = grid.corners()
    assert list(zip(y, x, strict=True)) == [(120 * row, 120 * column) for row in range(11) for column in range(17)]


@pytest.mark.parametrize('edge', [False, True])
@pytest.mark.parametrize(('size', 'stride'), [(1, 1), (3, 2), (8, 8), (8, 11), (20, 3)])
def test_the_grid_holds_what_fits(size: int, stride: int, edge: bool) -> None:
    for side in range(20, 32):
        fitting = [start for start in range(0, side, stride) if start + size <= side]
        rest = [side - size] if edge and fitting[-1] + size != side else []
        grid = PatchGrid(side, 20, size, stride, edge)
        assert grid.ys.tolist() == fitting + rest
        assert grid.xs.tolist() == PatchGrid(20, side, size, stride, edge).ys.tolist()
        assert len(grid) == len(grid.ys) * len(grid.xs) == len(grid.corners()[0])


@pytest.mark.parametrize('edge', [False, True])
def test_an_image_smaller_than_a_patch_has_none(edge: bool) -> None:
    assert len(PatchGrid(7, 30, 8, 4, edge)) == len(PatchGrid(30, 7, 8, 4, edge)) == 0


# ---- against the plain loop ----


@pytest.mark.parametrize(('channels', 'kind'), [(1, 'uint8'), (3, 'float32')])
@pytest.mark.parametrize('name', CRITERIA)
def test_equals_the_loop(name: str, channels: int, kind: str) -> None:
    for edge in (False, True):
        for size, stride in [(1, 1), (1, 5), (2, 1), (2, 3), (7, 7), (7, 3), (8, 11), (12, 12), (16, 4)]:
            compare(name, noise(37, 30, channels, kind), PatchGrid(37, 30, size, stride, edge))


@pytest.mark.parametrize('kind', ['uint8', 'float32'])
@pytest.mark.parametrize('name', CRITERIA)
def test_the_whole_image_is_a_patch(name: str, kind: str) -> None:
    compare(name, noise(41, 41, 3, kind), PatchGrid(41, 41, 41, 120))


@pytest.mark.parametrize('name', CRITERIA)
def test_tall_patches_add_up_exactly(name: str) -> None:
    """More rows than squares of 8-bit values that float32 adds without rounding, all of them extreme."""
    image = np.zeros((600, 600, 1), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    image[300:, :300] = 254
    compare(name, image, PatchGrid(600, 600, 599, 1))


@pytest.mark.parametrize('name', CRITERIA)
def test_low_contrast_in_float32(name: str) -> None:
    """What a mean filter leaves of a sky: the mean is 400 times the deviation."""
    image = (200 + 0.5 * np.random.default_rng(0).standard_normal((100, 110, 3))).astype(np.float32)
    compare(name, image, PatchGrid(100, 110, 96, 2))


@pytest.mark.parametrize('name', CRITERIA)
def test_the_order_of_the_channels_does_not_matter(name: str) -> None:
    image = noise(30, 30, 3)
    np.testing.assert_allclose(values(name, image, 10), values(name, image[..., ::-1].copy(), 10), rtol=1e-12)


# ---- known values ----


@pytest.mark.parametrize('name', CRITERIA)
def test_a_constant_is_zero(name: str) -> None:
    for level in (0, 77, 255, np.float32(100.3)):
        image = np.full((50, 60, 3), level, np.float32 if isinstance(level, np.floating) else np.uint8)
        np.testing.assert_allclose(values(name, image, 24), 0, atol=1e-12)


@pytest.mark.parametrize('slope', [1, 2])
@pytest.mark.parametrize('transposed', [False, True])
def test_a_ramp(slope: int, transposed: bool) -> None:
    """Eq. 5 of a ramp: slope squared in 95 of 96 columns; its magnitude likewise."""
    ramp = np.broadcast_to(np.arange(96, dtype=np.uint8) * slope, (96, 96))
    image = np.ascontiguousarray(ramp.T if transposed else ramp)[..., None]
    assert values('grad', image) == pytest.approx((slope / 255) ** 2 * 95 / 96, rel=1e-15)
    assert values('grad_mag', image) == pytest.approx(slope / 255 * 95 / 96, rel=1e-13)
    assert values('std', image) == pytest.approx(slope / 255 * np.sqrt((96**2 - 1) / 12), rel=1e-14)


def test_a_diagonal_ramp() -> None:
    """Both differences are 1 inside, one of them in the last row and column, none in the corner."""
    image = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)[..., None]
    inside, sides = 95**2, 2 * 95
    assert values('grad', image) == pytest.approx((2 * inside + sides) / (96 * 255) ** 2, rel=1e-15)
    assert values('grad_mag', image) == pytest.approx((np.sqrt(2) * inside + sides) / (96**2 * 255), rel=1e-13)


def test_half_black_half_white() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    image[:, 48:] = 255
    assert values('std', image) == 0.5
    assert values('grad', image) == pytest.approx(1 / 96, rel=1e-15)


def test_channels_are_compared_for_std_alone() -> None:
    image = np.zeros((8, 8, 2), np.uint8)
    image[..., 1] = 255
    patches = PatchImage(image, PatchGrid(8, 8, 8, 8))
    assert std(patches) == 0.5 and grad(patches) == 0


@pytest.mark.parametrize('channels', [1, 3])
def test_parseval(channels: int) -> None:
    """The bins that count and all others together hold the sum of squares."""
    for size in (1, 2, 5, 8, 95, 96):
        image = noise(size, size, channels)
        (patch,) = patches_of(image, PatchGrid(size, size, size, size))
        total = values('freq', image)[0] + plain_freq(patch, above=False)
        assert total == pytest.approx((patch**2).mean(), rel=1e-12)


@pytest.mark.parametrize('size', [16, 18])
def test_a_cosine_counts_from_half_pi_on(size: int) -> None:
    """In both directions; of 16 pixels, k = 4 is a frequency of exactly pi / 2."""
    for vertical in range(10):
        for horizontal in range(10):
            phases = [2 * np.pi * k * np.arange(size) / size for k in (vertical, horizontal)]
            wave = np.multiply.outer(*map(np.cos, phases))
            counts = all(min(k, size - k) * 4 >= size for k in (vertical, horizontal))
            expected = (wave**2).mean() if counts else 0
            image = (wave * 255).astype(np.float32)[..., None]
            assert values('freq', image) == pytest.approx(expected, rel=1e-6, abs=1e-13)


@pytest.mark.parametrize('name', CRITERIA)
def test_patches_do_not_see_each_other(name: str) -> None:
    image = noise(32, 48, 3)
    before = values(name, image, 16)
    image[16:, 16:32] = 0
    after = values(name, image, 16)
    assert after[4] == pytest.approx(0, abs=1e-12) and before[4] > 0.01
    np.testing.assert_allclose(np.delete(after, 4), np.delete(before, 4), rtol=1e-12)
