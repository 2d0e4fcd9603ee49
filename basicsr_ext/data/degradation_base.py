"""The base of datasets that read clean images and degrade them on the fly."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from basicsr_ext.data.reader_base import ReaderDataset, ReaderOptions, as_float
from basicsr_ext.images.image_cache import ImageCache
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.images.pixels import as_tensor, swap_order
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.sampling import name_rng, sample_rng

Filter = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DegradationOptions(ReaderOptions):
    """Options that all datasets below share, beyond those of `ReaderOptions`.

    Attributes:
        cache: keep the decoded images in shared memory.
    """

    cache: bool = False


class DegradationDataset(ReaderDataset):
    """Read a clean image, crop, flip, degrade.

    Samples are those of `ReaderDataset`; outside of training their random numbers are fixed by the name of the image.
    Subclasses say with `Options` what they read from the option file and in `degrade` what they do.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError, DataError: an option or the folder is not usable.
    """

    Options: ClassVar[type[DegradationOptions]] = DegradationOptions
    options: DegradationOptions
    files: ImageFiles

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.files = ImageFiles(
            self.options.dataroot_gt,
            self.options.io_backend['type'],
            self.options.meta_info_file,
            self.where,
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

    def sample(self, index: int, corner: tuple[int, int] | None) -> Sample:
        """See `ReaderDataset`."""
        image = self.cached[index] if self.cached is not None else self.files.decode(index)
        if self.gt_filters:
            image = as_float(image)
            for gt_filter in self.gt_filters:
                image = gt_filter(image)
        path = self.files.path(index)
        (image,) = self.part(index, corner, image)
        rng = sample_rng(index, 'degrade') if self.is_train else name_rng(self.files.name(index), 'degrade')
        gt = np.ascontiguousarray(as_float(swap_order(image)))
        lq = self.degrade(gt, rng)
        return {'lq': as_tensor(lq), 'gt': as_tensor(gt), 'lq_path': path, 'gt_path': path}
