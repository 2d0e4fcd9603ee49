"""Patches and whole images of a dataset as they are written to files."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from basicsr.utils import get_root_logger
from torch import Tensor

from basicsr_ext.data.degradation_base import DegradationDataset
from basicsr_ext.data.nesting import readers, source
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.errors import DataError
from basicsr_ext.images.decoding import decode_image, read_image
from basicsr_ext.schedule.sample import SampleDataset

PAIR = {'gt_path', 'lq_path'}  # of an item of a dataset that reads its input from files


Images = dict[str, np.ndarray]  # GT and maybe LQ: (H, W, C), uint8, in OpenCV's order B, G, R or grey


class PatchSource:
    """Cuts patches out of the images of a dataset.

    Of BasicSR's datasets these are the pixels of the files. So they are of ours, where no wrapper changes them; else
    what the dataset gives in validation, rounded to 8 bits.

    Args:
        dataset: one that `inventory` accepts.
        with_lq: give the input too where the dataset makes it itself.

    Attributes:
        kinds: GT, and LQ where the dataset, or one of several in it, reads it from files or `with_lq` is set.
    """

    def __init__(self, dataset: SampleDataset, with_lq: bool) -> None:
        self.dataset, self.whole = dataset, WholeImages(dataset)
        self.scale = dataset.opt.get('scale', 1)
        self.kinds = ('GT', 'LQ') if with_lq or any(has_pairs(reader) for reader in readers(dataset)) else ('GT',)
        if any(self.whole.is_changed(index) for index in range(len(dataset))):
            get_root_logger().warning('A wrapper changes the pixels of the images: patches are rounded to 8 bits.')

    def cut(self, index: int, boxes: Sequence[tuple[int, int, int]]) -> Iterator[Images]:
        """The patches of an image, which is read once.

        Args:
            index: of the image.
            boxes: y, x and side of each patch in the ground truth.

        Raises:
            DataError: a damaged image, or one that ends before a patch does.
        """
        images = self.read(index)
        for y, x, size in boxes:
            patch = {}
            for kind, image in images.items():
                factor = self.scale if kind == 'LQ' else 1
                top, left, side = y // factor, x // factor, size // factor
                patch[kind] = image[top : top + side, left : left + side]
                if patch[kind].shape[:2] != (side, side):
                    raise DataError(
                        f'{self._path(index)}: expected {side} x {side} pixels from ({top}, {left}) on in its {kind}, '
                        f'got an image of {image.shape[0]} x {image.shape[1]}. Mine the dataset again.'
                    )
            yield patch

    def read(self, index: int) -> Images:
        """The whole images of an index, by kind.

        Raises:
            DataError: a damaged image, or a pair whose sizes do not belong together.
        """
        reader, place = source(self.dataset, index)
        reads_pairs = has_pairs(reader)
        if self.whole.is_changed(index) or ('LQ' in self.kinds and not reads_pairs):
            lq, gt, _ = self.whole.pair(index)
            return {kind: _as_8bit(image) for kind, image in zip(self.kinds, (gt, lq), strict=False)}
        if isinstance(reader, DegradationDataset):
            return {'GT': self.whole.clean(index)}
        # Also under `color: y`, which those who train on the patches set again.
        root, paths = self.whole.stock[id(reader)]
        images = {'GT': _pixels(root, paths[place])}
        if reads_pairs:
            entry: Any = reader.paths[place]  # type: ignore[attr-defined]
            images['LQ'] = _pixels(os.path.expanduser(reader.opt['dataroot_lq']), entry['lq_path'])
            sizes = [image.shape[:2] for image in images.values()]
            if sizes[0] != tuple(self.scale * side for side in sizes[1]):
                raise DataError(
                    f'{self._path(index)}: expected GT {self.scale} times as large as LQ, got {sizes[0]} and '
                    f'{sizes[1]}. Make the pair again.'
                )
        return images

    def _path(self, index: int) -> str:
        reader, place = source(self.dataset, index)
        if isinstance(reader, DegradationDataset):
            return reader.files.path(place)
        return self.whole.stock[id(reader)][1][place]


def has_pairs(reader: Any) -> bool:
    """Whether a dataset reads its input from files too."""
    entries = getattr(reader, 'paths', [])
    return bool(entries) and isinstance(entries[0], dict) and set(entries[0]) >= PAIR


def _pixels(root: str, path: str) -> np.ndarray:
    """Of a file, or of a key of the LMDB `root`."""
    image = decode_image(read_image(root, path), cv2.IMREAD_ANYCOLOR, path)
    return image if image.ndim == 3 else image[..., None]


def _as_8bit(image: Tensor) -> np.ndarray:
    """(C, H, W), RGB or grey, [0, 1], as (H, W, C) in OpenCV's order."""
    pixels = np.rint(image.numpy() * np.float32(255)).clip(0, 255).astype(np.uint8)
    return pixels.transpose(1, 2, 0)[..., ::-1]
