"""Flips and transpositions of a training patch."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from basicsr_ext.schedule.sampling import sample_rng


@dataclass(frozen=True)
class Flips:
    """The flips of a patch, in this order.

    Attributes:
        left_right, upside_down: mirror it.
        transpose: swap rows and columns.
    """

    left_right: bool
    upside_down: bool
    transpose: bool

    def of_array(self, image: np.ndarray) -> np.ndarray:
        """Flip an image, H x W x C; the result is a view."""
        if self.left_right:
            image = image[:, ::-1]
        if self.upside_down:
            image = image[::-1]
        return image.transpose(1, 0, 2) if self.transpose else image

    def of_tensor(self, image: Tensor) -> Tensor:
        """Flip an image, C x H x W."""
        sides = [side for side, flip in ((2, self.left_right), (1, self.upside_down)) if flip]
        image = image.flip(sides)
        return (image.transpose(1, 2) if self.transpose else image).contiguous()


def draw_flips(index: int, use_hflip: bool, use_rot: bool, use_vflip: bool = False) -> Flips:
    """Flip half of the samples left-right, half upside down, transpose half of them, or some of these.

    Args:
        index: of the sample, whose moment decides.
        use_hflip: flip left-right.
        use_rot: flip upside down and transpose, each of its own.
        use_vflip: flip upside down, also where nothing is transposed.
    """
    hflip, vflip, transpose = (sample_rng(index, 'augment').random(3) < 0.5).tolist()
    return Flips(use_hflip and hflip, (use_vflip or use_rot) and vflip, use_rot and transpose)
