"""A pair of files that is measured: the input and the clean image brought to its size."""

from functools import cached_property

import cv2
import numpy as np

from basicsr_ext.selection.audit.measured_image import MeasuredImage


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
