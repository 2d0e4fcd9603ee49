"""The degradation of Real-ESRGAN (Wang et al., "Real-ESRGAN", ICCV workshops 2021, Sec. 3), on the CPU.

Two rounds of blur, resizing, noise and JPEG, after the second of which the image has the size of the input, with a last
sinc filter before or behind that JPEG. Images are H x W x 3, RGB, float32, [0, 1]; everything random comes from the
generator that is handed in.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from basicsr.data.degradations import add_jpg_compression
from torch.nn.functional import interpolate

from basicsr_ext.images.pixels import as_array, as_tensor, rgb_to_grey, swap_order, to_8bit, to_unit

MODES = ('area', 'bilinear', 'bicubic')  # of resizing, equally likely

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Round:
    """What one round draws from; pairs of numbers are the ends of uniform distributions.

    Attributes:
        blur_prob: that the image is blurred.
        resize_probs: weights of enlarging, of reducing and of neither.
        resize_range: smallest and largest factor.
        gaussian_prob: that the noise is Gaussian; else it is Poisson's.
        sigma_range: standard deviation of Gaussian noise in 8-bit levels.
        poisson_range: factors of Poisson noise.
        grey_prob: that the channels have the same noise.
        quality_range: of JPEG, rounded down to whole numbers.
    """

    blur_prob: float
    resize_probs: tuple[float, ...]
    resize_range: Bounds
    gaussian_prob: float
    sigma_range: Bounds
    poisson_range: Bounds
    grey_prob: float
    quality_range: Bounds


@dataclass(frozen=True)
class Kernels:
    """The filters of a sample, each k x k with an odd k, float32.

    Attributes:
        first, second: the blur of each round.
        last: the sinc filter at the end.
    """

    first: np.ndarray
    second: np.ndarray
    last: np.ndarray


def degrade(
    image: np.ndarray, kernels: Kernels, rounds: tuple[Round, Round], scale: int, rng: np.random.Generator
) -> np.ndarray:
    """Degrade a clean image.

    Args:
        image: its sides are multiples of the scale.
        kernels: the filters.
        rounds: what both rounds draw from.
        scale: by which the result is smaller.
        rng: source of everything random.

    Returns:
        (H / scale) x (W / scale) x 3, rounded to 8 bits.
    """
    whole = image.shape[0], image.shape[1]
    small = whole[0] // scale, whole[1] // scale
    first, second = rounds
    image = _spoil(image, kernels.first, first, whole, rng)
    image = _compress(image, first, rng)
    image = _spoil(image, kernels.second, second, small, rng)
    if rng.random() < 0.5:
        image = _compress(_finish(image, kernels.last, small, rng), second, rng)
    else:
        image = _finish(_compress(image, second, rng), kernels.last, small, rng)
    return to_unit(to_8bit(image))


def _spoil(
    image: np.ndarray, kernel: np.ndarray, drawn: Round, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Blur, resize to a factor of a size, add noise."""
    if rng.random() < drawn.blur_prob:
        image = blur(image, kernel)
    factor = draw_factor(drawn, rng)
    height, width = (max(1, int(side * factor)) for side in size)
    return add_noise(resize(image, (height, width), draw_mode(rng)), drawn, rng)


def _compress(image: np.ndarray, drawn: Round, rng: np.random.Generator) -> np.ndarray:
    return compress(image, rng.uniform(*drawn.quality_range))


def _finish(image: np.ndarray, kernel: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return blur(resize(image, size, draw_mode(rng)), kernel)


def blur(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate with a kernel; the border is mirrored without repeating the edge pixel."""
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def draw_factor(drawn: Round, rng: np.random.Generator) -> float:
    """The factor of a resizing: from 1 to the largest, from the smallest to 1, or 1."""
    low, high = drawn.resize_range
    weights = np.asarray(drawn.resize_probs)
    ends = ((1, high), (low, 1), (1, 1))[rng.choice(3, p=weights / weights.sum())]
    return float(rng.uniform(*ends))


def draw_mode(rng: np.random.Generator) -> str:
    """One of `MODES`."""
    return MODES[rng.integers(len(MODES))]


def resize(image: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """PyTorch's interpolation, without antialiasing, to height and width; `area` is the mean of areas."""
    resized = interpolate(as_tensor(image)[None], size, mode=mode)[0]
    return np.ascontiguousarray(as_array(resized))


def add_noise(image: np.ndarray, drawn: Round, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian or Poisson noise, in colour or grey, and clip."""
    is_gaussian, is_grey = rng.random(2) < (drawn.gaussian_prob, drawn.grey_prob)
    if is_gaussian:
        noise = gaussian_noise(image, rng.uniform(*drawn.sigma_range), is_grey, rng)
    else:
        noise = poisson_noise(image, rng.uniform(*drawn.poisson_range), is_grey, rng)
    return np.clip(image + noise, 0, 1)


def gaussian_noise(image: np.ndarray, sigma: float, is_grey: bool, rng: np.random.Generator) -> np.ndarray:
    """White Gaussian noise for an image.

    Args:
        image: whose shape it has.
        sigma: in 8-bit levels.
        is_grey: give H x W x 1, for all channels.
        rng: source of the noise.
    """
    shape = (*image.shape[:2], 1) if is_grey else image.shape
    return rng.standard_normal(shape, np.float32) * np.float32(sigma / 255)


def poisson_noise(image: np.ndarray, factor: float, is_grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Shot noise as BasicSR counts it: of 2^n photons at white, n the bits that the levels of the image need.

    Args:
        image: clean; it is rounded to 8 bits first.
        factor: of the noise.
        is_grey: give that of the grey image, H x W x 1, for all channels.
        rng: source of the noise.
    """
    levels = to_8bit(rgb_to_grey(image)[..., None] if is_grey else image)
    photons = 2.0 ** np.ceil(np.log2(np.count_nonzero(np.bincount(levels.ravel()))))
    clean = levels / 255
    return ((rng.poisson(clean * photons) / photons - clean) * factor).astype(np.float32)


def compress(image: np.ndarray, quality: float) -> np.ndarray:
    """JPEG by OpenCV, whose colours have half the resolution, as BasicSR calls it."""
    return np.ascontiguousarray(swap_order(add_jpg_compression(np.ascontiguousarray(swap_order(image)), quality)))
