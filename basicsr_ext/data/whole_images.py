"""Whole clean images of any dataset, without the cost of its samples where that can be avoided."""

import os
from typing import Any, cast

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr
from torch import Tensor

from basicsr_ext.data.degradation import DegradationDataset
from basicsr_ext.data.image_files import decode_image, read_image
from basicsr_ext.data.inventory import stock_files
from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.wrapper import innermost, innermost_index, pixels_are_changed
from basicsr_ext.errors import DataError


class WholeImages:
    """The images of a dataset whose phase is not `train`, by its indices.

    Args:
        dataset: one that `inventory` accepts.
    """

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset, self.reader = dataset, cast(Any, innermost(dataset))
        self.changed = pixels_are_changed(dataset)
        self.stock = None if isinstance(self.reader, DegradationDataset) else stock_files(self.reader)

    def clean(self, index: int) -> np.ndarray:
        """The clean image: (H, W, C) in OpenCV's order, uint8, or float32 on the same scale where it is computed.

        Raises:
            DataError: the file is no image or is damaged.
        """
        if self.changed:
            return self.pair(index)[2]
        place = innermost_index(self.dataset, index)
        if self.stock is None:
            return self.reader.files.decode(place, self.reader.color)
        root, paths = self.stock
        image = decode_image(read_image(root, paths[place]), cv2.IMREAD_COLOR, paths[place])
        if self.reader.opt.get('color') != 'y':
            return image
        luma = bgr2ycbcr(image.astype(np.float32) / np.float32(255), y_only=True)  # not rounded, as in its samples
        return luma[..., None] * np.float32(255)

    def pair(self, index: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Input and clean image as the dataset gives them, (C, H, W) in [0, 1], and the clean image as in `clean`.

        Raises:
            DataError: the file is no image or is damaged, or the sample has no `lq` or no `gt`.
        """
        if self.stock is not None:
            self._refuse_damaged(index)
        image = None if self.changed or self.stock is None else self.clean(index)
        sample: dict[str, Any] = self.dataset[index]
        missing = [key for key in ('lq', 'gt') if sample.get(key) is None]
        if missing:
            raise DataError(
                f'{sample.get("gt_path", f"sample {index}")}: expected lq and gt, got no {missing[0]}. Choose a '
                'dataset that gives both.'
            )
        if image is not None:  # samples of stock datasets may be normalised
            height, width = sample['gt'].shape[1:]
            return sample['lq'], sample['gt'], image[:height, :width]
        scaled = sample['gt'].permute(1, 2, 0).numpy()[..., ::-1] * np.float32(255)
        rounded = np.rint(scaled)
        is_8bit = np.abs(rounded - scaled).max() < 1e-3 and rounded.min() >= 0 and rounded.max() <= 255
        return sample['lq'], sample['gt'], np.ascontiguousarray(rounded.astype(np.uint8) if is_8bit else scaled)

    def _refuse_damaged(self, index: int) -> None:
        """Decode the files that `clean` does not: stock datasets do not say which one is damaged."""
        entry = self.reader.paths[innermost_index(self.dataset, index)]
        named = entry if isinstance(entry, dict) else {'gt_path': entry}
        for key, path in named.items():
            if key == 'lq_path' or self.changed:
                root = self.reader.opt.get(f'dataroot_{key.removesuffix("_path")}') or ''
                decode_image(read_image(os.path.expanduser(root), path), cv2.IMREAD_UNCHANGED, path)
