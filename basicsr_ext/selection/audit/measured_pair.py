"""A pair of files that is measured: the input and the clean image brought to its size."""

from functools import cached_property

import cv2
import numpy as np

from basicsr_ext.selection.audit.measured_image import MeasuredImage

ROUNDS = 5  # of reweighting
PARTS = 8  # along a side, whose means are compared
EVEN = 1.0  # levels: parts of less contrast have no slope
ALIKE = 0.5  # correlation below which pictures have no tone in common


class MeasuredPair:
    """The input and the clean image of a pair of files.

    Args:
        lq: the input, (h, w), grey, uint8.
        gt: the clean image.
        scale: how many times as large `gt` should be.
    """

    def __init__(self, lq: np.ndarray, gt: MeasuredImage, scale: int) -> None:
        self.lq, self.gt, self.scale = MeasuredImage(lq), gt, scale

    @property
    def misfit(self) -> int:
        """By how many pixels a side of the clean image differs, at most, from the input's times the scale.

        A rest that is smaller than the scale counts as none, since BasicSR cuts it off.
        """
        rests = [
            large - self.scale * small for large, small in zip(self.gt.grey.shape, self.lq.grey.shape, strict=True)
        ]
        return max(0 if 0 <= rest < self.scale else abs(rest) for rest in rests)

    @cached_property
    def small(self) -> MeasuredImage:
        """The clean image at the size of the input: the means of squares, or of what a misfit makes of them."""
        height, width = self.lq.grey.shape
        if self.gt.grey.shape == (height, width):
            return self.gt
        rows, columns = (None, None) if self.misfit else (height * self.scale, width * self.scale)
        gt = self.gt.grey[:rows, :columns]
        return MeasuredImage(cv2.resize(gt, (width, height), interpolation=cv2.INTER_AREA))

    @cached_property
    def likeness(self) -> float:
        """Correlation of the descriptions of both images (`MeasuredImage.description`); NaN where one is blank."""
        lq, gt = (image.description.ravel() for image in (self.lq, self.gt))
        lengths = np.linalg.norm(lq) * np.linalg.norm(gt)
        return float(lq @ gt / lengths) if lengths else np.nan

    @cached_property
    def tone(self) -> tuple[float, float]:
        """Slope of the line from the levels of the clean image to those of the input, and its rise in the middle.

        Of the means of 8 x 8 parts, which know neither noise nor blur and little of a shift; fitted with the weights of
        Cauchy, reweighted five times (Holland and Welsch 1977), so that a lamp does not count. NaN of images that are
        blank or not alike.
        """
        clean, degraded = (_means(image) for image in (self.gt, self.lq))
        if clean.std() < EVEN or not self.likeness >= ALIKE:
            return np.nan, np.nan
        centre, weights = float(clean.mean()), np.ones(len(clean))
        slope = rise = 0.0
        for _ in range(ROUNDS + 1):
            x, y = (float(np.average(values, weights=weights)) for values in (clean, degraded))
            variance = max(float(weights @ (clean - x) ** 2), 1e-9)
            slope = float(weights @ ((clean - x) * (degraded - y))) / variance
            rise = y + slope * (centre - x) - centre
            residual = degraded - centre - rise - slope * (clean - centre)
            spread = max(float(np.median(np.abs(residual))) / 0.6745, 0.1)
            weights = 1 / (1 + (residual / (2.385 * spread)) ** 2)
        return slope, rise


def _means(image: MeasuredImage) -> np.ndarray:
    """Of 8 x 8 parts, (64,)."""
    return cv2.resize(image.thumbnail, (PARTS, PARTS), interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
