"""An image that is measured: what several measures need of it, computed once."""

from functools import cache, cached_property
from itertools import product

import cv2
import numpy as np
import scipy.fft

TILE, TILES = 64, 4  # side of a tile in pixels; tiles along a side of the image, at most
GRID = 8  # tiles start at multiples of it, where blocks of JPEG do
LEAST = 16  # a shorter side is too small for tiles
THUMBNAIL, LOW = 32, 8  # sides of the thumbnail and of the part of its DCT that is looked at
PLACES = 128  # along a side, that the thumbnail is made of
SCALE = 1000  # length of the vector that describes a thumbnail
FAINT = 32.0  # length, before it is scaled, below which a thumbnail is blank


class MeasuredImage:
    """A grey image.

    Measures of detail look at 16 tiles of 64 x 64 pixels, spread evenly, or at all of an image that is smaller: what
    they cost does not grow with the image.

    Args:
        grey: (H, W), uint8.
    """

    def __init__(self, grey: np.ndarray) -> None:
        self.grey = grey

    @cached_property
    def tiles(self) -> np.ndarray:
        """Square parts of the image, (n, side, side), uint8; the side is a multiple of 16; none of a tiny image."""
        side = min(TILE, min(self.grey.shape) // LEAST * LEAST)
        if not side:
            return np.empty((0, LEAST, LEAST), np.uint8)
        ys, xs = (_starts(length, side) for length in self.grey.shape)
        tiles = np.empty((len(ys) * len(xs), side, side), self.grey.dtype)
        for tile, (y, x) in zip(tiles, product(ys, xs), strict=True):
            tile[:] = self.grey[y : y + side, x : x + side]
        return tiles

    @cached_property
    def spectra(self) -> np.ndarray:
        """The Fourier transforms of the tiles under a Hann window, (n, side, side / 2 + 1).

        The window is the periodic one, so that the means of the tiles stay within one place of frequency 0.
        """
        spectra: np.ndarray = scipy.fft.rfft2(self.tiles * _window(self.tiles.shape[1]))
        return spectra

    @cached_property
    def rings(self) -> np.ndarray:
        """Mean power of the tiles on rings of equal width, the last at 1.4 times the Nyquist frequency, (rings,)."""
        side = self.tiles.shape[1]
        parts = self.spectra.view(np.float32).reshape(len(self.spectra), -1)
        power = np.einsum('ni,ni->i', parts, parts).reshape(side, -1, 2).sum(2) / len(self.spectra)
        ring, weight = _ring_of(side)
        return np.bincount(ring, weight * power.ravel())

    @cached_property
    def thumbnail(self) -> np.ndarray:
        """The image at 32 x 32 pixels, float32, each the mean of 16 places of the image, which is several times as fast
        as that of all."""
        places = cv2.resize(self.grey, (PLACES, PLACES), interpolation=cv2.INTER_LINEAR)
        small = cv2.resize(places, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32)

    @cached_property
    def description(self) -> np.ndarray:
        """The picture in 64 whole numbers, whose scalar products compare images; zeros of a blank image.

        They are the lowest 8 x 8 coefficients of the DCT of the thumbnail, (8, 8), without the mean, weighted by their
        frequency, as those of photographs fall with it, and scaled to length 1000. Brightness and contrast change
        nothing, nor does another size; mirroring changes signs (`selection.audit.neighbours`). Whole numbers add up
        exactly in any order, so that results do not depend on the machine.
        """
        coefficients = cv2.dct(self.thumbnail)[:LOW, :LOW] * _frequency(LOW)
        length = float(np.linalg.norm(coefficients))
        if length < FAINT:
            return np.zeros((LOW, LOW))
        return np.rint(coefficients.astype(np.float64) * (SCALE / length))


def _starts(length: int, side: int) -> list[int]:
    number = min(TILES, -(-length // side))
    return [(length - side) * place // max(number - 1, 1) // GRID * GRID for place in range(number)]


@cache
def _window(side: int) -> np.ndarray:
    hann = np.hanning(side + 1)[:-1].astype(np.float32)
    return hann[:, None] * hann


@cache
def _frequency(side: int) -> np.ndarray:
    number = np.arange(side)
    return np.hypot(number[:, None], number).astype(np.float32)


@cache
def _ring_of(side: int) -> tuple[np.ndarray, np.ndarray]:
    """The ring of each frequency of a tile, and its part of the ring's mean, where it may stand for two; flat."""
    rows, columns = np.abs(np.fft.fftfreq(side)), np.fft.rfftfreq(side)
    ring = (2 * np.hypot(rows[:, None], columns) * (side // 4) + 1e-9).astype(int)
    weight = np.ones(ring.shape)
    weight[:, 1:-1] = 2
    ring, weight = ring.ravel(), weight.ravel()
    return ring, weight / np.bincount(ring, weight)[ring]
