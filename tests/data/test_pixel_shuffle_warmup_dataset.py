"""PixelShuffleWarmupDataset: permuted pairs in the warm-up, the dataset inside afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.data import build_dataset

from basicsr_ext.data.pixel_shuffle import draw_permutations, permute_pixels
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng
from basicsr_ext.schedule.warmup import FRACTION
from tests.helpers.images import write_images


def denoising(root: Path, **changes: Any) -> dict[str, Any]:
    block = {
        'type': 'GaussianDenoisingDataset',
        'dataroot_gt': str(root / 'gt'),
        'color': 'rgb',
        'sigma': 25,
        'gt_size': 12,
    }
    return {**block, **changes}


def block(inner: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        'name': 'warm',
        'type': 'PixelShuffleWarmupDataset',
        'phase': 'train',
        'scale': 1,
        'dataset': inner,
        **changes,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / 'gt', number=3, size=40, color=True)
    return tmp_path


def moment(value: int = 1, iteration: int = 4, position: int = 2, warmup: bool = True) -> ScheduledIndex:
    return ScheduledIndex(value, 7, iteration, position, warmup)


def pair(opt: dict[str, Any], index: ScheduledIndex | None = None) -> tuple[Sample, Sample]:
    """A sample of the dataset inside and of the wrapper, at the same moment."""
    dataset = build_dataset(opt)
    index = index or moment()
    return dataset.dataset[index], dataset[index]


# ---- permutations ----


def test_permutations_hold_every_index_once() -> None:
    order = draw_permutations(np.random.default_rng(0), 5, 77)
    assert order.shape == (5, 77)
    assert (order.sort(dim=1).values == torch.arange(77)).all()
    assert len({tuple(row) for row in order.tolist()}) == 5


def test_permutations_are_uniform() -> None:
    """Chi-square on the 24 permutations of 4 pixels: 23 degrees of freedom, 49.7 at one in a thousand."""
    drawn = draw_permutations(np.random.default_rng(1), 24_000, 4)
    counts = np.unique(drawn.numpy() @ np.array([64, 16, 4, 1]), return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 49.7


def test_permutations_of_different_samples_are_uniform_too(root: Path) -> None:
    """The same over iterations and positions, through the seeds that the schedule gives."""
    drawn = [
        draw_permutations(sample_rng(ScheduledIndex(0, 3, iteration, position), 'shuffle'), 1, 4)[0].tolist()
        for iteration in range(1, 301)
        for position in range(16)
    ]
    counts = np.unique(np.array(drawn) @ np.array([64, 16, 4, 1]), return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 49.7


@pytest.mark.parametrize('shared', [False, True])
def test_permute_pixels_is_the_plain_loop(shared: bool) -> None:
    image = torch.rand(3, 4, 5)
    order = draw_permutations(np.random.default_rng(2), 1 if shared else 3, 20)
    moved = permute_pixels(image, order)
    for channel in range(3):
        for pixel in range(20):
            source = int(order[0 if shared else channel, pixel])
            assert moved[channel, pixel // 5, pixel % 5] == image[channel, source // 5, source % 5]


@pytest.mark.parametrize('scale', [2, 3])
def test_permute_pixels_moves_whole_blocks(scale: int) -> None:
    lq, order = torch.rand(3, 4, 5), draw_permutations(np.random.default_rng(2), 3, 20)
    gt = lq.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    enlarged = permute_pixels(lq, order).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    assert torch.equal(permute_pixels(gt, order, scale), enlarged)
    ramp = torch.arange(3 * 4 * 5 * scale**2, dtype=torch.float32).reshape(3, 4 * scale, 5 * scale)
    moved = permute_pixels(ramp, order, scale)
    for channel in range(3):
        for pixel in range(20):
            y, x = divmod(int(order[channel, pixel]), 5)
            target = moved[channel, pixel // 5 * scale :, pixel % 5 * scale :][:scale, :scale]
            assert torch.equal(target, ramp[channel, y * scale :, x * scale :][:scale, :scale])


# ---- samples ----


@pytest.mark.parametrize('per_channel', [True, False])
def test_values_stay_and_pairs_stay_together(root: Path, per_channel: bool) -> None:
    source, shuffled = pair(block(denoising(root), per_channel=per_channel))
    for key in ('lq', 'gt'):
        before, after = (sample[key].flatten(1) for sample in (source, shuffled))
        assert not torch.equal(before, after)
        assert torch.equal(before.sort(dim=1).values, after.sort(dim=1).values)
    for channel in range(3):
        before, after = (
            sorted(zip(sample['lq'][channel].flatten().tolist(), sample['gt'][channel].flatten().tolist(), strict=True))
            for sample in (source, shuffled)
        )
        assert before == after
    colours = [sorted(map(tuple, sample['gt'].flatten(1).T.tolist())) for sample in (source, shuffled)]
    assert (colours[0] == colours[1]) is not per_channel
    assert source['gt_path'] == shuffled['gt_path']


def test_super_resolution_pairs_stay_together(root: Path) -> None:
    """The mean of each block of gt still belongs to its pixel of lq."""
    inner = {'type': 'BicubicSRDataset', 'dataroot_gt': str(root / 'gt'), 'gt_size': 12}
    source, shuffled = pair(block(inner, scale=2))
    assert shuffled['lq'].shape == (3, 6, 6) and shuffled['gt'].shape == (3, 12, 12)

    def rows(sample: Sample) -> list[list[float]]:
        blocks = torch.nn.functional.pixel_unshuffle(sample['gt'], 2).reshape(3, 4, 36)
        return sorted(
            torch.cat([sample['lq'].reshape(3, 1, 36), blocks], dim=1).permute(0, 2, 1).flatten(0, 1).tolist()
        )

    assert rows(source) == rows(shuffled) and not torch.equal(source['lq'], shuffled['lq'])


@pytest.mark.parametrize(('side', 'per_channel'), [(2, True), (4, True), (3, False)])
def test_blocks_move_as_wholes_like_those_of_a_plain_loop(root: Path, side: int, per_channel: bool) -> None:
    opt = block(denoising(root), block=side, per_channel=per_channel)
    source, shuffled = pair(opt)
    columns = 12 // side
    order = draw_permutations(sample_rng(moment(), 'shuffle'), 3 if per_channel else 1, columns**2)
    for key in ('lq', 'gt'):
        expected = torch.empty_like(source[key])
        for channel in range(3):
            for place in range(columns**2):
                y, x = (side * each for each in divmod(int(order[channel if per_channel else 0, place]), columns))
                top, left = (side * each for each in divmod(place, columns))
                part = source[key][channel, y : y + side, x : x + side]
                expected[channel, top : top + side, left : left + side] = part
        assert torch.equal(shuffled[key], expected) and not torch.equal(shuffled[key], source[key])


def test_blocks_of_a_pixel_are_the_papers_shuffling(root: Path) -> None:
    plain, blocks = (pair(block(denoising(root), **keys))[1] for keys in ({}, {'block': 1}))
    assert torch.equal(plain['lq'], blocks['lq']) and torch.equal(plain['gt'], blocks['gt'])


def test_blocks_of_super_resolution_are_of_the_input(root: Path) -> None:
    inner = {'type': 'BicubicSRDataset', 'dataroot_gt': str(root / 'gt'), 'gt_size': 12}
    source, shuffled = pair(block(inner, scale=2, block=3))
    for key, side in (('lq', 3), ('gt', 6)):
        parts = [
            sorted(image[channel, y : y + side, x : x + side].flatten().tolist() for y in (0, side) for x in (0, side))
            for image in (source[key], shuffled[key])
            for channel in range(3)
        ]
        assert parts[:3] == parts[3:]


def test_outside_the_warmup_nothing_changes(root: Path) -> None:
    source, sample = pair(block(denoising(root)), moment(warmup=False))
    assert torch.equal(source['lq'], sample['lq']) and torch.equal(source['gt'], sample['gt'])


def test_the_permutation_hangs_on_the_moment_alone(root: Path) -> None:
    dataset = build_dataset(block(denoising(root)))
    same = [dataset[moment()]['lq'] for _ in range(2)]
    assert torch.equal(*same)
    for other in (moment(iteration=5), moment(position=3)):
        assert not torch.equal(dataset[other]['lq'], same[0])


def test_a_stock_dataset_is_shuffled_in_pairs(root: Path) -> None:
    inner = {
        'type': 'PairedImageDataset',
        'dataroot_gt': str(root / 'gt'),
        'dataroot_lq': str(root / 'gt'),
        'io_backend': {'type': 'disk'},
        'gt_size': 12,
        'use_hflip': True,
        'use_rot': True,
    }
    source, shuffled = pair(block(inner))
    assert torch.equal(shuffled['lq'], shuffled['gt']) and not torch.equal(shuffled['lq'], source['lq'])
    assert torch.equal(shuffled['lq'].flatten(1).sort().values, source['lq'].flatten(1).sort().values)


def test_patch_sizes_may_change(root: Path) -> None:
    dataset = build_dataset(block(denoising(root, gt_size=None)))
    for size in (8, 15):
        sample = dataset.change({'lq': torch.rand(3, size, size), 'gt': torch.rand(3, size, size)}, moment())
        assert sample['lq'].shape == (3, size, size)


def test_nested_in_other_wrappers(root: Path) -> None:
    """Inside one that blurs clean images, whose filter reaches the files, and around it: the same samples."""
    blur = {'type': 'MeanBlurDataset', 'kernel_size': 3}
    outside = build_dataset(block({**blur, 'dataset': denoising(root)}))
    warm = {'type': 'PixelShuffleWarmupDataset', 'dataset': denoising(root)}
    inside = build_dataset({'name': 'b', 'phase': 'train', 'scale': 1, **blur, 'dataset': warm})
    assert torch.equal(outside[moment()]['lq'], inside[moment()]['lq'])


# ---- what is refused ----


def test_a_plain_index_is_refused_with_the_way_out(root: Path) -> None:
    with pytest.raises(OptionError, match='python -m basicsr_ext train'):
        build_dataset(block(denoising(root)))[0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'phase': 'val'}, 'expected PixelShuffleWarmupDataset in datasets.train of a training'),
        ({'stop': {'iters': 4}}, r"stop.iters: expected a known key, got 'iters'. Did you mean iter"),
        ({'stop': {}}, 'exactly one of iter, epoch, fraction and auto, got none'),
        ({'stop': None}, None),
        ({'stop': {'iter': 3, 'epoch': 2}}, 'exactly one of iter, epoch, fraction and auto, got iter and epoch'),
        ({'stop': {'fraction': 2}}, 'stop.fraction: expected 0 to 1, got 2'),
        ({'stop': {'auto': {'windows': 3}}}, 'stop.auto.windows: expected a known key'),
        ({'stop': 'never'}, "stop: expected 'auto' or a block of options or ~, got 'never'"),
        ({'repeat': {'at': 'lr_drops'}}, 'repeat.iters: expected a value'),
        ({'repeat': {'at': 'restarts', 'iters': 3}}, "repeat.at: expected 'lr_drops', got 'restarts'"),
        ({'repeat': {'at': 'lr_drops', 'iters': 0}}, 'repeat.iters: expected at least 1'),
        ({'per_chanel': True}, 'Did you mean per_channel'),
        ({'block': 0}, 'block: expected at least 1, got 0'),
        (
            {'block': 5},
            'dataset.gt_size: expected a multiple of 5, as blocks of 5 x 5 pixels of the input move, got 12',
        ),
    ],
)
def test_wrong_options(root: Path, change: dict[str, Any], message: str | None) -> None:
    opt = block(denoising(root), **change)
    if message is None:
        assert build_dataset(opt).warmup.stop.fraction == FRACTION
        return
    with pytest.raises(OptionError, match=message):
        build_dataset(opt)


def test_a_warmup_inside_another_or_blurred_afterwards_is_refused(root: Path) -> None:
    inner = {'type': 'PixelShuffleWarmupDataset', 'dataset': denoising(root)}
    with pytest.raises(OptionError, match='expected one warm-up, got another one inside'):
        build_dataset(block(inner))
    stock = {
        'type': 'PairedImageDataset',
        'dataroot_gt': str(root / 'gt'),
        'dataroot_lq': str(root / 'gt'),
        'io_backend': {'type': 'disk'},
        'gt_size': 12,
    }
    blurred = {
        'name': 'b',
        'phase': 'train',
        'scale': 1,
        'type': 'MeanBlurDataset',
        'kernel_size': 3,
        'dataset': {'type': 'PixelShuffleWarmupDataset', 'dataset': stock},
    }
    with pytest.raises(OptionError, match='Put the MeanBlurDataset inside'):
        build_dataset(blurred)


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        ({'gt': torch.rand(3, 8, 8)}, 'expected lq and gt of C x H x W'),
        ({'lq': torch.rand(5, 3, 8, 8), 'gt': torch.rand(5, 3, 8, 8)}, 'expected lq and gt of C x H x W'),
        ({'lq': torch.rand(3, 8, 8), 'gt': torch.rand(3, 8, 12)}, 'a whole number of times'),
        ({'lq': torch.rand(3, 8, 8), 'gt': torch.rand(3, 16, 8)}, 'a whole number of times'),
        ({'lq': torch.rand(3, 8, 8), 'gt': torch.rand(3, 4, 4)}, 'a whole number of times'),
        ({'lq': torch.rand(1, 8, 8), 'gt': torch.rand(3, 8, 8)}, 'as many channels in lq as in gt, got 1 and 3'),
    ],
)
def test_samples_that_are_no_pair(root: Path, sample: Sample, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_dataset(block(denoising(root))).change(sample, moment())


def test_a_patch_that_blocks_do_not_tile_is_refused(root: Path) -> None:
    dataset = build_dataset(block(denoising(root, gt_size=None), block=4))
    with pytest.raises(DataError, match='expected sides of lq that 4 divides, to move blocks, got 8 x 10'):
        dataset.change({'lq': torch.rand(3, 8, 10), 'gt': torch.rand(3, 8, 10)}, moment())


def test_channels_may_differ_with_one_permutation(root: Path) -> None:
    sample = {'lq': torch.rand(1, 8, 8), 'gt': torch.rand(3, 8, 8)}
    assert build_dataset(block(denoising(root), per_channel=False)).change(sample, moment())['gt'].shape == (3, 8, 8)
