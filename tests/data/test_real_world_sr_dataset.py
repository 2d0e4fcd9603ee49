"""Pairs for real-world super-resolution: their form, where they lie, what they compose with, what is refused."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from basicsr.data import build_dataset
from basicsr.utils.img_process_util import usm_sharp

from basicsr_ext.__main__ import main
from basicsr_ext.data import real_world_degradation
from basicsr_ext.data.file_checks import check_real_esrgan
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.images.pixels import as_array
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import Item, write_manifest, write_patch_manifest
from tests.helpers.images import same, write_images
from tests.helpers.real_world import clean, real_world
from tests.helpers.training import options

STILL: dict[str, Any] = {  # what changes nothing but the size
    'gt_usm': False, 'resize_prob': [0, 0, 1], 'resize_prob2': [0, 0, 1], 'gaussian_noise_prob': 1,
    'gaussian_noise_prob2': 1, 'noise_range': [0, 0], 'noise_range2': [0, 0], 'second_blur_prob': 0,
}  # fmt: skip
SHARP = {  # kernels that are a pulse
    'sinc_prob': 0, 'sinc_prob2': 0, 'final_sinc_prob': 0, 'kernel_list': ['iso'], 'kernel_prob': [1],
    'blur_sigma': [0.01, 0.02],
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(Path('images'), number=4, size=48, color=True)


def moment(item: int, position: int = 0) -> ScheduledIndex:
    return ScheduledIndex(item, seed=3, iteration=7, position=position, warmup=False)


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_a_sample_is_a_pair_of_one_size_on_8_bit_levels(scale: int) -> None:
    dataset = build_dataset(real_world('images', scale=scale, gt_size=20 * scale))
    for item in range(4):
        sample = dataset[moment(item)]
        assert set(sample) == {'lq', 'gt', 'lq_path', 'gt_path'}
        assert sample['lq_path'] == sample['gt_path'] == f'images/{item:03d}.png'
        assert sample['lq'].shape == (3, 20, 20) and sample['gt'].shape == (3, 20 * scale, 20 * scale)
        for image in (sample['lq'], sample['gt']):
            assert image.dtype == torch.float32 and 0 <= image.min() < image.max() <= 1 and image.is_contiguous()
        levels = sample['lq'] * 255
        assert (levels - levels.round()).abs().max() < 1e-4


def test_the_parts_of_a_pair_lie_at_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing but the size changes, the input is the mean of the areas of the ground truth."""
    monkeypatch.setattr(real_world_degradation, 'compress', lambda image, _: image)
    monkeypatch.setattr(real_world_degradation, 'MODES', ('area',))
    dataset = build_dataset(real_world('images', SHARP, **STILL))
    corners = set()
    for position in range(4):
        sample = dataset[moment(1, position)]
        blocks = as_array(sample['gt']).reshape(8, 4, 8, 4, 3).mean((1, 3))
        assert np.abs(as_array(sample['lq']) - blocks).max() <= 0.5 / 255 + 1e-6
        corners.add(tuple(sample['gt'][:, 0, 0].tolist()))
    assert len(corners) > 1


def test_the_ground_truth_is_sharpened_before_it_is_cut() -> None:
    whole = {'scale': 4, 'gt_size': 400}
    plain, sharp = (build_dataset(real_world('images', gt_usm=usm, **whole))[moment(2)] for usm in (False, True))
    expected = usm_sharp(np.ascontiguousarray(as_array(plain['gt'])))
    assert np.abs(as_array(sharp['gt']) - expected).max() < 1e-6
    assert not torch.equal(sharp['gt'], plain['gt']) and not torch.equal(sharp['lq'], plain['lq'])


def test_a_sample_follows_from_its_moment_alone() -> None:
    dataset = build_dataset(real_world('images'))
    first = dataset[moment(0)]
    np.random.seed(1)
    torch.manual_seed(1)
    assert same(dataset[moment(0)], first)
    assert not torch.equal(dataset[moment(0, position=1)]['lq'], first['lq'])
    assert dataset[0]['lq'].shape == (3, 8, 8)  # BasicSR's own loop gives plain indices


def test_a_choice_of_images_stands_inside() -> None:
    items = [Item(f'{number:03d}.png', 48, 48) for number in range(4)]
    write_manifest('ranking.parquet', items, {'rank': [3, 1, 4, 2]}, {'method': 'none'})
    chosen = {'type': 'InfluenceSubsetDataset', 'manifest': 'ranking.parquet', 'subset': 'top', 'size': 2}
    dataset = build_dataset(real_world('images', dataset={**chosen, 'dataset': clean('images')}))
    assert [dataset[moment(item)]['gt_path'] for item in range(len(dataset))] == ['images/001.png', 'images/003.png']


def test_mixing_and_a_warmup_stand_around_it() -> None:
    inner = {key: value for key, value in real_world('images', scale=2).items() if key not in ('phase', 'scale')}
    outer = {'name': 'x', 'phase': 'train', 'scale': 2, 'dataset': inner}
    mixed = build_dataset({**outer, 'type': 'MixedPairsDataset', 'cutmix': 1})
    assert mixed[moment(1)]['lq'].shape == (3, 16, 16)
    shuffled = build_dataset({**outer, 'type': 'PixelShuffleWarmupDataset'})
    warm, plain = (
        shuffled[ScheduledIndex(1, seed=3, iteration=7, position=0, warmup=warmup)] for warmup in (True, False)
    )
    assert not torch.equal(warm['gt'], plain['gt'])
    assert torch.equal(warm['gt'].flatten(1).sort().values, plain['gt'].flatten(1).sort().values)


def test_patches_at_given_places_are_refused() -> None:
    items = [Item(f'{number:03d}.png', 48, 48) for number in range(4)]
    patches = {'image': np.arange(4), 'y': np.zeros(4, int), 'x': np.zeros(4, int), 'size': np.full(4, 16)}
    write_patch_manifest('patches.parquet', items, [{**patches, 'grad': np.arange(4.0)}], {'method': 'none'})
    inner = {key: value for key, value in real_world('images').items() if key != 'phase'}
    block = {'name': 'x', 'type': 'MinedPatchDataset', 'phase': 'train', 'scale': 4, 'manifest': 'patches.parquet'}
    dataset = build_dataset({**block, 'dataset': inner})
    with pytest.raises(OptionError, match='dataset tiny: expected no MinedPatchDataset around it, got one. Remove it'):
        dataset[moment(0)]


@pytest.mark.parametrize(
    ('keys', 'said'),
    [
        ({'gt_size': 30}, 'gt_size: expected a multiple of the scale 4, got 30'),
        ({'phase': 'val'}, 'type: expected RealWorldSRDataset in datasets.train of a training, got val. Name a data'),
        ({'resize_prob2': [0, 0, 0]}, 'resize_prob2: expected three weights, not all 0: up, down, keep'),
        ({'resize_prob': [0.5, 0.5]}, 'resize_prob: expected three weights'),
        ({'resize_range': [1.1, 1.5]}, r'resize_range: expected \[low, high\] with 0 < low <= 1 <= high'),
        ({'noise_range': [30, 1]}, r'noise_range: expected \[low, high\] from 0 to 255, got \[30, 1\]'),
        ({'jpeg_range2': [0, 95]}, r'jpeg_range2: expected \[low, high\] from 1 to 100'),
        ({'poisson_scale_range': [0.1]}, r'poisson_scale_range: expected \[low, high\] from 0, got'),
        ({'second_blur_prob': 1.5}, 'second_blur_prob: expected 0 to 1, got 1.5'),
        ({'queue_size': 180}, 'queue_size: expected a known key'),
    ],
)
def test_wrong_options(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        build_dataset(real_world('images', **keys))


def test_samples_that_cannot_be_degraded() -> None:
    inner = {'type': 'BicubicSRDataset', 'dataroot_gt': 'images', 'gt_size': 16}
    with pytest.raises(DataError, match=r'dataset: expected samples with gt and kernels, got no kernel1, kernel2'):
        build_dataset(real_world('images', dataset=inner))[moment(0)]
    with pytest.raises(DataError, match=r'expected at least 404 x 404 pixels, got 400 x 400\. Lower gt_size'):
        build_dataset(real_world('images', gt_size=404))[moment(0)]


def test_what_a_real_esrgan_dataset_lacks_is_named() -> None:
    block = clean('images')
    check_real_esrgan(block, 'd')
    with pytest.raises(OptionError, match=r'd\.kernel_list2: expected a value'):
        check_real_esrgan({key: value for key, value in block.items() if key != 'kernel_list2'}, 'd')
    with pytest.raises(DataError, match=r"d\.meta_info: expected a file with a name a line, got 'no\.txt'"):
        check_real_esrgan({**block, 'meta_info': 'no.txt'}, 'd')
    with pytest.raises(DataError, match=r'd\.meta_info: expected a file with a name a line, got None'):
        check_real_esrgan({key: value for key, value in block.items() if key != 'meta_info'}, 'd')
    os.remove('images/002.png')
    with pytest.raises(DataError, match=r'd\.meta_info: expected names of files that exist, missing, got 002\.png'):
        check_real_esrgan(block, 'd')
    check_real_esrgan({**block, 'io_backend': {'type': 'lmdb'}}, 'd')


@pytest.mark.parametrize('job', ['rank', 'compare'])
def test_jobs_that_read_whole_images_refuse_it(job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = {key: value for key, value in real_world('images').items() if key not in ('phase', 'scale')}
    if job == 'rank':
        opt: dict[str, Any] = {'name': 'run', 'scale': 4, 'datasets': {'train': block}}
        opt['rank'] = {'method': 'complexity', 'criterion': 'std'}
    else:
        opt = options(tmp_path)
        opt['scale'] = 4
        opt['datasets']['train'] = {**block, 'batch_size_per_gpu': 2}
        opt['datasets']['val']['dataroot_gt'] = 'images'
    Path('run.yml').write_text(yaml.safe_dump(opt))
    assert main([job, '-opt', 'run.yml', *(['--sets', 'random', '--sizes', '1'] if job == 'compare' else [])]) == 2
    said = capsys.readouterr().err
    assert 'expected RealWorldSRDataset in datasets.train of a training, got val' in said
