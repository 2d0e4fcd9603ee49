"""The r-blur datasets of the influence paper: training images with their detail averaged away."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import cv2
import numpy as np
from annotated_types import Ge
from basicsr.utils.registry import DATASET_REGISTRY
from torch import Tensor

from basicsr_ext.data.degradation_base import DegradationDataset
from basicsr_ext.data.nesting import readers, warmup_rule
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import OptionError
from basicsr_ext.images.pixels import as_array, as_tensor
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.schedule.sample import Sample


@dataclass(frozen=True)
class MeanBlurOptions:
    """The dataset that is blurred, and the size of the filter.

    Attributes:
        kernel_size: r, the side of the mean filter in pixels; an even r reaches one pixel further up and left.
        dataset: the block of the dataset to blur.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    kernel_size: Annotated[int, Ge(1)]
    dataset: DatasetBlock
    phase: str = 'train'
    scale: int = 1


@DATASET_REGISTRY.register()
class MeanBlurDataset(WrapperDataset):
    """Blur the clean images, and hence the input, by an r x r mean filter (influence paper, Definition 1, Eq. 3).

    The filter averages the rows y - floor(r / 2) ... y - floor(r / 2) + r - 1 and the columns likewise. For an odd r
    that is the centred window with the paper's shift (r - 1) / 2; for an even r (10, 20), where the shift is no
    integer, the window reaches one pixel further up and left. At the border the image is mirrored without repeating the
    edge pixel.

    Over a dataset that degrades clean images itself, the whole clean image is blurred first, then cropped and degraded.
    Over one of pairs of files, whose input is already made, both tensors are blurred: `gt` by r and `lq` by r / scale.

    Args:
        opt: the block of the option file: `kernel_size` and `dataset`.

    Raises:
        OptionError: over pairs of files, an r that the scale does not divide.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400-r3
            type: MeanBlurDataset
            kernel_size: 3
            dataset:
              type: GaussianDenoisingDataset
              dataroot_gt: datasets/BSD400_gray
              color: gray
              sigma: 25
              gt_size: 128
    """

    Options = MeanBlurOptions
    changes_pixels = True

    def __init__(self, opt: dict[str, Any]) -> None:
        options = read_block(MeanBlurOptions, opt, f'dataset {opt.get("name")}', ignore=LOADER_KEYS)
        super().__init__(opt)
        self.kernel_size, self.scale = options.kernel_size, options.scale
        have_inputs = {not isinstance(reader, DegradationDataset) for reader in readers(self.dataset)}
        if len(have_inputs) > 1:
            raise OptionError(
                f'dataset {options.name}.dataset',
                'groups that are all blurred before they are degraded, or all after',
                'pairs of files beside images that are degraded',
                'Put a MeanBlurDataset inside each group.',
            )
        (self.blurs_tensors,) = have_inputs
        if self.blurs_tensors and warmup_rule(self.dataset) is not None:
            raise OptionError(
                f'dataset {options.name}.dataset',
                'images to blur',
                'those that a warm-up has shuffled',
                'Put the MeanBlurDataset inside the PixelShuffleWarmupDataset.',
            )
        if not self.blurs_tensors:
            self.add_gt_filter(partial(mean_filter, size=self.kernel_size))  # workers may have to pickle it
        elif self.kernel_size % self.scale:
            raise OptionError(
                f'dataset {options.name}.kernel_size',
                f'a multiple of the scale {self.scale}, because the input of {self.dataset.opt["type"]} is blurred too',
                self.kernel_size,
                'Wrap BicubicSRDataset instead.',
            )

    def change(self, sample: Sample, index: int) -> Sample:
        """Blur both tensors of a pair of files."""
        if self.blurs_tensors:
            sample['gt'] = _blur_tensor(sample['gt'], self.kernel_size)
            sample['lq'] = _blur_tensor(sample['lq'], self.kernel_size // self.scale)
        return sample


def mean_filter(image: np.ndarray, size: int) -> np.ndarray:
    """Mean over a size x size window (see `MeanBlurDataset`) of an H x W x C float32 image."""
    return cv2.blur(image, (size, size)).reshape(image.shape)


def _blur_tensor(image: Tensor, size: int) -> Tensor:
    return as_tensor(mean_filter(np.ascontiguousarray(as_array(image)), size))
