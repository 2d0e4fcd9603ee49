"""A user's own dataset where this package expects one of its samples."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from basicsr_ext.errors import DataError, shown
from basicsr_ext.images.image_files import Kind
from basicsr_ext.images.pixels import bgr_levels, bgr_to_grey, levels_to_8bit
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.selection.manifest import Item


class OwnPairs:
    """Any map-style dataset of images in [0, 1], C x H x W, RGB or grey, the same at every call.

    Its items are dicts with `gt` and mostly `lq`, as BasicSR's, pairs `(lq, gt)`, or clean images alone. An item is
    named by its `gt_path` or, if it has none, by its number.

    Args:
        dataset: with `__len__` and `__getitem__`.
        name: named in errors.

    Raises:
        DataError: it is empty, or an item is none of these.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        if not len(dataset):
            raise DataError(name, 'a dataset with items', 'an empty one', 'Give it some.')
        self.dataset, self.name = dataset, name
        self.files = SampleFiles(self)
        self.scale = self.scale_of(self[0])
        self.opt = {'name': name, 'scale': self.scale}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        item = self.dataset[int(index)]
        sample = dict(item) if isinstance(item, dict) else _from_tensors(item)
        for key, image in (('gt', sample.get('gt')), ('lq', sample.get('lq'))):
            is_missing = image is None and key == 'lq'
            if not is_missing and not (isinstance(image, Tensor) and image.ndim == 3 and image.shape[0] in (1, 3)):
                got = tuple(image.shape) if isinstance(image, Tensor) else shown(image)
                raise DataError(
                    f'{self.name}, item {int(index)}',
                    f'{key} as a tensor C x H x W of 1 or 3 channels',
                    got,
                    'Give a dict with gt and lq, a pair (lq, gt) or a clean image.',
                )
        sample.setdefault('gt_path', f'{int(index):06d}')
        sample.setdefault('lq_path', sample['gt_path'])
        return sample

    def items(self) -> list[Item]:
        """The images with their sizes; every one is read for that. Paths are relative to the folder that holds all."""
        samples = (self[index] for index in range(len(self)))
        sizes = [(str(sample['gt_path']), *sample['gt'].shape[1:]) for sample in samples]
        folders = {os.path.dirname(path) for path, *_ in sizes}
        root = os.path.commonpath(folders) if all(map(os.path.isabs, folders)) else ''
        return [
            Item(os.path.relpath(path, root).replace(os.sep, '/') if root else path, *size) for path, *size in sizes
        ]

    @staticmethod
    def scale_of(sample: Sample) -> int:
        """How many times as large `gt` is as `lq`; 1 where there is no `lq`."""
        lq = sample.get('lq')
        scale: int = 1 if lq is None else sample['gt'].shape[-1] // lq.shape[-1]
        return max(scale, 1)


class SampleFiles:
    """The images of an `OwnPairs` with the methods of `ImageFiles` that reading them needs."""

    exact = True
    kinds: Sequence[Kind] = ('gt',)

    def __init__(self, dataset: OwnPairs) -> None:
        self.dataset = dataset

    def decode(self, index: int) -> np.ndarray:
        """The clean image, (H, W, C) in OpenCV's order, 8-bit levels; uint8 where these are whole numbers."""
        levels = bgr_levels(self.dataset[index]['gt'])
        rounded = levels_to_8bit(levels)
        return rounded if np.abs(rounded - levels).max() < 1e-3 else np.ascontiguousarray(levels)

    def grey(self, index: int) -> np.ndarray:
        """The clean image in grey, (H, W) uint8."""
        return np.ascontiguousarray(bgr_to_grey(levels_to_8bit(self.decode(index))))


class CleanOf:
    """The clean images of a dataset, C x H x W, as a sequence."""

    def __init__(self, dataset: OwnPairs) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        image: Tensor = self.dataset[index]['gt']
        return image


def _from_tensors(item: Any) -> Sample:
    if isinstance(item, tuple | list) and len(item) == 2:
        return {'lq': item[0], 'gt': item[1]}
    return {'gt': item}
