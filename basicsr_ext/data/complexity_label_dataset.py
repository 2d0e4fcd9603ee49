"""Images with a complexity to learn: the entropy of each between the least and the largest of the training set."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.degradation_base import DegradationDataset, DegradationOptions
from basicsr_ext.data.label_file import read_labels
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.images.decoding import is_lmdb
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.images.pixels import as_array, as_tensor, resize_square
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.selection.complexity.criteria import entropy

AT_ONCE = 4096  # images whose measuring is queued


@dataclass(frozen=True)
class ComplexityLabelOptions(DegradationOptions):
    """Options beyond those of `DegradationOptions`, without its `gt_size`: a crop has another complexity.

    Attributes:
        input_size: side in pixels of the image that the scorer gets.
        labels: a CSV file with the columns `path`, relative to `dataroot_gt`, and `label`, in [0, 1]; others are not
            read. It replaces the labels of the images it names, whatever their endings.
        label_range: the entropies in bits whose labels are 0 and 1.
        dataroot_range: the folder or LMDB of the training images, whose least and largest entropy are taken where
            `label_range` is not given; ~ is `dataroot_gt` while training. All of them are decoded for that, once a run.
        meta_info_range: their names, as in `meta_info_file`; ~ takes all.
    """

    input_size: Annotated[int, Ge(1)] = 128
    labels: str | None = None
    label_range: list[float] | None = None
    dataroot_range: str | None = None
    meta_info_range: str | None = None

    colors: ClassVar[tuple[str, ...]] = ('rgb',)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gt_size is not None:
            raise OptionError('gt_size', '~, as a crop has another complexity', self.gt_size, 'Remove it.')
        if self.label_range is not None and not (
            len(self.label_range) == 2 and self.label_range[0] < self.label_range[1]
        ):
            raise OptionError('label_range', '[least, largest]', self.label_range, 'Correct the values.')
        if self.label_range is not None and self.dataroot_range is not None:
            raise OptionError(
                'dataroot_range', '~ beside label_range', shown(self.dataroot_range), 'Remove one of them.'
            )
        if self.meta_info_range is not None and self.dataroot_range is None:
            raise OptionError(
                'meta_info_range', 'dataroot_range beside it', f'~ and {shown(self.meta_info_range)}', 'Add it.'
            )
        if self.phase != 'train' and self.label_range is None and self.dataroot_range is None:
            raise OptionError(
                'label_range',
                'the range of the training set',
                'none',
                'Add it, or name the training images in dataroot_range.',
            )


@DATASET_REGISTRY.register()
class ComplexityLabelDataset(DegradationDataset):
    """The images of a folder, reduced, with their complexity as labels, to train a ComplexityScorer.

    The label of TripleD: the Shannon entropy of the clean 8-bit grey image at full size in bits, brought to [0, 1] by
    the least and the largest entropy of the training set; entropies outside of them, of other images, are clipped. The
    paper revises labels by hand, which `labels` does. The image is flipped and transposed while training, and reduced
    to `input_size` x `input_size` pixels by antialiased bilinear interpolation.

    A sample is `lq`, 3 x input_size x input_size, RGB, [0, 1], and `gt`, the label, of shape (1,).

    Args:
        opt: the block of the option file: the keys of `ComplexityLabelOptions`.

    Raises:
        OptionError, DataError: an option, the folder or the labels are not usable, or all entropies are equal.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400
            type: ComplexityLabelDataset
            dataroot_gt: datasets/BSD400
            label_range: ~   # or [4.5, 7.9], in bits
            labels: ~        # or revised.csv, with the columns path, label
            use_hflip: true
            use_rot: true
            cache: true
    """

    Options = ComplexityLabelOptions
    options: ComplexityLabelOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        options = self.options
        self.labels: dict[int, float] = {}  # revised ones, and those that have been measured
        if options.labels is not None:
            self.labels = read_labels(options.labels, self.files.names, f'dataset {options.name}.labels')
        if options.label_range is not None:
            self.low, self.high = options.label_range
            return
        root, meta_info_file = options.dataroot_gt, options.meta_info_file
        if options.dataroot_range is not None:
            root, meta_info_file = options.dataroot_range, options.meta_info_range
        roots = [root] if isinstance(root, str) else root
        found = tuple(os.path.realpath(os.path.expanduser(each)) for each in roots)
        self.low, self.high = measure_range(found, meta_info_file)
        get_root_logger().info(
            f'Labels of {options.name}: entropies from {self.low:.6f} to {self.high:.6f} bits. With label_range: '
            f'[{self.low:.6f}, {self.high:.6f}] they are not measured again.'
        )

    def degrade(self, gt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return as_array(resize_square(as_tensor(gt)[None], self.options.input_size)[0])

    def sample(self, index: int, corner: tuple[int, int] | None) -> Sample:
        sample = super().sample(index, corner)
        return {**sample, 'gt': torch.tensor([self._label(index)])}

    def _label(self, index: int) -> float:
        if index not in self.labels:
            bits = entropy(self.files.grey(index))
            self.labels[int(index)] = min(1.0, max(0.0, (bits - self.low) / (self.high - self.low)))
        return self.labels[index]


@cache
def measure_range(roots: tuple[str, ...], meta_info_file: str | None) -> tuple[float, float]:
    """The least and the largest entropy in bits of the images of folders or an LMDB; measured once in a process.

    Args:
        roots: the folders, or the LMDB.
        meta_info_file: as in `ImageFiles`.

    Raises:
        DataError: an image is damaged, or all have the same entropy.
        Interrupted: a stop was asked for.
    """
    files = ImageFiles(roots, 'lmdb' if is_lmdb(roots[0]) else 'disk', meta_info_file, 'label_range')
    values: list[float] = []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress('Entropies', len(files)) as progress,
    ):
        for start in range(0, len(files), AT_ONCE):
            indices = range(start, min(start + AT_ONCE, len(files)))
            for value in pool.map(lambda index: entropy(files.grey(index)), indices):
                values.append(value)
                progress.update()
                if interrupt.requested():
                    pool.shutdown(cancel_futures=True)
                    raise interrupt.Interrupted
    if min(values) == max(values):
        raise DataError(
            'label_range',
            f'images of different entropy in {", ".join(roots)}',
            f'{len(values)} of {values[0]:.6g} bits',
            'Add others or set label_range.',
        )
    return min(values), max(values)
