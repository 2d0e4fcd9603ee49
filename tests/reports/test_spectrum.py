"""The spectrum as a picture, and its means inside and outside the centre square."""

import cmath
import math

import numpy as np
import pytest

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.reports.spectrum import centre_square, hfapi, lfapi, spectrum_picture


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def wave(height: int, width: int, vertical: int, horizontal: int) -> np.ndarray:
    """A sinusoid of so many periods down and across, around the mean 1/2."""
    y, x = np.mgrid[:height, :width]
    return 0.5 + 0.4 * np.cos(2 * np.pi * (vertical * y / height + horizontal * x / width))


def plain_picture(image: np.ndarray) -> np.ndarray:
    """Sums over pixels, one a frequency."""
    height, width = image.shape
    logs = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            v, u = row - height // 2, column - width // 2
            total = sum(
                255 * image[y, x] * cmath.exp(-2j * math.pi * (v * y / height + u * x / width))
                for y in range(height)
                for x in range(width)
            )
            logs[row, column] = math.log(1 + abs(total))
    return (logs - logs.min()) / (logs.max() - logs.min())


@pytest.mark.parametrize('shape', [(8, 8), (7, 10), (1, 5)])
def test_picture_equals_plain_sums(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    np.testing.assert_allclose(spectrum_picture(image), plain_picture(image), atol=1e-10)


@pytest.mark.parametrize('shape', [(20, 30), (21, 31)])
def test_picture_is_stretched_and_has_the_mean_at_its_centre(shape: tuple[int, int]) -> None:
    picture = spectrum_picture(noise(*shape).astype(np.float32))
    assert picture.dtype == np.float64
    assert (picture.min(), picture.max()) == (0, 1)
    assert picture[shape[0] // 2, shape[1] // 2] == 1


def test_picture_of_a_constant_image() -> None:
    picture = spectrum_picture(np.full((20, 30), 0.5))
    assert picture[10, 15] == 1
    assert picture.sum() == pytest.approx(1, abs=1e-9)
    assert hfapi(picture) == pytest.approx(0, abs=1e-12)
    assert lfapi(picture) == pytest.approx(1 / 600)


def test_picture_of_a_black_image_is_zero() -> None:
    assert not spectrum_picture(np.zeros((20, 30))).any()


@pytest.mark.parametrize('shape', [(40, 60), (41, 33)])
def test_both_parts_add_up_to_the_mean(shape: tuple[int, int]) -> None:
    for side in (0, 0.2, 0.5, 1):
        picture = spectrum_picture(noise(*shape))
        assert hfapi(picture, side) + lfapi(picture, side) == pytest.approx(picture.mean(), rel=1e-12)


def test_the_whole_square_and_the_empty_one() -> None:
    picture = spectrum_picture(noise(40, 60))
    assert hfapi(picture, 1) == 0
    assert lfapi(picture, 0) == pytest.approx(1 / picture.size)  # the frequency 0 alone


@pytest.mark.parametrize('shape', [(40, 60), (180, 180), (41, 33), (321, 481), (3, 4)])
def test_centre_square_equals_a_loop_over_frequencies(shape: tuple[int, int]) -> None:
    for side in (0, 0.1, 0.2, 0.3, 1):
        tenths = round(10 * side)
        inside = [[20 * abs(k - n // 2) <= tenths * n for k in range(n)] for n in shape]
        expected = np.array(inside[0])[:, None] & np.array(inside[1])
        np.testing.assert_array_equal(centre_square(*shape, side=side), expected)


def test_centre_square_holds_a_frequency_and_its_negative() -> None:
    square = centre_square(180, 321)
    np.testing.assert_array_equal(np.flatnonzero(square.any(1)), np.arange(90 - 18, 90 + 19))
    np.testing.assert_array_equal(np.flatnonzero(square.any(0)), np.arange(160 - 32, 160 + 33))


@pytest.mark.parametrize(
    'vertical, horizontal, inside',
    [(8, 0, True), (9, 0, False), (0, 6, True), (0, 7, False), (8, 6, True), (8, 7, False)],
)
def test_a_wave_is_inside_or_outside_the_centre(vertical: int, horizontal: int, inside: bool) -> None:
    """0.2 of 80 x 60 reaches up to 8 periods down and 6 across."""
    picture = spectrum_picture(wave(80, 60, vertical, horizontal))
    mean, peaks = 255 * 0.5 * 4800, 255 * 0.2 * 4800  # magnitudes at the frequency 0, and at the wave's two
    both = 2 * math.log1p(peaks) / math.log1p(mean)
    assert hfapi(picture) == pytest.approx(0 if inside else both / 4800, abs=1e-9)
    assert lfapi(picture) == pytest.approx((1 + inside * both) / 4800, abs=1e-9)


def test_more_detail_raises_hfapi() -> None:
    smooth = wave(80, 60, 2, 1)
    values = [hfapi(spectrum_picture(smooth + amount * noise(80, 60))) for amount in (0, 0.01, 0.1)]
    assert values == sorted(values)
    assert values[2] > values[1] + 0.05 > values[0] + 0.1


@pytest.mark.parametrize('shape', [(4, 4, 3), (4,), (0, 4)])
def test_only_grey_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r'spectrum: expected a grey image \(H, W\), got \(.*\)\. Convert it'):
        spectrum_picture(np.zeros(shape))


@pytest.mark.parametrize('side', [-0.1, 1.1, math.nan])
def test_sides_that_are_none(side: float) -> None:
    with pytest.raises(OptionError, match='side: expected a number between 0 and 1, got'):
        centre_square(4, 4, side)
