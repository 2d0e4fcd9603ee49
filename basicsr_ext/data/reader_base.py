"""The base of our datasets that read files: their options, the crop and the flips of a training sample."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from torch.utils.data import Dataset

from basicsr_ext.data.augmentation import draw_flips
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.images.pair_files import PairFiles
from basicsr_ext.images.pixels import to_unit
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.sampling import sample_rng


@dataclass(frozen=True)
class ReaderOptions:
    """Options of all datasets that read files.

    Attributes:
        name, type, phase, scale: as in BasicSR.
        dataroot_gt: folder of clean images, several of them, or a BasicSR LMDB.
        meta_info_file: names of the images to use; None takes all.
        io_backend: `{type: disk}` or `{type: lmdb}`.
        gt_size: side of the square training patch in pixels; None trains on whole images.
        pad_small: `reflect` pads images smaller than the training patch to its size, at the right and below, by their
            mirror image, as Restormer's loader does; None refuses them.
        use_hflip: flip half of the patches left-right.
        use_vflip: flip half of them upside down; what papers call vertical flips, with `use_rot: false`.
        use_rot: flip half of them upside down, and transpose half of them.
        color: `rgb` or `gray`, and where a dataset says so `y`.
    """

    name: str
    type: str
    dataroot_gt: str | list[str]
    phase: str = 'train'
    scale: Annotated[int, Ge(1)] = 1
    meta_info_file: str | None = None
    io_backend: dict[str, Any] = field(default_factory=lambda: {'type': 'disk'})
    gt_size: Annotated[int, Ge(1)] | None = None
    pad_small: Literal['reflect'] | None = None
    use_hflip: bool = True
    use_vflip: bool = False
    use_rot: bool = True
    color: str = 'rgb'

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


class ReaderDataset(Dataset[Sample], ABC):
    """Read an image, crop, flip; what a sample holds is made of that.

    A sample is a dict with `lq` and `gt` (float32 tensors, C x H x W, RGB or grey, clean pixels in [0, 1]) and their
    paths `lq_path`, `gt_path`. While training, its random numbers come from `sample_rng`. Subclasses say with `Options`
    what they read from the option file, make their `files`, and in `sample` what they do.

    Args:
        opt: the block of the option file.

    Attributes:
        where: path of the block, named in errors.

    Raises:
        OptionError, DataError: an option or the folder is not usable.
    """

    Options: ClassVar[type[ReaderOptions]] = ReaderOptions
    files: ImageFiles | PairFiles

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt  # BasicSR reads the name of a dataset from here
        self.where = f'dataset {opt.get("name", opt.get("type"))}'
        self.options = read_block(self.Options, opt, self.where, ignore=LOADER_KEYS)
        self.is_train = self.options.phase == 'train'

    @abstractmethod
    def sample(self, index: int, corner: tuple[int, int] | None) -> Sample:
        """A sample.

        Args:
            index: of the image.
            corner: y and x of its patch in the clean image; None draws them while training.
        """

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        return self.sample(index, None)

    def patch(self, index: int, corner: tuple[int, int]) -> Sample:
        """The sample of a given training patch instead of a random one, flipped and degraded as ever.

        Args:
            index: of the image.
            corner: y and x of the patch of `gt_size` x `gt_size` pixels in the clean image.
        """
        return self.sample(index, corner)

    def part(
        self, index: int, corner: tuple[int, int] | None, gt: np.ndarray, lqs: Sequence[np.ndarray] = ()
    ) -> list[np.ndarray]:
        """What a sample shows of its images: the patch, or in validation the whole; in training it is flipped.

        Args:
            index, corner: as in `sample`.
            gt: the clean image, H x W x C.
            lqs: inputs that are read too, (H / scale) x (W / scale) x C.

        Returns:
            The parts of the clean image and of each input, views.

        Raises:
            DataError: a patch that does not lie in the image.
        """
        path, size, scale = self.files.path(index), self.options.gt_size, self.options.scale
        if size is not None and (self.is_train or corner is not None):
            if corner is None and self.options.pad_small:
                gt, lqs = padded(gt, size), [padded(lq, size // scale) for lq in lqs]
            top, left = corner or self._draw_corner(gt, size, index, path, scale if lqs else 1)
            height, width = size, size
        else:
            top, left = 0, 0
            small = lqs[0].shape if lqs else [side // scale for side in gt.shape]
            height, width = small[0] * scale, small[1] * scale
        images = [
            image[top // factor : (top + height) // factor, left // factor : (left + width) // factor]
            for image, factor in ((gt, 1), *((lq, scale) for lq in lqs))
        ]
        if images[0].shape[:2] != (height, width):
            raise DataError(
                path,
                f'{height} x {width} pixels from {(top, left)} on',
                f'an image of {gt.shape[0]} x {gt.shape[1]}',
                'Mine the dataset again.',
            )
        if not self.is_train:
            return images
        flips = draw_flips(index, self.options.use_hflip, self.options.use_rot, self.options.use_vflip)
        return [flips.of_array(image) for image in images]

    @staticmethod
    def _draw_corner(gt: np.ndarray, size: int, index: int, path: str, step: int) -> tuple[int, int]:
        """The place of a random patch; `step` divides it."""
        height, width = gt.shape[:2]
        if min(height, width) < size:
            advice = 'Lower gt_size or set pad_small: reflect.'
            raise DataError(path, f'at least {size} x {size} pixels', f'{height} x {width}', advice)
        rng = sample_rng(index, 'crop')
        top, left = (int(rng.integers((side - size) // step, endpoint=True)) * step for side in (height, width))
        return top, left


def padded(image: np.ndarray, size: int) -> np.ndarray:
    """An image, H x W x C, padded at the right and below by its mirror image to `size` x `size` pixels at least.

    Pixels at the edge are repeated, so that an image and its reduction stay above each other (OpenCV's BORDER_REFLECT);
    a short one is mirrored again and again.
    """
    missing = [(0, max(0, size - side)) for side in image.shape[:2]]
    return np.pad(image, [*missing, (0, 0)], mode='symmetric') if any(after for _, after in missing) else image


def as_float(image: np.ndarray) -> np.ndarray:
    """Levels as unit values; what is float already stays."""
    return image if image.dtype == np.float32 else to_unit(image)
