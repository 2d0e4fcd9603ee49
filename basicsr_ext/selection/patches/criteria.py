"""What is measured on the patches of an image: Soh and Cho, "Training Patch Analysis and Mining Skills for Image
Restoration Deep Neural Networks", 2021, Eq. 5 and 6 and Sec. III.A.

Sums over patches are taken of maps of the whole image, without cutting it: first over the rows of each patch, then over
its columns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

MAX = 255.0  # criteria are those of an image in [0, 1]
EXACT_ROWS = 256  # so many squares of 8-bit differences add up in float32 without rounding


@dataclass(frozen=True)
class PatchGrid:
    """The patches of an image: floor((H - p) / s) + 1 times floor((W - p) / s) + 1 of them, row by row.

    Attributes:
        height, width: H and W of the image, at least p.
        size: p, side of the square patches in pixels.
        stride: s.
        edge: add the patches that touch the right and the lower side where the grid leaves a rest.
    """

    height: int
    width: int
    size: int
    stride: int
    edge: bool = False

    @property
    def ys(self) -> np.ndarray:
        """The top sides of the patches, ascending."""
        return _starts(self.height, self.size, self.stride, self.edge)

    @property
    def xs(self) -> np.ndarray:
        """The left sides of the patches, ascending."""
        return _starts(self.width, self.size, self.stride, self.edge)

    def __len__(self) -> int:
        return len(self.ys) * len(self.xs)

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """The corners of all patches: y and x."""
        return _corners(self)


# Images of a dataset have few sizes, so that what depends on the size alone is kept.
@lru_cache(16)
def _corners(grid: PatchGrid) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(grid.ys, len(grid.xs)), np.tile(grid.xs, len(grid.ys))


@lru_cache(256)
def _starts(length: int, size: int, stride: int, edge: bool) -> np.ndarray:
    starts = np.arange(0, length - size + 1, stride)
    rest = edge and len(starts) and starts[-1] + size < length
    return np.append(starts, length - size) if rest else starts


@lru_cache(256)
def _intervals(
    length: int, size: int, stride: int, edge: bool, first: int, extent: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a side where a part of a patch begins or ends: the cuts, and which of them are the ends of each part.

    Args:
        length, size, stride, edge: of the side and its patches.
        first, extent: of the part in the patch.
    """
    starts = _starts(length, size, stride, edge) + first
    steps = np.arange(starts[0], starts[-1] + extent, EXACT_ROWS)
    cuts = np.unique(np.concatenate([starts, starts + extent, steps]))
    return cuts, np.searchsorted(cuts, starts), np.searchsorted(cuts, starts + extent)


Rows = Callable[[slice], np.ndarray]  # of an image: some rows of a map of it, (rows, columns * C)


class PatchImage:
    """An image and the grid of its patches: sums over boxes that lie alike in every patch.

    Args:
        image: (H, W, C), any order of channels, uint8, or float32 on the same scale.
        grid: of its patches.
    """

    def __init__(self, image: np.ndarray, grid: PatchGrid) -> None:
        if image.dtype != np.uint8:
            image = image.astype(np.float64)
        self.image, self.grid = image, grid
        self.channels = image.shape[2]
        self.values = grid.size**2 * self.channels
        self.flat = image.reshape(image.shape[0], -1)

    def pixels(self, rows: slice) -> np.ndarray:
        """Rows of the image."""
        return self.flat[rows]

    def dx(self, rows: slice) -> np.ndarray:
        """Magnitude of the difference to the right, one column less than the image, in its type."""
        part = self.flat[rows]
        return cv2.absdiff(part[:, self.channels :], part[:, : -self.channels])

    def dy(self, rows: slice) -> np.ndarray:
        """Magnitude of the difference to the row below, which has to be there."""
        return cv2.absdiff(self.flat[rows.start + 1 : rows.stop + 1], self.flat[rows])

    def magnitude(self, rows: slice) -> np.ndarray:
        """Root of the squares of both, without the last column."""
        dx, dy = self.dx(rows).astype(np.float64), self.dy(rows)[:, : -self.channels].astype(np.float64)
        return np.sqrt(dx**2 + dy**2)

    def sums(
        self, values: Rows, height: int, width: int, top: int = 0, left: int = 0, squared: bool = False
    ) -> np.ndarray:
        """Sum of a map, or of its squares, over a box in every patch.

        Args:
            values: a map, such as `dx`; it is computed in strips that stay in the processor's cache.
            height, width: of the box in pixels, at least 1.
            top, left: of the box in the patch.
            squared: sum the squares.

        Returns:
            (number of patches,), float64; exact where the map is uint8.
        """
        grid, channels = self.grid, self.channels
        rows, y0, y1 = _intervals(grid.height, grid.size, grid.stride, grid.edge, top, height)
        columns, x0, x1 = _intervals(grid.width, grid.size, grid.stride, grid.edge, left, width)
        strips = np.concatenate([_over_rows(values(slice(*ends)), squared) for ends in pairwise(rows.tolist())])
        table = np.zeros((len(rows), len(columns)))
        inner = table[1:, 1:]
        used = strips[:, : columns[-1] * channels]
        np.add.reduceat(used, columns[:-1] * channels, axis=1, out=inner, dtype=np.float64)
        inner.cumsum(0, out=inner)
        inner.cumsum(1, out=inner)
        upper, lower = table[y0], table[y1]
        return (lower[:, x1] - lower[:, x0] - upper[:, x1] + upper[:, x0]).ravel()


def _over_rows(strip: np.ndarray, squared: bool) -> np.ndarray:
    """The sum of the rows of a strip, (1, columns); in 8 bits so as to be exact and several times as fast."""
    is_8bit = strip.dtype == np.uint8
    if squared:
        strip = np.square(strip, dtype=np.uint16 if is_8bit else None)
    return cv2.reduce(strip, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32F if is_8bit else cv2.CV_64F)


PatchCriterion = Callable[[PatchImage], np.ndarray]  # a value for each patch, (patches,) float64
CRITERIA: dict[str, PatchCriterion] = {}


def patch_criterion(name: str) -> Callable[[PatchCriterion], PatchCriterion]:
    """Register a function under a name that `mine.criteria` can then have."""

    def enter(function: PatchCriterion) -> PatchCriterion:
        CRITERIA[name] = function
        return function

    return enter


@patch_criterion('grad')
def grad(patches: PatchImage) -> np.ndarray:
    """Mean squared forward difference, horizontal plus vertical, zero at the last column and row (Eq. 5)."""
    size = patches.grid.size
    if size == 1:
        return np.zeros(len(patches.grid))
    horizontal = patches.sums(patches.dx, size, size - 1, squared=True)
    vertical = patches.sums(patches.dy, size - 1, size, squared=True)
    return np.maximum(horizontal + vertical, 0) / (patches.values * MAX**2)  # 0 may be rounded below


@patch_criterion('grad_mag')
def grad_mag(patches: PatchImage) -> np.ndarray:
    """Mean magnitude of the gradient: the root of what `grad` adds up, in every pixel and channel."""
    last = patches.grid.size - 1
    if last == 0:
        return np.zeros(len(patches.grid))
    inside = patches.sums(patches.magnitude, last, last)
    last_column = patches.sums(patches.dy, last, 1, left=last)  # no difference to the right
    last_row = patches.sums(patches.dx, 1, last, top=last)
    return np.maximum(inside + last_column + last_row, 0) / (patches.values * MAX)


@patch_criterion('std')
def std(patches: PatchImage) -> np.ndarray:
    """Standard deviation of all values of the patch, whatever their channel (divided by their number)."""
    size, number = patches.grid.size, patches.values
    sums = patches.sums(patches.pixels, size, size)
    squares = patches.sums(patches.pixels, size, size, squared=True)
    return np.sqrt(np.maximum(number * squares - sums**2, 0)) / (number * MAX)


@patch_criterion('freq')
def freq(patches: PatchImage) -> np.ndarray:
    """Power of the orthonormal 2-D DFT where both frequencies are at least pi / 2, per value (Eq. 6)."""
    size = patches.grid.size
    windows = np.lib.stride_tricks.sliding_window_view(patches.image, (size, size), (0, 1))
    lowest = -(-size // 4)
    power = np.empty((len(patches.grid.ys), len(patches.grid.xs)))
    for row, y in enumerate(patches.grid.ys):
        one_side = np.fft.rfft(windows[y, patches.grid.xs] / MAX, norm='ortho')[..., lowest:]
        high = np.fft.fft(one_side, axis=-2, norm='ortho')[..., lowest : size - lowest + 1, :]
        twice = np.full(high.shape[-1], 2.0)  # the frequencies that rfft leaves out are mirror images
        if size % 2 == 0:
            twice[-1] = 1.0
        power[row] = ((high.real**2 + high.imag**2) * twice).sum((1, 2, 3))
    return power.ravel() / patches.values
