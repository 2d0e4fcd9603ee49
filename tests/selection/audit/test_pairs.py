"""What an audit measures of a pair of files."""

import cv2
import numpy as np
import pytest

from basicsr_ext.selection.audit.measured_image import MeasuredImage
from basicsr_ext.selection.audit.measured_pair import MeasuredPair
from basicsr_ext.selection.audit.pair_finding import gain, misfit, offset, partner
from basicsr_ext.selection.audit.shift_finding import displacement, shift
from tests.helpers.images import photo


def pair(lq: np.ndarray, gt: np.ndarray, scale: int = 1) -> MeasuredPair:
    as_8bit = np.ascontiguousarray(np.rint(lq).clip(0, 255).astype(np.uint8))
    return MeasuredPair(as_8bit, MeasuredImage(np.ascontiguousarray(gt)), scale)


def noisy(image: np.ndarray, sigma: float = 10) -> np.ndarray:
    return image + np.random.default_rng(5).normal(0, sigma, image.shape)


def moved(image: np.ndarray, down: float, right: float) -> np.ndarray:
    """By the Fourier theorem, in a circle."""
    rows, columns = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * (rows * down + columns * right))).real


@pytest.mark.parametrize('place', [(0, 0), (1, 0), (0, -2), (0.5, 0.25), (-1.3, 2.6), (7, -9)])
def test_a_displacement_is_found_to_a_tenth_of_a_pixel(place: tuple[float, float]) -> None:
    image = photo(1, 200, 240)
    found = displacement(pair(noisy(moved(image, *place)), image))
    assert found == pytest.approx(place, abs=0.1)
    assert shift(pair(noisy(moved(image, *place)), image)) == pytest.approx(np.hypot(*place), abs=0.15)


def test_a_reduced_input_is_in_register_with_its_clean_image() -> None:
    image = photo(2, 300, 400)
    small = cv2.resize(image, (200, 150), interpolation=cv2.INTER_AREA)
    assert shift(pair(noisy(small, 3), image, scale=2)) < 0.1
    assert shift(pair(noisy(moved(small, 1, 0), 3), image, scale=2)) == pytest.approx(1, abs=0.1)


def test_blur_alone_is_no_shift() -> None:
    image = photo(3, 200, 200)
    assert shift(pair(cv2.GaussianBlur(image, (0, 0), 2), image)) < 0.1


def test_what_has_nothing_in_common_has_no_shift() -> None:
    image, other, blank = photo(4, 200, 200), photo(5, 200, 200), np.full((200, 200), 90, np.uint8)
    assert all(np.isnan(shift(pair(lq, image))) for lq in (other, blank, image[:10]))


@pytest.mark.parametrize(('slope', 'rise'), [(1, 0), (0.7, 0), (1, 20), (0.6, -15)])
def test_gain_and_offset_are_those_of_a_line(slope: float, rise: float) -> None:
    """Whatever happened to a part of the picture."""
    image = photo(6, 160, 160, contrast=25)
    centre = image.mean()
    lq = centre + slope * (image - centre) + rise
    lq[60:70, :40] = 250
    found = pair(noisy(lq, 5), image)
    assert gain(found) == pytest.approx(slope, abs=0.03) and offset(found) == pytest.approx(rise, abs=1.5)


def test_a_partner_is_alike_and_another_picture_is_not() -> None:
    image, other = photo(7), photo(8)
    assert partner(pair(image, image)) == pytest.approx(1) and partner(pair(noisy(image, 25), image)) > 0.9
    assert partner(pair(other, image)) < 0.7
    assert np.isnan(gain(pair(255 - image, image))) and np.isnan(partner(pair(np.zeros((20, 20)), image)))


@pytest.mark.parametrize(
    ('lq', 'scale', 'expected'),
    [
        ((96, 128), 1, 0), ((48, 64), 2, 0), ((32, 42), 3, 0),
        ((96, 127), 1, 1), ((32, 41), 3, 5), ((99, 128), 1, 3), ((24, 64), 2, 48),
    ],
)  # fmt: skip
def test_a_misfit_is_counted_in_pixels_of_the_clean_image(lq: tuple[int, int], scale: int, expected: int) -> None:
    """A rest that BasicSR cuts off is none: 128 = 3 x 42 + 2."""
    assert misfit(pair(np.zeros(lq), photo(9), scale)) == expected


def test_a_pair_of_another_size_is_compared_all_the_same() -> None:
    image = photo(10, 200, 220)
    lq = cv2.resize(image, (180, 190), interpolation=cv2.INTER_AREA)
    found = pair(lq, image)
    assert misfit(found) == 40 and shift(found) < 0.1 and partner(found) > 0.99
