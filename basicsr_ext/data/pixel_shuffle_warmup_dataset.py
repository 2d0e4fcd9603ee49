"""TRAPS: learn from shuffled pixels first, from patterns afterwards."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.nesting import warmup_rule
from basicsr_ext.data.pixel_shuffle import draw_permutations, permute_pixels
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS, reader_blocks
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng
from basicsr_ext.schedule.warmup import FRACTION, AutoStop, Stop, WarmupRule


@dataclass(frozen=True)
class Repeat:
    """The warm-ups after the first one.

    Attributes:
        at: what starts one: a drop of the learning rate.
        iters: its iterations.
    """

    at: Literal['lr_drops']
    iters: Annotated[int, Ge(1)]


@dataclass(frozen=True)
class PixelShuffleWarmupOptions:
    """The length of the warm-up, and how it shuffles pixels.

    Attributes:
        dataset: the block of the dataset that is warmed up on.
        stop: when the warm-up ends: `auto`, or one of the keys of the block; None is `{fraction: 0.0533}`, 16/300.
        per_channel: every channel has a permutation of its own, as in the paper; false keeps the colour of a pixel
            together.
        block: side in pixels of the input of what moves: 1 for pixels, as in the paper; blocks of more are permuted and
            kept whole inside, which leaves the patterns in them. It has to divide the sides of the patch.
        repeat: more iterations after each drop of the learning rate.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    dataset: DatasetBlock
    stop: Literal['auto'] | Stop | None = None
    per_channel: bool = True
    block: Annotated[int, Ge(1)] = 1
    repeat: Repeat | None = None
    phase: str = 'train'
    scale: int = 1

    def __post_init__(self) -> None:
        if self.phase != 'train':
            raise OptionError(
                'type',
                f'{self.type} in datasets.train of a training',
                f'phase {shown(self.phase)}',
                'Name the dataset inside.',
            )

    def rule(self) -> WarmupRule:
        """The iterations that these options ask for."""
        stop = Stop(auto=AutoStop()) if self.stop == 'auto' else self.stop or Stop(fraction=FRACTION)
        return WarmupRule(stop, 0 if self.repeat is None else self.repeat.iters)


@DATASET_REGISTRY.register()
class PixelShuffleWarmupDataset(WrapperDataset):
    """Permute the pixels of each training pair in the first iterations: TRAPS (2024, Sec. 3.2, Eq. 5, Algorithm 1).

    Iterations count from 1; those up to the one that `stop` says are the warm-up. In it every channel of every sample
    has its own random permutation, the same for `lq` and `gt`; after it samples are those of the dataset inside. The
    training loop of this package says with each index whether its iteration belongs to the warm-up, so that the number
    is exact for any number of workers, processes and resumes.

    Readings chosen: for super-resolution, which the paper did not try, the blocks of scale x scale pixels of `gt` that
    belong to a pixel of `lq` move with it; `auto` and `repeat` are what the paper leaves to future work.

    Perceptual losses are off in the warm-up, and validations in it do not decide about the best checkpoint.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: an option is wrong, or a dataset inside warms up too.
        DataError: a sample is no pair of images, or its sizes or channels do not belong together.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400-warmup
            type: PixelShuffleWarmupDataset
            stop:
              epoch: 16
            per_channel: true
            dataset:
              type: GaussianDenoisingDataset
              dataroot_gt: datasets/BSD400
              sigma: 50
              gt_size: 64
    """

    Options = PixelShuffleWarmupOptions
    changes_pixels = True

    def __init__(self, opt: dict[str, Any]) -> None:
        self.where = f'dataset {opt.get("name")}'
        options = read_block(PixelShuffleWarmupOptions, opt, self.where, ignore=LOADER_KEYS)
        super().__init__(opt)
        if warmup_rule(self.dataset) is not None:
            raise OptionError(f'{self.where}.dataset', 'one warm-up', 'another one inside', 'Remove one of them.')
        self.warmup = options.rule()
        self.per_channel, self.block = options.per_channel, options.block
        _check_patches(opt, self.block, self.where)
        if options.scale > 1:
            get_root_logger().warning(
                f'{self.where}: pixel-shuffled warm-up at scale {options.scale}; the paper tried scale 1 only.'
            )

    def change(self, sample: Sample, index: int) -> Sample:
        """Permute `lq` and `gt` if the iteration belongs to the warm-up."""
        if not isinstance(index, ScheduledIndex) or index.warmup is None:
            raise OptionError(
                self.where,
                'an index that says whether its iteration is shuffled',
                'a plain one: only the training loop of basicsr_ext knows when the warm-up is over, and only for its '
                'own wrappers',
                'Run `python -m basicsr_ext train`, or use `from basicsr_ext.jobs.train import train_pipeline`, with '
                'this dataset outermost; for anything but training name the dataset inside.',
            )
        if not index.warmup:
            return sample
        scale = self._scale(sample)
        lq, gt = sample['lq'], sample['gt']
        number = len(lq) if self.per_channel else 1
        order = draw_permutations(sample_rng(index, 'shuffle'), number, lq[0].numel() // self.block**2)
        moved = {'lq': permute_pixels(lq, order, self.block), 'gt': permute_pixels(gt, order, self.block * scale)}
        return {**sample, **moved}

    def _scale(self, sample: Sample) -> int:
        """The scale: how many times as large as `lq` `gt` is."""
        lq, gt = sample.get('lq'), sample.get('gt')
        name = sample.get('gt_path', sample.get('lq_path', 'a sample'))
        if lq is None or gt is None or lq.ndim != 3 or gt.ndim != 3:
            shapes = {key: None if image is None else tuple(image.shape) for key, image in (('lq', lq), ('gt', gt))}
            raise DataError(name, 'lq and gt of C x H x W to shuffle', shapes, 'Remove the warm-up.')
        scale: int = gt.shape[-1] // lq.shape[-1]
        if gt.shape[-2:] != (lq.shape[-2] * scale, lq.shape[-1] * scale) or not scale:
            raise DataError(
                name,
                'gt a whole number of times as large as lq',
                f'{tuple(gt.shape)} and {tuple(lq.shape)}',
                'Correct the pair.',
            )
        if self.per_channel and len(lq) != len(gt):
            raise DataError(
                name, 'as many channels in lq as in gt', f'{len(lq)} and {len(gt)}', 'Set per_channel: false.'
            )
        if lq.shape[-2] % self.block or lq.shape[-1] % self.block:
            sides = f'{lq.shape[-2]} x {lq.shape[-1]}'
            raise DataError(name, f'sides of lq that {self.block} divides, to move blocks', sides, 'Set another block.')
        return scale


def _check_patches(opt: dict[str, Any], block: int, where: str) -> None:
    """Refuse patches that blocks do not tile, where the datasets inside name their size."""
    for reader, path in reader_blocks(opt['dataset'], f'{where}.dataset'):
        side, scale = reader.get('gt_size'), reader.get('scale') or opt.get('scale') or 1
        if isinstance(side, int) and side % (block * scale):
            raise OptionError(
                f'{path}.gt_size',
                f'a multiple of {block * scale}, as blocks of {block} x {block} pixels of the input move',
                side,
                'Correct it, or set another block.',
            )
