"""Patches and whole images of a dataset as they are written to files."""

from collections.abc import Iterator, Sequence

import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ext.data.nesting import source
from basicsr_ext.data.stock_files import file_kinds, files_of
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.errors import DataError
from basicsr_ext.images.pixels import bgr_8bit
from basicsr_ext.schedule.sample import SampleDataset

Images = dict[str, np.ndarray]  # GT and maybe LQ: (H, W, C), uint8, in OpenCV's order B, G, R or grey


class PatchSource:
    """Cuts patches out of the images of a dataset.

    Of BasicSR's datasets these are the pixels of the files. So they are of ours, where no wrapper changes them; else
    what the dataset gives in validation, rounded to 8 bits.

    Args:
        dataset: one that `inventory` accepts.
        with_lq: give the input too where the dataset makes it itself.

    Attributes:
        kinds: GT, and LQ where the dataset, or one of several in it, reads it from files or `with_lq` is set; LQ_2, ...
            of inputs in several files.
    """

    def __init__(self, dataset: SampleDataset, with_lq: bool) -> None:
        self.dataset, self.whole = dataset, WholeImages(dataset)
        self.scale = dataset.opt.get('scale', 1)
        kinds = file_kinds(dataset)
        self.kinds = tuple(map(str.upper, ('gt', 'lq') if with_lq and len(kinds) == 1 else kinds))
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
                factor = 1 if kind == 'GT' else self.scale
                top, left, side = y // factor, x // factor, size // factor
                patch[kind] = image[top : top + side, left : left + side]
                if patch[kind].shape[:2] != (side, side):
                    raise DataError(
                        self._path(index),
                        f'{side} x {side} pixels from ({top}, {left}) on in its {kind}',
                        f'an image of {image.shape[0]} x {image.shape[1]}',
                        'Mine the dataset again.',
                    )
            yield patch

    def read(self, index: int) -> Images:
        """The whole images of an index, by kind.

        Raises:
            DataError: a damaged image, or a pair whose sizes do not belong together.
        """
        reader, place = source(self.dataset, index)
        files = files_of(reader)
        if self.whole.is_changed(index) or ('LQ' in self.kinds and 'lq' not in files.kinds):
            lq, gt, _ = self.whole.pair(index)
            return {kind: bgr_8bit(image) for kind, image in zip(self.kinds, (gt, lq), strict=False)}
        # Those of the files also under `color: y` of BasicSR's datasets: those who train on the patches set it again.
        images = {kind.upper(): files.original(place, kind) for kind in files.kinds}
        size, *others = (image.shape[:2] for image in images.values())
        if any(size != tuple(self.scale * side for side in other) for other in others):
            raise DataError(
                self._path(index),
                f'GT {self.scale} times as large as LQ',
                ' and '.join(map(str, (size, *others))),
                'Make the pair again.',
            )
        return images

    def _path(self, index: int) -> str:
        reader, place = source(self.dataset, index)
        return files_of(reader).path(place)
