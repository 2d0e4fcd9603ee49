"""Augmentation that mixes pairs: mixup, CutMix and CutBlur."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from basicsr.utils.registry import DATASET_REGISTRY
from torch import Tensor

from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng

PARTNERS = 2**32  # added to the position of a sample, so that its partner has a crop and noise of its own
MIXUP_ALPHA = 1.2  # as Yoo et al. (2020)

Share = Annotated[float, Interval(ge=0, le=1)]
Box = tuple[slice, slice]


@dataclass(frozen=True)
class MixedPairsOptions:
    """Which part of the samples is mixed in which way; the rest stays as it is.

    Attributes:
        dataset: the block of the dataset whose pairs are mixed.
        mixup: part of the samples that become a weighted mean with another one.
        cutmix: part of the samples of which a rectangle comes from another one.
        cutblur: part of the samples of which a rectangle of the input, or all but one, is replaced by the ground truth;
            needs images of one size, `scale: 1`.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    dataset: DatasetBlock
    mixup: Share = 0
    cutmix: Share = 0
    cutblur: Share = 0
    phase: str = 'train'
    scale: int = 1

    def __post_init__(self) -> None:
        total = self.mixup + self.cutmix + self.cutblur
        if not 0 < total <= 1:
            raise OptionError(
                'mixup', 'a sum above 0 and up to 1 with cutmix and cutblur', f'{total:g}', 'Change one of them.'
            )
        if self.cutblur and self.scale != 1:
            raise OptionError('cutblur', '0 where gt is larger than lq', self.cutblur, 'Leave it out.')
        if self.phase != 'train':
            raise OptionError('type', f'{self.type} in datasets.train', self.phase, 'Name the dataset inside.')


@DATASET_REGISTRY.register()
class MixedPairsDataset(WrapperDataset):
    """Mix training pairs: mixup (Zhang et al., 2018), CutMix (Yun et al., 2019) and CutBlur (Yoo et al., 2020).

    Input and ground truth are mixed alike. Another sample is any item of the dataset, with a crop and noise of its own.
    A rectangle takes a part of the area that is drawn evenly from 0 to 1, and has the shape of the patch.

    Readings chosen: the weight of mixup is drawn from Beta(1.2, 1.2), as Yoo et al. do; CutBlur exchanges inside the
    rectangle and outside of it equally often.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: an option is wrong.
        DataError: samples without lq and gt, or of different sizes, as whole images are.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400-mixed
            type: MixedPairsDataset
            mixup: 0.25
            cutblur: 0.25
            dataset:
              type: GaussianDenoisingDataset
              dataroot_gt: datasets/BSD400
              sigma: 50
              gt_size: 64
    """

    Options = MixedPairsOptions
    changes_pixels = True

    def __init__(self, opt: dict[str, Any]) -> None:
        self.where = f'dataset {opt.get("name")}'
        self.options = read_block(MixedPairsOptions, opt, self.where, ignore=LOADER_KEYS)
        super().__init__(opt)

    def change(self, sample: Sample, index: int) -> Sample:
        """Mix the sample, or leave it as it is."""
        rng, options = sample_rng(index, 'mix'), self.options
        drawn = rng.random()
        if drawn < options.mixup:
            return self._mixup(sample, self._partner(sample, index, rng), rng)
        if drawn < options.mixup + options.cutmix:
            return self._cutmix(sample, self._partner(sample, index, rng), rng)
        if drawn < options.mixup + options.cutmix + options.cutblur:
            return self._cutblur(sample, rng)
        return sample

    def _partner(self, sample: Sample, index: int, rng: np.random.Generator) -> Sample:
        """Another sample of the same size."""
        item = int(rng.integers(len(self.dataset)))
        if isinstance(index, ScheduledIndex):
            item = index.at(item).moved(PARTNERS)
        other: Sample = self.dataset[item]
        for key in ('lq', 'gt'):
            sizes = [None if each.get(key) is None else tuple(each[key].shape) for each in (sample, other)]
            if None in sizes or sizes[0] != sizes[1]:
                advice = 'Set gt_size of the dataset inside.'
                raise DataError(f'{self.where}, {key}', 'samples of one size', sizes, advice)
        return other

    @staticmethod
    def _mixup(sample: Sample, other: Sample, rng: np.random.Generator) -> Sample:
        weight = float(rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
        return {**sample, **{key: weight * sample[key] + (1 - weight) * other[key] for key in ('lq', 'gt')}}

    @staticmethod
    def _cutmix(sample: Sample, other: Sample, rng: np.random.Generator) -> Sample:
        scale = sample['gt'].shape[-1] // sample['lq'].shape[-1]
        box = _box(sample['lq'], rng)
        large = [slice(part.start * scale, part.stop * scale) for part in box]
        lq, gt = sample['lq'].clone(), sample['gt'].clone()
        lq[..., box[0], box[1]] = other['lq'][..., box[0], box[1]]
        gt[..., large[0], large[1]] = other['gt'][..., large[0], large[1]]
        return {**sample, 'lq': lq, 'gt': gt}

    def _cutblur(self, sample: Sample, rng: np.random.Generator) -> Sample:
        lq, gt = sample.get('lq'), sample.get('gt')
        if lq is None or gt is None or lq.shape != gt.shape:
            shapes = [None if image is None else tuple(image.shape) for image in (lq, gt)]
            raise DataError(f'{self.where}, cutblur', 'lq and gt of one shape', shapes, 'Leave cutblur out.')
        box = _box(lq, rng)
        outer, inner = (lq, gt) if rng.random() < 0.5 else (gt, lq)
        mixed = outer.clone()
        mixed[..., box[0], box[1]] = inner[..., box[0], box[1]]
        return {**sample, 'lq': mixed}


def _box(image: Tensor, rng: np.random.Generator) -> Box:
    """Rows and columns of a random rectangle that has the shape of an image C x H x W."""
    share = math.sqrt(rng.random())
    sides = [max(1, round(share * side)) for side in image.shape[-2:]]
    corner = [int(rng.integers(whole - side + 1)) for whole, side in zip(image.shape[-2:], sides, strict=True)]
    top, left = (slice(first, first + side) for first, side in zip(corner, sides, strict=True))
    return top, left
