"""Pairs for real-world super-resolution: what BasicSR's RealESRGANDataset gives, degraded in the workers."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Interval
from basicsr.utils.img_process_util import usm_sharp
from basicsr.utils.registry import DATASET_REGISTRY
from torch import Tensor

from basicsr_ext.data.real_world_degradation import Kernels, Round, degrade
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.images.pixels import as_array, as_tensor
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.sampling import sample_rng

Share = Annotated[float, Interval(ge=0, le=1)]
KERNELS = ('kernel1', 'kernel2', 'sinc_kernel')
ENDS = {'noise_range': (0, 255), 'poisson_scale_range': (0, math.inf), 'jpeg_range': (1, 100)}  # what they may hold

LARGEST = 16  # factor, beyond which a sample may take all memory


def _numbers(*values: float) -> Any:
    return field(default_factory=lambda: list(values))


@dataclass(frozen=True)
class RealWorldSROptions:
    """The degradation, by the keys and with the values of Real-ESRGAN's option files; ranges are `[low, high]`.

    Attributes:
        dataset: the block of the RealESRGANDataset, or of wrappers that choose from one.
        gt_size: side of the square training patch in pixels, cut after the degradation.
        gt_usm: sharpen the clean image first by unsharp masking, as Real-ESRGAN does.
        resize_prob: weights of enlarging, of reducing and of neither, in the first round.
        resize_range: smallest and largest factor.
        gaussian_noise_prob: part of the samples whose noise is Gaussian; that of the others is Poisson's.
        noise_range: standard deviation of Gaussian noise in 8-bit levels.
        poisson_scale_range: factor of Poisson noise.
        gray_noise_prob: part of the samples whose channels have the same noise.
        jpeg_range: quality of JPEG, 1 to 100.
        second_blur_prob: part of the samples that the second round blurs; the first one blurs all.
        resize_prob2, resize_range2: the same in the second round; its factors are those of the size of the input.
        gaussian_noise_prob2, noise_range2, poisson_scale_range2, gray_noise_prob2, jpeg_range2: the same in the second
            round.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    dataset: DatasetBlock
    gt_size: Annotated[int, Ge(1)]
    gt_usm: bool = True
    resize_prob: list[Share] = _numbers(0.2, 0.7, 0.1)
    resize_range: list[float] = _numbers(0.15, 1.5)
    gaussian_noise_prob: Share = 0.5
    noise_range: list[float] = _numbers(1, 30)
    poisson_scale_range: list[float] = _numbers(0.05, 3)
    gray_noise_prob: Share = 0.4
    jpeg_range: list[float] = _numbers(30, 95)
    second_blur_prob: Share = 0.8
    resize_prob2: list[Share] = _numbers(0.3, 0.4, 0.3)
    resize_range2: list[float] = _numbers(0.3, 1.2)
    gaussian_noise_prob2: Share = 0.5
    noise_range2: list[float] = _numbers(1, 25)
    poisson_scale_range2: list[float] = _numbers(0.05, 2.5)
    gray_noise_prob2: Share = 0.4
    jpeg_range2: list[float] = _numbers(30, 95)
    phase: str = 'train'
    scale: Annotated[int, Ge(1)] = 1

    def __post_init__(self) -> None:
        if self.phase != 'train':
            advice = 'Name a dataset that reads whole images there, as BicubicSRDataset, or SingleImageDataset.'
            raise OptionError('type', f'{self.type} in datasets.train of a training', self.phase, advice)
        if self.gt_size % self.scale:
            raise OptionError('gt_size', f'a multiple of the scale {self.scale}', self.gt_size, 'Correct it.')
        for suffix in ('', '2'):
            self._check(suffix)

    def _check(self, suffix: str) -> None:
        """Check the keys of a round."""
        weights, factors = getattr(self, f'resize_prob{suffix}'), getattr(self, f'resize_range{suffix}')
        if len(weights) != 3 or not sum(weights):
            raise OptionError(
                f'resize_prob{suffix}', 'three weights, not all 0: up, down, keep', weights, 'Correct them.'
            )
        if len(factors) != 2 or not 0 < factors[0] <= 1 <= factors[1] <= LARGEST:
            expected = f'[low, high] with 0 < low <= 1 <= high <= {LARGEST}'
            raise OptionError(f'resize_range{suffix}', expected, factors, 'Correct them.')
        for key, (least, most) in ENDS.items():
            values = getattr(self, f'{key}{suffix}')
            if len(values) != 2 or not least <= values[0] <= values[1] <= most or math.isinf(values[1]):
                bound = f' from {least}' + ('' if math.isinf(most) else f' to {most}')
                raise OptionError(f'{key}{suffix}', f'[low, high]{bound}', values, 'Correct them.')

    def rounds(self) -> tuple[Round, Round]:
        """What the two rounds draw from."""
        return self._round('', 1), self._round('2', self.second_blur_prob)

    def _round(self, suffix: str, blur_prob: float) -> Round:
        def of(key: str) -> Any:
            value = getattr(self, f'{key}{suffix}')
            return tuple(value) if isinstance(value, list) else value

        return Round(
            blur_prob=blur_prob,
            resize_probs=of('resize_prob'),
            resize_range=of('resize_range'),
            gaussian_prob=of('gaussian_noise_prob'),
            sigma_range=of('noise_range'),
            poisson_range=of('poisson_scale_range'),
            grey_prob=of('gray_noise_prob'),
            quality_range=of('jpeg_range'),
        )


@DATASET_REGISTRY.register()
class RealWorldSRDataset(WrapperDataset):
    """Degrade the clean images of a RealESRGANDataset by its kernels: pairs for any model, also without a GPU.

    A sample has `lq` and `gt`, 3 x (gt_size / scale)^2 and 3 x gt_size^2, RGB, float32, [0, 1], `lq` on the 256 levels
    of 8 bits, and `lq_path` and `gt_path`, both the clean file. With `gt_usm` the ground truth is sharpened too.

    BasicSR's RealESRNetModel and RealESRGANModel degrade a batch, on a GPU. Here the workers degrade each sample, with
    these differences: factors and orders are those of a sample, so no pool of pairs (`queue_size`) has to mix batches;
    JPEG is OpenCV's, of whole qualities and 8 bits, instead of DiffJPEG; the first resizing places pixels by the sizes
    of both images, not by the factor from which they were rounded.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: an option is wrong, or patches are asked for at given places.
        DataError: a sample inside has no kernels, or is smaller than the patch.

    Example:

    .. code-block:: yaml

        scale: 4
        datasets:
          train:
            name: DIV2K
            type: RealWorldSRDataset
            gt_size: 256
            dataset:
              type: RealESRGANDataset
              dataroot_gt: datasets/DIV2K/DIV2K_train_HR
              meta_info: datasets/DIV2K/DIV2K_train_HR.txt
              io_backend: {type: disk}
              use_hflip: true
              use_rot: false
              blur_kernel_size: 21
              kernel_list: [iso, aniso, generalized_iso, generalized_aniso, plateau_iso, plateau_aniso]
              kernel_prob: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
              sinc_prob: 0.1
              blur_sigma: [0.2, 3]
              betag_range: [0.5, 4]
              betap_range: [1, 2]
              blur_kernel_size2: 21
              kernel_list2: [iso, aniso, generalized_iso, generalized_aniso, plateau_iso, plateau_aniso]
              kernel_prob2: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
              sinc_prob2: 0.1
              blur_sigma2: [0.2, 1.5]
              betag_range2: [0.5, 4]
              betap_range2: [1, 2]
              final_sinc_prob: 0.8
    """

    Options = RealWorldSROptions
    changes_pixels = True

    def __init__(self, opt: dict[str, Any]) -> None:
        self.where = f'dataset {opt.get("name")}'
        self.options = read_block(RealWorldSROptions, opt, self.where, ignore=LOADER_KEYS)
        self.rounds = self.options.rounds()
        super().__init__(opt)

    def change(self, sample: Sample, index: int) -> Sample:
        """Degrade a clean image by its kernels, and cut a patch."""
        gt, kernels = self._clean(sample), Kernels(*(sample[key].numpy() for key in KERNELS))
        if self.options.gt_usm:
            gt = usm_sharp(gt)
        scale, rng = self.options.scale, sample_rng(index, 'real world')
        lq = degrade(gt, kernels, self.rounds, scale, rng)
        side = self.options.gt_size // scale
        top, left = (int(rng.integers(length - side, endpoint=True)) for length in lq.shape[:2])
        pair = {'lq': _cut(lq, top, left, side), 'gt': _cut(gt, top * scale, left * scale, self.options.gt_size)}
        return {**pair, 'lq_path': sample['gt_path'], 'gt_path': sample['gt_path']}

    def _clean(self, sample: Sample) -> np.ndarray:
        """The clean image, H x W x 3, cut to a multiple of the scale."""
        where, scale = f'{self.where}.dataset', self.options.scale
        missing = [key for key in ('gt', *KERNELS) if not isinstance(sample.get(key), Tensor)]
        if missing:
            raise DataError(
                where, 'samples with gt and kernels', f'no {", ".join(missing)}', 'Write type: RealESRGANDataset.'
            )
        height, width = (side - side % scale for side in sample['gt'].shape[1:])
        if min(height, width) < self.options.gt_size:
            size = self.options.gt_size
            raise DataError(where, f'at least {size} x {size} pixels', f'{height} x {width}', 'Lower gt_size.')
        return np.ascontiguousarray(as_array(sample['gt'][:, :height, :width]))

    def patch(self, index: int, corner: tuple[int, int]) -> Sample:
        """Refuse it: RealESRGANDataset cuts its images itself, at random."""
        raise OptionError(
            self.where, 'no MinedPatchDataset around it', 'one', 'Remove it: RealESRGANDataset cuts at random.'
        )


def _cut(image: np.ndarray, top: int, left: int, side: int) -> Tensor:
    return as_tensor(image[top : top + side, left : left + side])
