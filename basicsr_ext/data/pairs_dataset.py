"""Pairs of files: clean images and degraded ones that somebody else has made."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.reader_base import ReaderDataset, ReaderOptions
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.images.pair_files import PairFiles, fits
from basicsr_ext.images.pixels import as_tensor, swap_order, to_unit
from basicsr_ext.schedule.sample import Sample


@dataclass(frozen=True, kw_only=True)
class PairsOptions(ReaderOptions):
    """Options beyond those of `ReaderOptions`.

    Attributes:
        dataroot_gt: folder of clean images, or a BasicSR LMDB.
        dataroot_lq: the same of the degraded images; of a list of folders the images of one name are stacked along the
            channels, as the left and the right view of dual pixels.
        meta_info_file: names of the clean images to use, with `gt_until` of the degraded ones; None takes all.
        filename_tmpl: the name of a degraded image, without its ending, where `{}` stands for that of its clean image.
        gt_until: what follows the name of the clean image in the name of a degraded one: with `_`, `0001_0.8_0.2.jpg`
            belongs to `0001.png`, as may others. None where each clean image has one degraded image.
    """

    dataroot_gt: str
    dataroot_lq: str | list[str]
    filename_tmpl: str = '{}'
    gt_until: str | None = None

    colors: ClassVar[tuple[str, ...]] = ('gray', 'y', 'rgb')

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dataroot_lq:
            raise OptionError('dataroot_lq', 'a folder, or several', shown(self.dataroot_lq), 'Name them.')
        if self.filename_tmpl.count('{}') != 1 or '/' in self.filename_tmpl:
            raise OptionError('filename_tmpl', 'a name with {} in it', shown(self.filename_tmpl), 'Correct it.')
        if self.gt_until is not None and (not self.gt_until or '/' in self.gt_until):
            raise OptionError('gt_until', 'a part of names, such as _', shown(self.gt_until), 'Correct it.')
        if self.gt_until is not None and self.filename_tmpl != '{}':
            raise OptionError('gt_until', 'none beside filename_tmpl', shown(self.gt_until), 'Remove one of the two.')


@DATASET_REGISTRY.register()
class PairsDataset(ReaderDataset):
    """Pairs of files, of which several may share a clean image, and whose inputs may have several parts.

    It reads what BasicSR's PairedImageDataset reads, and beyond it files in folders below, endings that differ, several
    degraded images of one clean image (`gt_until`), and dual pixels: with two folders `lq` has six channels, R, G, B of
    the first and R, G, B of the second. A random patch begins where the scale divides its place. Images have 8 bits
    here, and under `color: y` are rounded; in validation a clean image that is too large is cut at the right and below.

    Images without partner are refused with their names. In results an item is named by its clean image, with
    `gt_until` by its degraded one.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError, DataError: an option or a folder is not usable, images without partner, pairs of other sizes.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: RESIDE
            type: PairsDataset
            dataroot_gt: datasets/RESIDE/clear
            dataroot_lq: datasets/RESIDE/hazy  # or two folders, of the left and the right view
            gt_until: _                        # 0001_0.8_0.2.jpg belongs to 0001.png
            gt_size: 128
            use_hflip: true
            use_rot: true
    """

    Options = PairsOptions
    options: PairsOptions
    files: PairFiles

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        options = self.options
        self.files = PairFiles(
            options.dataroot_gt,
            [options.dataroot_lq] if isinstance(options.dataroot_lq, str) else options.dataroot_lq,
            options.io_backend['type'],
            options.meta_info_file,
            self.where,
            options.color,  # type: ignore[arg-type]  # one of `colors`
            options.filename_tmpl,
            options.gt_until,
        )

    def sample(self, index: int, corner: tuple[int, int] | None) -> Sample:
        """See `ReaderDataset`."""
        gt, lqs = self.files.decode(index), self.files.inputs(index)
        self._refuse_other_sizes(index, gt, lqs)
        gt, *lqs = self.part(index, corner, gt, lqs)
        lq = np.concatenate([swap_order(image) for image in lqs], axis=2)
        return {
            'lq': as_tensor(to_unit(lq)),
            'gt': as_tensor(to_unit(swap_order(gt))),
            'lq_path': self.files.path(index, 'lq'),
            'gt_path': self.files.path(index),
        }

    def _refuse_other_sizes(self, index: int, gt: np.ndarray, lqs: list[np.ndarray]) -> None:
        sizes = {lq.shape[:2] for lq in lqs}
        if len(sizes) > 1 or not fits(gt.shape, lqs[0].shape, self.options.scale, self.is_train):
            found = ' and '.join(f'{height} x {width}' for height, width in (gt.shape[:2], *sorted(sizes)))
            raise DataError(
                self.files.path(index, 'lq'),
                f'GT {self.options.scale} times as large as LQ',
                found,
                'Make the pair again or correct scale.',
            )
