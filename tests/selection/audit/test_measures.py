"""What an audit measures of an image: known values, plain formulas, and more of it where there is more."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from basicsr_ext.selection.audit.blockiness_finding import blockiness
from basicsr_ext.selection.audit.clipping_finding import clipping, flatness
from basicsr_ext.selection.audit.cutoff_finding import cutoff
from basicsr_ext.selection.audit.findings import FINDINGS
from basicsr_ext.selection.audit.measured_image import MeasuredImage
from basicsr_ext.selection.audit.noise_finding import noise
from basicsr_ext.selection.audit.outliers import distances, features
from tests.helpers.images import photo

RNG = np.random.default_rng(0)


def measured(image: np.ndarray) -> MeasuredImage:
    return MeasuredImage(np.rint(image).clip(0, 255).astype(np.uint8))


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    return image + np.random.default_rng(5).normal(0, sigma, image.shape)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


# ---- tiles ----


@pytest.mark.parametrize('shape', [(16, 40), (64, 64), (70, 150), (300, 1000)])
def test_tiles_are_parts_of_the_image_that_reach_to_its_ends(shape: tuple[int, int]) -> None:
    places = (np.arange(shape[0])[:, None] * shape[1] + np.arange(shape[1])).astype(np.int64)
    image = MeasuredImage(np.zeros(shape, np.uint8))
    image.grey = places.astype(np.int64)
    side = image.tiles.shape[1]
    assert side == min(64, min(shape) // 16 * 16) and len(image.tiles) <= 16
    rows, columns = image.tiles // shape[1], image.tiles % shape[1]
    assert (np.diff(rows, axis=1) == 1).all() and (np.diff(columns, axis=2) == 1).all()
    assert set(rows[:, 0, 0] % 8) == {0} and set(columns[:, 0, 0] % 8) == {0}
    assert rows.min() == 0 and shape[0] - rows.max() <= 8 and columns.min() == 0 and shape[1] - columns.max() <= 8


def test_a_tiny_image_has_nothing_to_measure() -> None:
    image = measured(RNG.uniform(0, 255, (15, 200)))
    assert all(np.isnan(measure(image)) for measure in (noise, blockiness, cutoff)) and np.isnan(features(image)).all()
    assert clipping(image) >= 0 and flatness(image) >= 0 and image.description.shape == (8, 8)


# ---- noise ----


def plain_noise(image: MeasuredImage) -> float:
    """Loops over parts of 16 x 16 pixels of the tiles, and their Haar transforms of two levels."""
    fine, coarse = [], []
    for tile in image.tiles.astype(float):
        for y in range(0, len(tile), 16):
            for x in range(0, len(tile), 16):
                part = tile[y : y + 16, x : x + 16]
                if not 16 <= part[::4, ::4].mean() <= 239:
                    continue
                low = part
                for found in (fine, coarse):
                    a, b, c, d = low[::2, ::2], low[::2, 1::2], low[1::2, ::2], low[1::2, 1::2]
                    high = np.sort(np.abs(a - b - c + d).ravel() / 2)
                    found.append(high[len(high) // 2] / 0.6745)
                    low = (a + b + c + d) / 2
    lowest = [sorted(found)[int(0.02 * len(found))] for found in (fine, coarse)]
    return max(0, (3 * lowest[0] ** 2 - lowest[1] ** 2) / 2) ** 0.5


@pytest.mark.parametrize('sigma', [0, 4, 12])
def test_noise_equals_a_plain_loop(sigma: float) -> None:
    image = measured(noisy(photo(1, 200, 260), sigma))
    assert noise(image) == pytest.approx(plain_noise(image), rel=1e-9)


@pytest.mark.parametrize('sigma', [3, 10, 25])
def test_noise_is_its_standard_deviation(sigma: float) -> None:
    """A little below it, as it is that of the quietest parts."""
    found = noise(measured(noisy(np.full((256, 256), 120.0), sigma)))
    assert 0.7 * sigma < found < 1.05 * sigma


def test_neither_texture_nor_clipped_parts_are_noise() -> None:
    half = noisy(np.full((256, 256), 120.0), 10)
    half[:, :128] = 255
    assert noise(measured(half)) > 7
    assert noise(measured(photo(2, 256, 256))) < 3 < noise(measured(noisy(photo(2, 256, 256), 8)))


# ---- blocks ----


def plain_blockiness(image: MeasuredImage) -> float:
    excess = []
    for tiles in (image.tiles, image.tiles.swapaxes(1, 2)):
        steps = np.minimum(np.abs(np.diff(tiles.astype(float), axis=2)), 20)
        means = [steps[:, :, place::8].mean() for place in range(8)]
        others = [np.mean([mean for at, mean in enumerate(means) if at != place]) for place in range(8)]
        excess.append(max((mean - other) / (other + 1) for mean, other in zip(means, others, strict=True)))
    return sum(excess) / 2


@pytest.mark.parametrize('quality', [20, 95])
def test_blockiness_equals_a_plain_loop(quality: int) -> None:
    image = measured(compressed(photo(3, 150, 220), quality))
    assert blockiness(image) == pytest.approx(plain_blockiness(image), rel=1e-4)


def test_blockiness_of_blocks_alone_is_their_step() -> None:
    """Blocks of 8 x 8 in two levels: differences of 10 at their borders, none inside."""
    rows, columns = np.indices((64, 64)) // 8
    assert blockiness(measured(100 + 10 * ((rows + columns) % 2))) == pytest.approx(10)


def test_a_cut_out_has_the_blocks_of_its_jpeg() -> None:
    image = compressed(photo(4, 200, 200), 20)
    whole, part, sound = (blockiness(measured(each)) for each in (image, image[3:, 5:], photo(4, 200, 200)))
    assert part == pytest.approx(whole, rel=0.2) and part > 3 * sound


# ---- cut-off ----


@pytest.mark.parametrize('highest', [0.3, 0.5, 0.8])
def test_the_cutoff_of_a_picture_that_ends_at_a_frequency(highest: float) -> None:
    """98 % of it, to a ring of 1 / 16."""
    found = cutoff(measured(photo(5, 256, 256, highest, contrast=60)))
    assert found == pytest.approx(0.98 * highest, abs=0.0625)


def test_noise_does_not_hide_a_blur() -> None:
    blurred = cv2.GaussianBlur(photo(6, 256, 256).astype(np.float32), (0, 0), 1.5)
    assert cutoff(measured(noisy(blurred, 2))) < 0.66 < cutoff(measured(photo(6, 256, 256)))


def test_an_image_without_detail_has_no_cutoff() -> None:
    assert np.isnan(cutoff(measured(np.full((64, 64), 7))))


# ---- levels ----


def test_clipping_equals_a_plain_count() -> None:
    image = np.rint(photo(7, 120, 140).astype(float) * 1.8 - 40).clip(0, 255).astype(np.uint8)
    at_an_end = (image < 3) | (image > 252)
    around = ndimage.binary_erosion(at_an_end, np.ones((3, 3)), border_value=1)
    near = ((image >= 3) & (image < 51)) | ((image > 204) & (image <= 252))
    assert 0 < around.mean() < 1.5 * near.mean()
    assert clipping(MeasuredImage(image)) == pytest.approx(around.mean())


def test_a_drawing_on_white_is_not_clipped() -> None:
    image = np.full((100, 100), 255, np.uint8)
    image[40:60] = 90
    assert clipping(MeasuredImage(image)) == 0


def test_flatness_equals_a_plain_count() -> None:
    image = cv2.GaussianBlur(photo(8, 90, 110), (0, 0), 4)
    span = ndimage.maximum_filter(image, 3, mode='nearest').astype(int) - ndimage.minimum_filter(
        image, 3, mode='nearest'
    )
    assert 0 < (span <= 2).mean() < 1
    assert flatness(MeasuredImage(image)) == pytest.approx((span <= 2).mean())


# ---- more of it where there is more ----


@pytest.mark.parametrize(
    ('measure', 'spoil', 'levels'),
    [
        (noise, noisy, (0, 5, 10, 20)),
        (blockiness, compressed, (95, 50, 30, 10)),
        (cutoff, lambda image, sigma: cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma), (3, 2, 1, 0.5)),
        (clipping, lambda image, factor: image * factor, (1.0, 1.5, 2.0)),
        (flatness, lambda image, factor: 128 + (image - 128.0) * factor, (1, 0.1, 0.03, 0.01)),
    ],
)  # fmt: skip
def test_a_measure_rises_with_what_it_measures(measure, spoil, levels) -> None:  # type: ignore[no-untyped-def]
    values = [measure(measured(spoil(photo(9, 192, 256), level))) for level in levels]
    assert values == sorted(set(values))


def test_every_finding_has_a_limit_on_its_own_side_of_what_is_absent() -> None:
    """So that what cannot be measured is never suspect."""
    for finding in FINDINGS.values():
        if finding.side == 'high':
            assert finding.absent <= finding.limit
        elif finding.side == 'low':
            assert finding.absent >= finding.limit
        else:
            assert finding.limit > 0


# ---- outliers ----


def test_features_and_distances_are_those_of_plain_formulas() -> None:
    image = measured(photo(10, 64, 64))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    power = np.abs(np.fft.fft2((image.grey - image.grey.mean()) * np.outer(window, window))) ** 2
    rings = (2 * np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64))) * 16 + 1e-9).astype(int)
    expected = [image.grey.mean() / 255, np.log10(image.grey.std() + 1)]
    for low, high in ((1, 2), (2, 4), (4, 8), (8, 16)):
        expected.append(np.log10(np.mean([power[rings == ring].mean() for ring in range(low, high)]) + 1))
    np.testing.assert_allclose(features(image), expected, rtol=1e-4)


def test_the_distance_of_an_outlier_is_counted_in_spreads() -> None:
    table = np.array([[0.0, 5], [1, 5], [2, 5], [3, 5], [40, 5], [np.nan, np.nan]])
    # the shortest half of the first column is 0, 1, 2; of the second it has no width
    spread = 2 / (2 * 0.6745)
    expected = [abs(value - 1) / spread / 2**0.5 for value in (0, 1, 2, 3, 40)]
    found = distances(table)
    assert found[:5] == pytest.approx(expected) and np.isnan(found[5])
