"""Whole clean images of any dataset, without the cost of its samples where that can be avoided."""

import os
from typing import Any

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr
from torch import Tensor

from basicsr_ext.data.degradation_base import DegradationDataset
from basicsr_ext.data.inventory import stock_files
from basicsr_ext.data.nesting import pixels_are_changed, readers, source
from basicsr_ext.errors import DataError
from basicsr_ext.images.decoding import decode_grey, decode_image, read_image
from basicsr_ext.images.pixels import as_8bit, grey_of
from basicsr_ext.schedule.sample import SampleDataset


class WholeImages:
    """The images of a dataset whose phase is not `train`, by its indices.

    Args:
        dataset: one that `inventory` accepts.

    Attributes:
        stock: id of each of BasicSR's datasets inside -> what `stock_files` gives for it.
    """

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset = dataset
        self.stock = {
            id(reader): stock_files(reader) for reader in readers(dataset) if not isinstance(reader, DegradationDataset)
        }

    def is_changed(self, index: int) -> bool:
        """Whether a wrapper does more to the image than to choose it."""
        return pixels_are_changed(self.dataset, index)

    def clean(self, index: int) -> np.ndarray:
        """The clean image: (H, W, C) in OpenCV's order, uint8, or float32 on the same scale where it is computed.

        Raises:
            DataError: the file is no image or is damaged.
        """
        if self.is_changed(index):
            return self.pair(index)[2]
        reader, place = source(self.dataset, index)
        if isinstance(reader, DegradationDataset):
            return reader.files.decode(place, reader.color)
        root, paths = self.stock[id(reader)]
        image = decode_image(read_image(root, paths[place]), cv2.IMREAD_COLOR, paths[place])
        if reader.opt.get('color') != 'y':
            return image
        luma = bgr2ycbcr(image.astype(np.float32) / np.float32(255), y_only=True)  # not rounded, as in its samples
        return luma[..., None] * np.float32(255)

    def grey(self, index: int) -> np.ndarray:
        """The clean image in grey at full size, (H, W) uint8, whatever `color` the dataset has; see `decode_grey`.

        Raises:
            DataError: the file is no image or is damaged.
        """
        if self.is_changed(index):
            return grey_of(as_8bit(self.clean(index)))
        reader, place = source(self.dataset, index)
        if isinstance(reader, DegradationDataset):
            return reader.files.grey(place)
        root, paths = self.stock[id(reader)]
        return decode_grey(read_image(root, paths[place]), paths[place])

    def pair(self, index: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Input and clean image as the dataset gives them, (C, H, W) in [0, 1], and the clean image as in `clean`.

        Raises:
            DataError: the file is no image or is damaged, or the sample has no `lq` or no `gt`.
        """
        reader, place = source(self.dataset, index)
        is_stock, is_changed = not isinstance(reader, DegradationDataset), self.is_changed(index)
        if is_stock:
            _refuse_damaged(reader, place, with_gt=is_changed)
        image = self.clean(index) if is_stock and not is_changed else None
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


def _refuse_damaged(reader: Any, place: int, with_gt: bool) -> None:
    """Decode the files that `clean` does not: stock datasets do not say which one is damaged."""
    entry = reader.paths[place]
    named = entry if isinstance(entry, dict) else {'gt_path': entry}
    for key, path in named.items():
        if key == 'lq_path' or with_gt:
            root = reader.opt.get(f'dataroot_{key.removesuffix("_path")}') or ''
            decode_image(read_image(os.path.expanduser(root), path), cv2.IMREAD_UNCHANGED, path)
