"""The base of datasets that read clean images and degrade them on the fly."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from torch.utils.data import Dataset

from basicsr_ext.data.augmentation import draw_flips
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.images.image_cache import ImageCache
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.images.pixels import as_tensor, swap_order, to_unit
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.sampling import name_rng, sample_rng

Filter = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DegradationOptions:
    """Options that all datasets below share.

    Attributes:
        name, type, phase, scale: as in BasicSR.
        dataroot_gt: folder of clean images, several of them, or a BasicSR LMDB.
        meta_info_file: names of the images to use; None takes all.
        io_backend: `{type: disk}` or `{type: lmdb}`.
        gt_size: side of the square training patch in pixels; None trains on whole images.
        use_hflip: flip half of the patches left-right.
        use_rot: flip half of them upside down, and transpose half of them.
        color: `rgb` or `gray`, and where a dataset says so `y`.
        cache: keep the decoded images in shared memory.
    """

    name: str
    type: str
    dataroot_gt: str | list[str]
    phase: str = 'train'
    scale: Annotated[int, Ge(1)] = 1
    meta_info_file: str | None = None
    io_backend: dict[str, Any] = field(default_factory=lambda: {'type': 'disk'})
    gt_size: Annotated[int, Ge(1)] | None = None
    use_hflip: bool = True
    use_rot: bool = True
    color: str = 'rgb'
    cache: bool = False

    colors: ClassVar[tuple[str, ...]] = ('gray', 'rgb')

    def __post_init__(self) -> None:
        if self.color not in self.colors:
            raise OptionError('color', ' or '.join(self.colors), shown(self.color), 'Correct the value.')
        if self.io_backend.get('type') not in ('disk', 'lmdb'):
            raise OptionError('io_backend.type', 'disk or lmdb', self.io_backend, 'Correct the value.')
        if self.meta_info_file is not None and self.io_backend['type'] == 'lmdb':
            raise OptionError(
                'meta_info_file', '~ with an LMDB, which has its own list', shown(self.meta_info_file), 'Remove it.'
            )
        if self.gt_size is not None and self.gt_size % self.scale:
            raise OptionError('gt_size', f'a positive multiple of the scale {self.scale}', self.gt_size, 'Correct it.')


class DegradationDataset(Dataset[Sample], ABC):
    """Read a clean image, crop, flip, degrade.

    A sample is a dict with `lq` and `gt` (float32 tensors, C x H x W, RGB or grey, clean pixels in [0, 1]) and their
    paths `lq_path`, `gt_path`. While training, its random numbers come from `sample_rng`; otherwise they are fixed by
    the name of the image. Subclasses say with `Options` what they read from the option file and in `degrade` what they
    do.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError, DataError: an option or the folder is not usable.
    """

    Options: ClassVar[type[DegradationOptions]] = DegradationOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt  # BasicSR reads the name of a dataset from here
        where = f'dataset {opt.get("name", opt.get("type"))}'
        self.options = read_block(self.Options, opt, where, ignore=LOADER_KEYS)
        self.is_train = self.options.phase == 'train'
        self.files = ImageFiles(
            self.options.dataroot_gt,
            self.options.io_backend['type'],
            self.options.meta_info_file,
            where,
            self.options.color,  # type: ignore[arg-type]  # one of `colors`
        )
        self.gt_filters: list[Filter] = []
        self.cached = ImageCache(self.files) if self.options.cache else None

    @abstractmethod
    def degrade(self, gt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The degraded image.

        Args:
            gt: H x W x C, RGB or grey, float32, [0, 1].
            rng: source of everything random.

        Returns:
            (H / scale) x (W / scale) x C, float32; need not stay within [0, 1].
        """

    def add_gt_filter(self, gt_filter: Filter) -> None:
        """Change clean images (float32, H x W x C in OpenCV's order, [0, 1]) before anything else happens to them."""
        self.gt_filters.append(gt_filter)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        return self._sample(index, None)

    def patch(self, index: int, corner: tuple[int, int]) -> Sample:
        """The sample of a given training patch instead of a random one, flipped and degraded as ever.

        Args:
            index: of the image.
            corner: y and x of the patch of `gt_size` x `gt_size` pixels in the clean image.
        """
        return self._sample(index, corner)

    def _sample(self, index: int, corner: tuple[int, int] | None) -> Sample:
        image = self.cached[index] if self.cached is not None else self.files.decode(index)
        if self.gt_filters:
            image = _as_float(image)
            for gt_filter in self.gt_filters:
                image = gt_filter(image)
        path = self.files.path(index)
        if self.options.gt_size is not None and (self.is_train or corner is not None):
            image = self._crop(image, self.options.gt_size, index, path, corner)
        else:
            height, width = (side - side % self.options.scale for side in image.shape[:2])
            image = image[:height, :width]
        if self.is_train:
            image = draw_flips(index, self.options.use_hflip, self.options.use_rot).of_array(image)
        rng = sample_rng(index, 'degrade') if self.is_train else name_rng(self.files.name(index), 'degrade')
        gt = np.ascontiguousarray(_as_float(swap_order(image)))
        lq = self.degrade(gt, rng)
        return {'lq': as_tensor(lq), 'gt': as_tensor(gt), 'lq_path': path, 'gt_path': path}

    def _crop(self, image: np.ndarray, size: int, index: int, path: str, corner: tuple[int, int] | None) -> np.ndarray:
        height, width = image.shape[:2]
        if min(height, width) < size:
            raise DataError(path, f'at least {size} x {size} pixels', f'{height} x {width}', 'Lower gt_size.')
        if corner is None:
            rng = sample_rng(index, 'crop')
            corner = rng.integers(height - size, endpoint=True), rng.integers(width - size, endpoint=True)
        top, left = corner
        part = image[top : top + size, left : left + size]
        if part.shape[:2] != (size, size):
            raise DataError(
                path,
                f'{size} x {size} pixels from {corner} on',
                f'an image of {height} x {width}',
                'Mine the dataset again.',
            )
        return part


def _as_float(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.float32 else to_unit(image)
