"""Whole clean images of any dataset, without the cost of its samples where that can be avoided."""

from typing import Any

import numpy as np
from torch import Tensor

from basicsr_ext.data.nesting import pixels_are_changed, source
from basicsr_ext.data.stock_files import files_of
from basicsr_ext.errors import DataError
from basicsr_ext.images.pixels import bgr_levels, bgr_to_grey, levels_to_8bit
from basicsr_ext.schedule.sample import SampleDataset


class WholeImages:
    """The images of a dataset whose phase is not `train`, by its indices.

    Args:
        dataset: one that `inventory` accepts.
    """

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset = dataset

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
        return files_of(reader).decode(place)

    def grey(self, index: int) -> np.ndarray:
        """The clean image in grey at full size, (H, W) uint8, whatever `color` the dataset has; see `decode_grey`.

        Raises:
            DataError: the file is no image or is damaged.
        """
        if self.is_changed(index):
            return bgr_to_grey(levels_to_8bit(self.clean(index)))
        reader, place = source(self.dataset, index)
        return files_of(reader).grey(place)

    def input_file(self, index: int) -> tuple[np.ndarray, int] | None:
        """The input in grey at full size, (h, w) uint8, and the scale, where it is a file of its own; else None.

        Raises:
            DataError: the file is no image or is damaged.
        """
        reader, place = source(self.dataset, index)
        files = files_of(reader)
        if 'lq' not in files.kinds:
            return None
        return bgr_to_grey(files.original(place, 'lq')), reader.opt.get('scale', 1)

    def pair(self, index: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Input and clean image as the dataset gives them, (C, H, W) in [0, 1], and the clean image as in `clean`.

        Raises:
            DataError: the file is no image or is damaged, or the sample has no `lq` or no `gt`.
        """
        reader, place = source(self.dataset, index)
        files, image = files_of(reader), None
        if not files.exact:  # a sample may be normalised, and does not say which file is damaged
            if 'lq' in files.kinds:
                files.original(place, 'lq')
            image = files.decode(place)
        sample: dict[str, Any] = self.dataset[index]
        missing = [key for key in ('lq', 'gt') if sample.get(key) is None]
        if missing:
            raise DataError(
                sample.get('gt_path', f'sample {index}'),
                'lq and gt',
                f'no {missing[0]}',
                'Choose a dataset that gives both.',
            )
        if image is not None and not self.is_changed(index):
            height, width = sample['gt'].shape[1:]
            return sample['lq'], sample['gt'], image[:height, :width]
        scaled = bgr_levels(sample['gt'])
        rounded = np.rint(scaled)
        is_8bit = np.abs(rounded - scaled).max() < 1e-3 and rounded.min() >= 0 and rounded.max() <= 255
        return sample['lq'], sample['gt'], np.ascontiguousarray(rounded.astype(np.uint8) if is_8bit else scaled)
