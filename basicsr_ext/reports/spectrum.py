"""How much detail an image has: its spectrum as a picture, inside and outside the centre."""

import numpy as np

from basicsr_ext.errors import DataError, OptionError

CENTRE = 0.2  # side of the centre square, relative to the sides of the picture


def spectrum_picture(image: np.ndarray) -> np.ndarray:
    """The centred logarithmic magnitude of the Fourier transform, stretched to [0, 1].

    S = (L - min L) / (max L - min L) with L = log(1 + |fftshift(fft2(255 image))|); the frequency 0 is at row H // 2,
    column W // 2. S of a constant image is 1 there and 0 elsewhere (up to rounding), that of a black one is 0.

    After Fig. 6 and Table 6 of the influence paper, which tells neither the scale of the magnitudes nor the size of
    the centre. Reading chosen, with `CENTRE`: 8-bit levels, and stretched as a picture is for display. The means over
    the 400 images of BSD400 are then 0.38 (`hfapi`) and 0.024 (`lfapi`), beside the paper's 0.36 to 0.39 and 0.024 to
    0.028 for its subsets; an image in [0, 1] instead would have 0.19 and 0.017.

    Args:
        image: (H, W), grey, [0, 1].

    Returns:
        (H, W) float64, [0, 1].

    Raises:
        DataError: not an image of one channel.
    """
    if image.ndim != 2 or not image.size:
        raise DataError('spectrum', 'a grey image (H, W)', image.shape, 'Convert it first.')
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(255 * image.astype(np.float64))))
    logarithm = np.log1p(magnitude)
    logarithm -= logarithm.min()
    largest = logarithm.max()
    return logarithm / largest if largest > 0 else logarithm


def centre_square(height: int, width: int, side: float = CENTRE) -> np.ndarray:
    """The square of frequencies up to side / 2 cycles per pixel: `side` of each side, rounded to an odd number.

    Args:
        height, width: of the picture.
        side: between 0 (the frequency 0 alone) and 1 (everything).

    Returns:
        (height, width) bool.

    Raises:
        OptionError: a side outside [0, 1].
    """
    if not 0 <= side <= 1:
        raise OptionError('side', 'a number between 0 and 1', side, 'Correct the value.')
    rows, columns = (np.abs(np.arange(n) - n // 2) / n <= side / 2 for n in (height, width))
    return np.outer(rows, columns)


def hfapi(spectrum: np.ndarray, side: float = CENTRE) -> float:
    """High frequency average pixel intensity: the mean over the whole picture, its centre square set to 0.

    `hfapi` + `lfapi` is the mean of the picture.

    Args:
        spectrum: of `spectrum_picture`.
        side: of the centre square, relative to the sides of the picture.
    """
    return float(np.where(_centre(spectrum, side), 0, spectrum).mean())


def lfapi(spectrum: np.ndarray, side: float = CENTRE) -> float:
    """Low frequency average pixel intensity: the mean over the whole picture, all but its centre square set to 0.

    Args:
        spectrum: of `spectrum_picture`.
        side: of the centre square, relative to the sides of the picture.
    """
    return float(np.where(_centre(spectrum, side), spectrum, 0).mean())


def _centre(spectrum: np.ndarray, side: float) -> np.ndarray:
    height, width = spectrum.shape
    return centre_square(height, width, side)
