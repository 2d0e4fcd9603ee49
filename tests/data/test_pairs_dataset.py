"""Pairs of files: which belong together, what a sample holds, and all that takes a dataset takes them."""

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.data import build_dataset

from basicsr_ext.__main__ import main
from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.image_names import result_names
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.mean_blur_dataset import mean_filter
from basicsr_ext.data.shared_files import image_files
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng
from basicsr_ext.selection.manifest import read_manifest
from tests.helpers.images import pack_lmdb, same, write_noise

Files = dict[str, np.ndarray]
Options = dict[str, Any]
STILL = {'use_hflip': False, 'use_rot': False}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def block(**keys: Any) -> Options:
    return {'type': 'PairsDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', **keys}


def build(phase: str = 'val', scale: int = 1, **keys: Any) -> Any:
    return build_dataset({'name': 'x', 'phase': phase, 'scale': scale, **block(**keys)})


def moment(item: int, iteration: int = 1) -> ScheduledIndex:
    return ScheduledIndex(item, seed=3, iteration=iteration, position=item, epochs=4.0)


def tensor(image: np.ndarray) -> torch.Tensor:
    """B, G, R levels as a sample has them."""
    return torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy()).float() / 255


def many() -> tuple[Files, Files]:
    """Two clean images, of which one has three hazy ones."""
    clean = write_noise('gt', {'0001.png': (24, 20), '0002.png': (16, 20)})
    hazy = dict.fromkeys(('0001_0.8_0.2.png', '0001_1_0.1.png', '0001_1_0.2.bmp'), (24, 20))
    return clean, write_noise('lq', {**hazy, '0002_1_0.2.png': (16, 20)}, seed=1)


def dual() -> tuple[Files, Files, Files]:
    """Clean images with a left and a right view each, whose endings differ."""
    gt = write_noise('gt', {'a.png': (24, 20), 'b.png': (16, 20)})
    left = write_noise('left', {'a.png': (24, 20), 'b.png': (16, 20)}, seed=1)
    right = write_noise('right', {'a.bmp': (24, 20), 'b.png': (16, 20)}, seed=2)
    return gt, left, right


def flipped(image: np.ndarray, index: int) -> np.ndarray:
    hflip, vflip, transpose = sample_rng(index, 'augment').random(3) < 0.5
    image = np.fliplr(image) if hflip else image
    image = np.flipud(image) if vflip else image
    return image.swapaxes(0, 1) if transpose else image


# ---- samples ----


@pytest.mark.parametrize('scale', [1, 2])
def test_a_training_sample_is_the_same_crop_of_both_flipped_alike(scale: int) -> None:
    gt = write_noise('gt', {'a.png': (24, 32)})['a.png']
    lq = write_noise('lq', {'a.png': (24, 32)}, scale, seed=1)['a.png']
    dataset = build('train', scale, gt_size=8)
    for iteration in range(20):
        index = moment(0, iteration)
        rng = sample_rng(index, 'crop')
        top, left = (scale * int(rng.integers((side - 8) // scale + 1)) for side in (24, 32))
        sample = dataset[index]
        expected = flipped(gt[top : top + 8, left : left + 8], index)
        assert torch.equal(sample['gt'], tensor(expected))
        small = lq[top // scale : (top + 8) // scale, left // scale : (left + 8) // scale]
        assert torch.equal(sample['lq'], tensor(flipped(small, index)))


def test_in_validation_images_are_whole_and_a_clean_one_is_cut_to_its_input() -> None:
    gt = write_noise('gt', {'a.png': (25, 31), 'below/b.jpg': (20, 20)})
    lq = write_noise('lq', {'a.bmp': (24, 30), 'below/b.png': (20, 20)}, 2, seed=1)
    dataset = build(scale=2)
    first, second = dataset[0], dataset[1]
    assert torch.equal(first['gt'], tensor(gt['a.png'][:24, :30])) and torch.equal(first['lq'], tensor(lq['a.bmp']))
    assert (second['gt_path'], second['lq_path']) == ('gt/below/b.jpg', 'lq/below/b.png')
    assert [item.path for item in inventory(dataset)] == ['a.png', 'below/b.jpg']
    assert [(item.height, item.width) for item in inventory(dataset)] == [(25, 31), (20, 20)]
    assert result_names(dataset) == ['a', 'below/b']


def test_several_inputs_share_a_clean_image_and_name_the_items() -> None:
    clean, hazy = many()
    dataset = build(gt_until='_')
    assert [item.path for item in inventory(dataset)] == sorted(hazy)
    assert result_names(dataset) == ['0001_0.8_0.2', '0001_1_0.1', '0001_1_0.2', '0002_1_0.2']
    for index, name in enumerate(sorted(hazy)):
        sample = dataset[index]
        assert torch.equal(sample['lq'], tensor(hazy[name])) and sample['lq_path'] == f'lq/{name}'
        assert torch.equal(sample['gt'], tensor(clean[f'{name[:4]}.png'])) and sample['gt_path'] == f'gt/{name[:4]}.png'
    assert [file.path for file in image_files(dataset)] == ['gt/0001.png', 'gt/0002.png']


def test_the_longest_beginning_that_is_a_clean_image_counts() -> None:
    write_noise('gt', dict.fromkeys(('a.png', 'a_b.png', 'c.png'), (8, 8)))
    write_noise('lq', dict.fromkeys(('a_1.png', 'a_b_1.png', 'a_b_2.png', 'c.png'), (8, 8)))
    dataset = build(gt_until='_')
    found = {
        Path(sample['lq_path']).stem: Path(sample['gt_path']).stem for sample in map(dataset.__getitem__, range(4))
    }
    assert found == {'a_1': 'a', 'a_b_1': 'a_b', 'a_b_2': 'a_b', 'c': 'c'}


def test_dual_pixels_are_six_channels_the_left_ones_first() -> None:
    gt, left, right = dual()
    sample = build(dataroot_lq=['left', 'right'])[0]
    assert torch.equal(sample['lq'], torch.cat([tensor(left['a.png']), tensor(right['a.bmp'])]))
    assert torch.equal(sample['gt'], tensor(gt['a.png'])) and sample['lq_path'] == 'left/a.png'
    index, dataset = moment(1), build('train', dataroot_lq=['left', 'right'], gt_size=8)
    rng = sample_rng(index, 'crop')
    top, side = int(rng.integers(8 + 1)), int(rng.integers(12 + 1))
    parts = [flipped(image['b.png'][top : top + 8, side : side + 8], index) for image in (left, right)]
    assert torch.equal(dataset[index]['lq'], torch.cat([tensor(part) for part in parts]))


def test_a_template_names_the_input() -> None:
    write_noise('gt', {'a.png': (8, 8)})
    lq = write_noise('lq', {'ax2.png': (4, 4)})
    assert torch.equal(build(scale=2, filename_tmpl='{}x2')[0]['lq'], tensor(lq['ax2.png']))


@pytest.mark.parametrize('color', ['gray', 'y'])
def test_pairs_become_grey_alike(color: str) -> None:
    write_noise('gt', {'a.png': (8, 8)})
    write_noise('lq', {'a.png': (8, 8)})
    sample = build(color=color)[0]
    assert sample['lq'].shape == (1, 8, 8) and torch.equal(sample['lq'], sample['gt'])


def test_lmdbs_give_the_samples_of_their_folders() -> None:
    many()
    pack_lmdb('gt')
    pack_lmdb('lq')
    folders = build(gt_until='_')
    packed = build(gt_until='_', dataroot_gt='gt.lmdb', dataroot_lq='lq.lmdb', io_backend={'type': 'lmdb'})
    assert len(packed) == 4
    for index in range(4):
        assert all(torch.equal(packed[index][key], folders[index][key]) for key in ('lq', 'gt'))
    assert [item.name for item in inventory(packed)] == [item.name for item in inventory(folders)]


def test_a_list_names_clean_images_or_with_gt_until_their_inputs() -> None:
    many()
    Path('list.txt').write_text('0002_1_0.2.png\n0001_1_0.1.png (24,20,3)\n')
    dataset = build(gt_until='_', meta_info_file='list.txt')
    assert [item.path for item in inventory(dataset)] == ['0002_1_0.2.png', '0001_1_0.1.png']
    dual()
    Path('list.txt').write_text('b.png\n')
    dataset = build(dataroot_lq=['left', 'right'], meta_info_file='list.txt')
    assert [item.path for item in inventory(dataset)] == ['b.png']


# ---- what is wrong with pairs ----


@pytest.mark.parametrize(
    ('gt', 'lq', 'keys', 'said'),
    [
        (
            'a b',
            'a',
            {},
            r'dataset x.dataroot_lq: expected an LQ image for every GT image, missing, got lq/b.\* \(for gt/b',
        ),
        (
            'a',
            'a b',
            {},
            r'dataset x.dataroot_lq: expected a GT image for every LQ image, without partner, got lq/b.png',
        ),
        ('a', 'a_1 b_1', {'gt_until': '_'}, r'dataset x: expected a GT image for every LQ image, .*lq/b_1.png'),
        (
            'a b',
            'a_1',
            {'gt_until': '_'},
            r'dataset x.dataroot_gt: expected an LQ image for every GT image, .*gt/b.png',
        ),
        ('a', 'a_1', {}, r'Add them, or set filename_tmpl or gt_until\.'),
    ],
)
def test_images_without_partner_are_named(gt: str, lq: str, keys: Options, said: str) -> None:
    for folder, names in (('gt', gt), ('lq', lq)):
        write_noise(folder, {f'{name}.png': (8, 8) for name in names.split()})
    with pytest.raises(DataError, match=said):
        build(**keys)


def test_a_missing_right_view_is_named() -> None:
    dual()
    Path('right/a.bmp').unlink()
    with pytest.raises(DataError, match=r'dataset x.dataroot_lq.1: .*missing.*right/a\.\* \(for gt/a.png\)'):
        build(dataroot_lq=['left', 'right'])


def test_names_that_differ_in_their_endings_alone_are_refused() -> None:
    write_noise('gt', {'a.png': (8, 8)})
    write_noise('lq', {'a.png': (8, 8), 'a.bmp': (8, 8)})
    with pytest.raises(DataError, match='dataroot_lq: expected image names that differ'):
        build()


def test_what_is_no_image_is_named_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    many()
    Path('lq/notes.txt').write_text('x')
    with caplog.at_level(logging.WARNING, 'basicsr'):
        logging.getLogger('basicsr').propagate = True
        build(gt_until='_')
    assert 'notes.txt' in caplog.text


@pytest.mark.parametrize(
    ('keys', 'said'),
    [
        ({'dataroot_lq': []}, 'dataroot_lq: expected a folder, or several'),
        ({'filename_tmpl': 'x'}, r'filename_tmpl: expected a name with \{\}'),
        ({'gt_until': ''}, 'gt_until: expected a part of names'),
        ({'gt_until': '_', 'filename_tmpl': '{}x2'}, 'gt_until: expected none beside filename_tmpl'),
        ({'color': 'bgr'}, 'color: expected gray or y or rgb'),
    ],
)
def test_wrong_options_are_refused(keys: Options, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        build(**keys)


def test_pairs_of_other_sizes_are_named_by_their_headers_and_when_they_are_read() -> None:
    dual()
    write_noise('right', {'b.png': (16, 18)})
    dataset = build('train', dataroot_lq=['left', 'right'], gt_size=8)
    with pytest.raises(
        DataError, match=r'here: .*gt/b.png \(16 x 20\) for left/b.png \(16 x 20\) and right/b.png \(16 x 18'
    ):
        check_dataset(dataset, 'here')
    with pytest.raises(DataError, match=r'left/b.png: expected GT 1 times as large as LQ, got 16 x 20 and 16 x 18'):
        dataset[moment(1)]


def test_a_damaged_right_view_is_named() -> None:
    dual()
    Path('right/b.png').write_bytes(Path('right/b.png').read_bytes()[:200])
    with pytest.raises(DataError, match='right/b.png'):
        check_pixels(build(dataroot_lq=['left', 'right']), 'here')


# ---- wrappers ----


def job(name: str, settings: Options, datasets: Options, **top: Any) -> Path:
    named = {key: {'name': key, **each} for key, each in datasets.items()}
    opt = {'name': name, 'num_gpu': 0, 'datasets': named, name: settings, **top}
    Path(f'{name}.yml').write_text(yaml.safe_dump(opt))
    assert main([name, '-opt', f'{name}.yml']) == 0
    return Path('results', name)


def wrapped(kind: str, phase: str = 'train', inner: Options | None = None, **keys: Any) -> Any:
    inner = block(gt_until='_', gt_size=8, **STILL) if inner is None else inner
    return build_dataset({'name': 'x', 'type': kind, 'phase': phase, 'scale': 1, 'dataset': inner, **keys})


def test_a_ranking_names_inputs_and_subsets_choose_from_it() -> None:
    many()
    ranking = job(
        'rank', {'method': 'complexity', 'criterion': 'entropy', 'source': 'lq'}, {'train': block(gt_until='_')}
    )
    manifest = read_manifest(str(ranking / 'ranking.parquet'))
    assert sorted(manifest.column('path')) == sorted(path.name for path in Path('lq').iterdir())
    best = manifest.column('path')[manifest.column('rank').index(1)]
    keys = {'manifest': str(ranking / 'ranking.parquet'), 'size': 1}
    assert wrapped('InfluenceSubsetDataset', subset='top', **keys)[moment(0)]['lq_path'] == f'lq/{best}'
    assert wrapped('DynamicSubsetDataset', start=1.0, **keys)[moment(0)]['lq_path'] == f'lq/{best}'


def test_mined_patches_are_cut_from_both_and_exported() -> None:
    clean, hazy = many()
    reader = block(gt_until='_', **STILL)
    mined = job('mine', {'patch_size': 8, 'stride': 4}, {'train': reader})
    manifest = str(mined / 'patches.parquet')
    dataset = wrapped('MinedPatchDataset', inner=reader, manifest=manifest, keep=1.0)
    assert len({dataset[moment(item)]['lq_path'] for item in range(len(dataset))}) == 4
    for item in range(0, len(dataset), 7):
        sample, (top, left) = dataset[moment(item)], dataset.corners[item]
        for key, files in (('lq', hazy), ('gt', clean)):
            image = files[Path(sample[f'{key}_path']).name]
            assert torch.equal(sample[key], tensor(image[top : top + 8, left : left + 8]))
    assert main(['export', manifest, '-o', 'patches', '--keep', '1.0']) == 0
    names = {kind: sorted(path.name for path in Path('patches', kind).iterdir()) for kind in ('GT', 'LQ')}
    assert names['GT'] == names['LQ'] and len(names['GT']) == len(dataset)


def test_patches_of_dual_pixels_are_exported_as_three_files() -> None:
    gt, left, right = dual()
    mined = job('mine', {'patch_size': 8, 'stride': 8}, {'train': block(dataroot_lq=['left', 'right'])})
    assert main(['export', str(mined / 'patches.parquet'), '-o', 'patches', '--keep', '1.0']) == 0
    for kind, files in (('GT', gt['a.png']), ('LQ', left['a.png']), ('LQ_2', right['a.bmp'])):
        assert np.array_equal(cv2.imread(f'patches/{kind}/a_s001.png'), files[:8, :8])


def test_the_other_wrappers_take_pairs() -> None:
    many()
    plain, index = build('train', gt_until='_', gt_size=8, **STILL), moment(2)
    blurred = wrapped('MeanBlurDataset', kernel_size=3)[index]
    expected = mean_filter(plain[index]['lq'].permute(1, 2, 0).numpy().copy(), 3)
    np.testing.assert_array_equal(blurred['lq'].permute(1, 2, 0).numpy(), expected)
    shuffled = wrapped('PixelShuffleWarmupDataset')
    index.warmup = False
    assert same(shuffled[index], plain[index])
    index.warmup = True
    assert torch.equal(shuffled[index]['lq'].flatten(1).sort()[0], plain[index]['lq'].flatten(1).sort()[0])
    assert wrapped('MixedPairsDataset', mixup=1.0)[index]['lq'].shape == (3, 8, 8)


def test_dual_pixels_pass_through_wrappers_and_stand_in_no_batch_with_others() -> None:
    dual()
    reader = block(dataroot_lq=['left', 'right'], gt_size=8, **STILL)
    index = moment(0)
    index.warmup = True
    assert wrapped('MeanBlurDataset', inner=reader, kernel_size=3)[index]['lq'].shape == (6, 8, 8)
    assert wrapped('MixedPairsDataset', inner=reader, cutmix=1.0)[index]['lq'].shape == (6, 8, 8)
    assert wrapped('PixelShuffleWarmupDataset', inner=reader, per_channel=False)[index]['lq'].shape == (6, 8, 8)
    noise = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'gt_size': 8}
    with pytest.raises(
        OptionError, match='the same number of channels of inputs in all groups, got 6 in blur, 3 in noise'
    ):
        build_dataset({'name': 'x', 'type': 'AllInOneDataset', 'datasets': {'blur': reader, 'noise': noise}})
    pairs = block(dataroot_lq='left', gt_size=8)
    Path('left/a.png').rename('left/a.bmp')
    both = build_dataset({'name': 'x', 'type': 'AllInOneDataset', 'datasets': {'blur': pairs, 'noise': noise}})
    assert [item.path for item in inventory(both)] == ['blur/a.png', 'blur/b.png', 'noise/a.png', 'noise/b.png']


# ---- jobs ----


def test_an_audit_looks_at_pairs_and_its_fit_ones_are_kept() -> None:
    rng = np.random.default_rng(0)
    Path('gt').mkdir()
    Path('lq').mkdir()
    for name in 'abcde':  # of which e is a copy of b
        clean = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (64, 64), interpolation=cv2.INTER_CUBIC)
        clean = cv2.imread('gt/b.png') if name == 'e' else clean
        for path in (f'gt/{name}.png', f'lq/{name}_1.png', f'lq/{name}_2.png'):
            cv2.imwrite(path, clean)
    audited = job('audit', {}, {'train': block(gt_until='_')})
    manifest = read_manifest(str(audited / 'audit.parquet'))
    assert manifest.column('path') == [f'{name}_{number}.png' for name in 'abcde' for number in (1, 2)]
    assert manifest.column('duplicate_of') == [''] * 8 + ['b_1.png'] * 2  # pairs of one clean image are no copies
    kept = [path for path, bad in zip(manifest.column('path'), manifest.column('suspect'), strict=True) if not bad]
    dataset = wrapped('FitImagesDataset', 'val', exclude=str(audited / 'audit.parquet'))
    assert [item.path for item in inventory(dataset)] == kept and kept


def test_align_writes_the_inputs_of_each_folder() -> None:
    _, left, right = dual()
    reader = block(dataroot_lq=['left', 'right'])
    settings = {'iterations': 1, 'patch_size': 16, 'batch_size': 1}
    tuner = {'type': 'DistributionTuner', 'in_channels': 3, 'width': 6, 'depth': 3}
    target = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt'}
    folder = job('align', settings, {'train': reader, 'target': target}, network_tuner=tuner)
    assert np.array_equal(cv2.imread(str(folder / 'lq/a.png')), left['a.png'])
    assert np.array_equal(cv2.imread(str(folder / 'lq_2/a.png')), right['a.bmp'])
    assert (folder / 'gt/a.png').is_file()


def test_what_needs_one_input_image_refuses_dual_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    dual()
    datasets = {'train': {'name': 'train', **block(dataroot_lq=['left', 'right'])}}
    network = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3}
    opt = {'name': 'x', 'num_gpu': 0, 'datasets': datasets, 'network_g': network}
    for name, settings, said in (
        (
            'rank',
            {'method': 'complexity', 'source': 'lq'},
            'rank.source: expected gt or restored, as datasets.train.da',
        ),
        (
            'distill',
            {'size': 2, 'kept': 0, 'degradation': 'learned', 'image_size': 8},
            'datasets.train.dataroot_lq: expected one folder',
        ),
    ):
        Path('x.yml').write_text(yaml.safe_dump({**opt, name: settings}))
        assert main([name, '-opt', 'x.yml']) == 2
        assert said in capsys.readouterr().err


RESTORMER = {
    'type': 'Restormer', 'num_in_ch': 6, 'num_out_ch': 3, 'dim': 4, 'num_blocks': [1, 1, 1, 1], 'heads': [1, 1, 1, 1],
    'num_refinement_blocks': 1, 'dual_pixel_task': True,
}  # fmt: skip


def test_a_network_of_dual_pixels_is_trained_validated_shown_and_ranks() -> None:
    dual()
    reader = {'name': 'dual', **block(dataroot_lq=['left', 'right'])}
    opt = {
        'name': 'run', 'model_type': 'RestorationModel', 'scale': 1, 'num_gpu': 0, 'manual_seed': 0,
        'datasets': {'train': {**reader, 'name': 'train', 'gt_size': 16, 'batch_size_per_gpu': 2}, 'val': reader},
        'network_g': RESTORMER, 'path': {},
        'train': {'total_iter': 1, 'optim_g': {'type': 'Adam', 'lr': 1e-3}, 'losses': [{'type': 'L1Loss'}]},
        'val': {'val_freq': 1, 'save_img': True, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 1, 'use_tb_logger': True},
    }  # fmt: skip
    Path('run.yml').write_text(yaml.safe_dump(opt))
    assert main(['train', '-opt', 'run.yml', '--check']) == 0
    assert main(['train', '-opt', 'run.yml']) == 0
    experiment = Path('experiments/run')
    assert set(json.loads((experiment / 'metrics.json').read_text())['per_image']['dual']) == {'a', 'b'}
    assert cv2.imread(str(experiment / 'visualization/a/a_1.png')).shape == (24, 20, 3)
    assert list(Path('tb_logger/run').iterdir())
    weights = {'pretrain_network_g': str(experiment / 'models/net_g_latest.pth')}
    datasets = {'train': block(dataroot_lq=['left', 'right']), 'test': block(dataroot_lq=['left', 'right'])}
    settings = {'method': 'influence', 'iterations': 1}
    ranking = job('rank', settings, datasets, network_g=RESTORMER, path=weights)
    assert len(read_manifest(str(ranking / 'ranking.parquet')).column('influence')) == 2


def test_pairs_that_share_clean_images_are_distilled_into_pairs_of_their_own() -> None:
    many()
    reader = block(gt_until='_')
    job('rank', {'method': 'complexity', 'criterion': 'entropy'}, {'train': reader})
    network = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
    settings = {
        'size': 4, 'kept': 0.5, 'manifest': 'results/rank/ranking.parquet', 'degradation': 'learned', 'image_size': 8,
        'steps': 1, 'batch_size': 1,
    }  # fmt: skip
    folder = job('distill', settings, {'train': reader}, network_g=network)
    names = sorted(path.name for path in (folder / 'gt').iterdir())
    assert names == sorted(path.name for path in (folder / 'lq').iterdir()) and len(names) == 4
    made = build(dataroot_gt=str(folder / 'gt'), dataroot_lq=str(folder / 'lq'), gt_until='_')
    assert all(
        Path(sample['gt_path']).name == Path(sample['lq_path']).name for sample in map(made.__getitem__, range(4))
    )
