"""Whole clean images of any dataset, without the cost of its samples where that can be avoided."""

from typing import Any

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr
from torch import Tensor

from basicsr_ext.data.degradation import DegradationDataset
from basicsr_ext.data.image_files import decode_image, read_image
from basicsr_ext.data.inventory import stock_files
from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.wrapper import innermost, innermost_index
from basicsr_ext.errors import DataError


class WholeImages:
    """The images of a dataset whose phase is not `train`, by its indices.

    Args:
        dataset: one that `inventory` accepts.
    """

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset, self.reader = dataset, innermost(dataset)
        self.stock = None if isinstance(self.reader, DegradationDataset) else stock_files(self.reader)

    def clean(self, index: int) -> np.ndarray:
        """The clean image: (H, W, C), uint8, or float32 on the same scale where a filter changes it.

        The channels stand in the order of the file or of the sample.

        Raises:
            DataError: the file is no image or is damaged.
        """
        place = innermost_index(self.dataset, index)
        if isinstance(self.reader, DegradationDataset):
            if self.reader.gt_filters:
                return self.pair(index)[2]
            return self.reader.files.decode(place, self.reader.color)
        root, paths = self.stock  # type: ignore[misc]  # set where the reader is not ours
        image = decode_image(read_image(root, paths[place]), cv2.IMREAD_COLOR, paths[place])
        return bgr2ycbcr(image, y_only=True)[..., None] if self.reader.opt.get('color') == 'y' else image

    def pair(self, index: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Input and clean image as the dataset gives them, (C, H, W) in [0, 1], and the clean image as in `clean`.

        Raises:
            DataError: the file is no image or is damaged, or the sample has no `gt`.
        """
        if self.stock is not None:
            self.clean(index)  # stock datasets do not say which file is damaged
        sample: dict[str, Any] = self.dataset[index]
        if sample.get('gt') is None:
            raise DataError(
                f'{sample.get("lq_path", "a sample")}: expected ground truth, got none. Choose a dataset that gives gt.'
            )
        scaled = np.ascontiguousarray(sample['gt'].permute(1, 2, 0).numpy()) * np.float32(255)
        rounded = np.rint(scaled)
        is_8bit = np.abs(rounded - scaled).max() < 1e-3 and rounded.min() >= 0 and rounded.max() <= 255
        return sample['lq'], sample['gt'], rounded.astype(np.uint8) if is_8bit else scaled
