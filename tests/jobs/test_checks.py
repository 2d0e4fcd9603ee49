"""What is known to be wrong is said before work starts: exit code 2, one line that names it, nothing written."""

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.models import build_model

import basicsr_ext
from basicsr_ext.__main__ import main
from basicsr_ext.errors import CheckpointError, DataError, OptionError
from basicsr_ext.jobs.checks import check_dataset, check_options, check_pixels
from basicsr_ext.options.command_line import override
from basicsr_ext.options.complete import complete
from basicsr_ext.runtime.checkpoint import load_network_weights

Options = dict[str, Any]
NETWORK = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
PAIRED_NETWORK = {'type': 'MSRResNet', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 2}
EDSR_NETWORK = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1}
METRICS = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_images(folder: str, sizes: list[tuple[int, int]], channels: int = 3) -> None:
    os.makedirs(folder)
    rng = np.random.default_rng(0)
    for index, size in enumerate(sizes):
        shape = (*size, channels) if channels > 1 else size
        cv2.imwrite(f'{folder}/{index}.png', rng.integers(0, 256, shape, np.uint8))


@pytest.fixture
def denoising() -> Options:
    """A training of ours with its files."""
    make_images('gt', [(24, 20)] * 3, channels=1)
    data = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'color': 'gray', 'sigma': 25}
    return {
        'name': 'tiny',
        'model_type': 'RestorationModel',
        'num_gpu': 0,
        'manual_seed': 0,
        'datasets': {
            'train': {'name': 'a', **data, 'gt_size': 16, 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0},
            'val': {'name': 'b', **data},
        },
        'network_g': dict(NETWORK),
        'path': {'pretrain_network_g': None},
        'train': {
            'total_iter': 2,
            'optim_g': {'type': 'Adam', 'lr': 1e-4},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [1]},
            'pixel_opt': {'type': 'L1Loss'},
        },
        'val': {'val_freq': 2, 'save_img': False, 'metrics': copy.deepcopy(METRICS)},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 2},
    }


@pytest.fixture
def paired(denoising: Options) -> Options:
    """A training of BasicSR's own, x2, with its files."""
    make_images('hr', [(32, 24)] * 3)
    make_images('lr', [(16, 12)] * 3)
    data = {'type': 'PairedImageDataset', 'dataroot_gt': 'hr', 'dataroot_lq': 'lr', 'io_backend': {'type': 'disk'}}
    train = {'gt_size': 16, 'use_hflip': True, 'use_rot': True, 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
    return {
        **denoising,
        'model_type': 'SRModel',
        'scale': 2,
        'datasets': {'train': {'name': 'a', **data, **train}, 'val': {'name': 'b', **data}},
        'network_g': dict(PAIRED_NETWORK),
    }


def put(opt: Options, key: str, value: Any) -> None:
    """Set a key that may be new; a `~~` as value removes it."""
    *blocks, last = key.split('.')
    for block in blocks:
        opt = opt[block]
    if value == '~~':
        del opt[last]
    else:
        opt[last] = value


def as_test(opt: Options) -> Options:
    """The test file that belongs to a train file."""
    kept = {key: opt[key] for key in opt if key not in ('train', 'logger')}
    return {**kept, 'datasets': {'test_1': opt['datasets']['val']}}


def check(opt: Options, is_train: bool = True) -> Options:
    opt = copy.deepcopy(opt)
    complete(opt, Path.cwd(), is_train)
    check_options(opt)
    return opt


def tree() -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob('*')}


def run(capsys: pytest.CaptureFixture[str], opt: Options, *arguments: str, job: str = 'train') -> str:
    """Run a job that is to be refused; returns what it says."""
    Path('options.yml').write_text(yaml.safe_dump(opt), encoding='utf-8')
    assert main([job, '-opt', 'options.yml', *arguments]) == 2
    output = capsys.readouterr().err
    assert 'Traceback' not in output
    assert output.count(f'basicsr-ext {job}: ') == 1
    return output[output.index(f'basicsr-ext {job}: ') :]  # the log stands before it


def run_untouched(capsys: pytest.CaptureFixture[str], opt: Options, *arguments: str, job: str = 'train') -> str:
    """As `run`; an experiment and results of this name are there and stay as they are."""
    for folder in ('experiments', 'results'):
        Path(folder, opt['name'], 'models').mkdir(parents=True)
        Path(folder, opt['name'], 'models', 'net_g_1.pth').write_text('precious')
    Path('options.yml').write_text('')
    before = {path: time for path, time in tree().items() if path != 'options.yml'}
    error = run(capsys, opt, *arguments, job=job)
    assert {path: time for path, time in tree().items() if path != 'options.yml'} == before
    return error


# ---- sound files ----


@pytest.mark.parametrize('kind', ['denoising', 'paired'])
@pytest.mark.parametrize('job', ['train', 'test'])
def test_check_of_a_sound_file(
    kind: str, job: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    opt = request.getfixturevalue(kind)
    Path('options.yml').write_text(yaml.safe_dump(opt if job == 'train' else as_test(opt)))
    before = tree()
    assert main([job, '-opt', 'options.yml', '--check']) == 0
    assert tree() == before
    assert '3 images, all readable; the first one fits the network' in caplog.text
    assert 'tiny: options, files and the first batch are sound' in caplog.text


# ---- options ----


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('datasets.train.sigm', 5, r"datasets\.train\.sigm: expected a known key, got 'sigm'. Did you mean sigma\?"),
        ('datasets.val.gt_sise', 5, r'datasets\.val\.gt_sise: .* Did you mean gt_size'),
        ('datasets.train.batch_size', 5, r'datasets\.train\.batch_size: expected a known key'),
        ('train.total_itr', 5, r'train\.total_itr: .* Did you mean total_iter\?'),
        ('train.grad_clp', 1, r'train\.grad_clp: .* Did you mean grad_clip\?'),
        ('train.optim_g.lrr', 1, r"train\.optim_g\.lrr: expected an argument of Adam, got 'lrr'. Did you mean lr"),
        ('train.scheduler.milestone', [1], r'train\.scheduler\.milestone: .*Did you mean milestones'),
        ('train.pixel_opt.los_weight', 1, r'train\.pixel_opt\.los_weight: .* L1Loss, .*Did you mean loss_weight'),
        ('train.losses', [{'type': 'L1Loss', 'x': 1}], r"train\.losses\.0\.x: expected an argument of L1Loss, got 'x'"),
        ('val.tile_sze', 5, r'val\.tile_sze: .* Did you mean tile_size'),
        ('val.metric', {}, r'val\.metric: .* Did you mean metrics'),
        ('val.metrics.psnr.test_y_chanel', True, r'val\.metrics\.psnr\.test_y_chanel: .*Did you mean test_y_channel'),
        ('use_apm', True, r"^use_apm: expected a known key, got 'use_apm'. Did you mean use_amp\?"),
        ('manual_sed', 0, r'^manual_sed: .* Did you mean manual_seed\?'),
        ('path.pretrained_network_g', 'x.pth', r'path\.pretrained_network_g: .*Did you mean pretrain_network_g'),
        ('path.strict_laod_g', False, r'path\.strict_laod_g: .*Did you mean strict_load_g'),
        ('network_g.num_feats', 5, r'network_g\.num_feats: .* IRCNN, got .* Did you mean num_feat\?'),
    ],
)
def test_unknown_key(denoising: Options, key: str, value: Any, message: str) -> None:
    put(denoising, key, value)
    with pytest.raises(OptionError, match=message):
        check(denoising)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('datasets.train.sigma', 'high', r"datasets\.train\.sigma: expected a number, \[low, high\] or .* got 'high'"),
        ('datasets.train.sigma', [5], r'datasets\.train\.sigma: expected a number, \[low, high\]'),
        ('datasets.train.sigma', 300, r'datasets\.train\.sigma: .* between 0 and 255, got 300'),
        ('datasets.train.sigma', [50, 5], r'datasets\.train\.sigma: .* got \[50, 5\]'),
        ('datasets.train.sigma', {'choice': [5]}, r'datasets\.train\.sigma: expected a number'),
        ('datasets.train.gt_size', 'big', r"datasets\.train\.gt_size: expected an integer or ~, got 'big'"),
        ('datasets.train.gt_size', 0, r'datasets\.train\.gt_size: expected at least 1, got 0'),
        ('datasets.train.use_hflip', 'yes', r"datasets\.train\.use_hflip: expected true or false, got 'yes'"),
        ('datasets.train.use_hflip', 1, r'datasets\.train\.use_hflip: expected true or false, got 1'),
        ('datasets.train.color', 'grey', r"datasets\.train\.color: expected gray or rgb, got 'grey'"),
        ('datasets.train.io_backend', {'type': 'disc'}, r'datasets\.train\.io_backend.type: expected disk or lmdb'),
        ('datasets.train.dataroot_gt', 5, r'datasets\.train\.dataroot_gt: expected text or a list of text, got 5'),
        ('datasets.train.batch_size_per_gpu', 0, r'batch_size_per_gpu: expected 1 to 65536, got 0'),
        ('datasets.train.batch_size_per_gpu', 10**12, r'batch_size_per_gpu: expected 1 to 65536, got 1000000000000'),
        ('datasets.train.batch_size_per_gpu', '~~', r'datasets\.train\.batch_size_per_gpu: expected a value, got none'),
        ('datasets.train.num_worker_per_gpu', -1, r'num_worker_per_gpu: expected 0 to 1024, got -1'),
        ('train.total_iter', 'many', r"train\.total_iter: expected an integer, got 'many'"),
        ('train.total_iter', 2.5, r'train\.total_iter: expected an integer, got 2.5'),
        ('train.total_iter', -1, r'train\.total_iter: expected at least 0, got -1'),
        ('train.accum_iter', 0, r'train\.accum_iter: expected at least 1, got 0'),
        ('train.ema_decay', 1, r'train\.ema_decay: expected at least 0 and below 1, got 1'),
        ('train.grad_clip', -1, r'train\.grad_clip: expected more than 0, got -1'),
        ('train.optim_g', 'Adam', r"train\.optim_g: expected a block of options, got 'Adam'"),
        ('train.losses', {'type': 'L1Loss'}, r'train\.losses: expected a list'),
        ('train.losses', ['L1Loss'], r'train\.losses: expected a list'),
        ('train.pixel_opt', '~~', r'train\.pixel_opt: expected a loss here, in perceptual_opt or in losses'),
        ('train.optim_g', '~~', r'train\.optim_g: expected a value, got none'),
        ('train', None, r'train: expected a block of options, got None'),
        ('val.tile_size', 0, r'val\.tile_size: expected at least 1, got 0'),
        ('val.tile_overlap', -1, r'val\.tile_overlap: expected at least 0, got -1'),
        ('val.save_img', 'no', r"val\.save_img: expected true or false, got 'no'"),
        ('val.val_freq', '~~', r'val\.val_freq: expected a value, got none'),
        ('val.metrics.psnr', 'calculate_psnr', r'val\.metrics\.psnr: expected a block of options'),
        ('val.metrics.psnr.crop_border', '~~', r'val\.metrics\.psnr\.crop_border: expected a value'),
        ('use_amp', 'maybe', r"use_amp: expected true or false, got 'maybe'"),
        ('amp_bf16', True, r'amp_bf16: expected use_amp: true beside it'),
        ('network_g', '~~', r'^network_g: expected a value, got none'),
        ('network_g', 'IRCNN', r"^network_g: expected a block of options, got 'IRCNN'"),
        ('network_g.num_in_ch', '~~', r'network_g\.num_in_ch: expected a value, which IRCNN needs, got none'),
        ('logger.print_freq', '~~', r'logger\.print_freq: expected a value'),
        ('datasets.train', '~~', r'datasets\.train: expected a value, got none'),
    ],
)
def test_wrong_value(denoising: Options, key: str, value: Any, message: str) -> None:
    put(denoising, key, value)
    with pytest.raises(OptionError, match=message):
        check(denoising)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('network_g.type', 'IRCN', r"network_g\.type: expected a name in the registry 'arch', got 'IRCN'. .*IRCNN"),
        ('datasets.train.type', 'GaussianDenoisDataset', r"train\.type: .*'dataset'.*Did you mean GaussianDenois"),
        ('train.pixel_opt.type', 'L1Los', r"train\.pixel_opt\.type: .* 'loss', got 'L1Los'. Did you mean L1Loss"),
        ('train.losses', [{'type': 'L2'}], r"train\.losses\.0\.type: expected a name in the registry 'loss'"),
        ('val.metrics.psnr.type', 'calc_psnr', r"val\.metrics\.psnr\.type: .* 'metric'.*calculate_psnr"),
        ('model_type', 'RestorationModle', r"model_type: .* 'model', .* Did you mean RestorationModel"),
        ('train.optim_g.type', 'Adm', r"train\.optim_g\.type: expected a known name, got 'Adm'. Did you mean .*Adam"),
        ('train.optim_g.type', 'LBFGS', r'train\.optim_g\.type: expected a known name'),
        ('train.optim_g', {'lr': 1}, r'train\.optim_g\.type: expected a known name, got None'),
        ('train.scheduler.type', 'MultistepLR', r'train\.scheduler\.type: .* Did you mean MultiStepLR'),
        ('train.scheduler.type', 'ReduceLROnPlateau', r'train\.scheduler\.type: expected a known name'),
    ],
)
def test_unknown_name(denoising: Options, key: str, value: Any, message: str) -> None:
    put(denoising, key, value)
    with pytest.raises(OptionError, match=message):
        check(denoising)


def test_a_name_of_ones_own_says_import_it(denoising: Options) -> None:
    denoising['network_g'] = {'type': 'MyOwnTransformer'}
    with pytest.raises(OptionError, match='name the module that registers it in imports or by --import'):
        check(denoising)


def test_accumulation_needs_our_model(paired: Options) -> None:
    paired['train']['accum_iter'] = 2
    with pytest.raises(OptionError, match=r'train\.accum_iter: .* got SRModel. Set model_type: RestorationModel'):
        check(paired)
    check({**paired, 'model_type': 'RestorationModel'})


def wrap(opt: Options, key: str = 'train', **more: Any) -> None:
    """Put a blur around the dataset; the loader's keys stay outside."""
    block = opt['datasets'][key]
    outer = {k: block.pop(k) for k in ('name', 'batch_size_per_gpu', 'num_worker_per_gpu') if k in block}
    opt['datasets'][key] = {**outer, 'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': block, **more}


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('dataset.sigm', 5, r'datasets\.train\.dataset\.sigm: .*Did you mean sigma'),
        ('dataset.type', 'X', r'datasets\.train\.dataset\.type: expected a name in the registry'),
        ('dataset.batch_size_per_gpu', 2, r'datasets\.train\.dataset\.batch_size_per_gpu: .*outermost level'),
        ('dataset.dataroot_gt', 'nowhere', r"datasets\.train\.dataset\.dataroot_gt: expected a folder, got 'nowhere'"),
        ('dataset', {'name': 'x'}, r'datasets\.train\.dataset: expected a dataset block with a type'),
        ('dataset', '~~', r'datasets\.train\.dataset: expected a value, got none'),
        ('kernel_size', 0, r'datasets\.train\.kernel_size: expected at least 1, got 0'),
        ('kernel_sise', 3, r'datasets\.train\.kernel_sise: .*Did you mean kernel_size'),
    ],
)
def test_a_wrapped_dataset_is_checked_too(denoising: Options, key: str, value: Any, message: str) -> None:
    wrap(denoising)
    check(denoising)
    put(denoising, f'datasets.train.{key}', value)
    with pytest.raises((OptionError, DataError), match=message):
        check(denoising)


# ---- files ----


@pytest.mark.parametrize('key', ['use_vflip', 'pad_small', 'gt_until'])
def test_a_key_of_ours_in_a_dataset_of_basicsr(paired: Options, key: str) -> None:
    paired['datasets']['train'][key] = True
    with pytest.raises(
        OptionError, match=f'datasets.train.{key}: expected a key of PairedImageDataset, .* PairsDataset'
    ):
        check_options(paired)


def test_a_missing_folder(denoising: Options, paired: Options) -> None:
    put(denoising, 'datasets.val.dataroot_gt', 'nowhere')
    with pytest.raises(DataError, match=r"datasets\.val\.dataroot_gt: expected a folder, got 'nowhere'"):
        check(denoising)
    put(paired, 'datasets.train.dataroot_lq', 'nowhere')
    with pytest.raises(DataError, match=r"datasets\.train\.dataroot_lq: expected a folder, got 'nowhere'"):
        check(paired)


@pytest.mark.parametrize('value', ['~~', None])
@pytest.mark.parametrize('key', ['dataroot_gt', 'dataroot_lq'])
def test_a_folder_that_is_not_named(paired: Options, key: str, value: Any) -> None:
    put(paired, f'datasets.train.{key}', value)
    with pytest.raises((OptionError, DataError), match=rf'datasets\.train\.{key}: expected'):
        check(paired)


def test_a_folder_in_the_home_of_a_wrapped_dataset(paired: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` means the same at every level of nesting."""
    monkeypatch.setenv('HOME', os.getcwd())
    paired['datasets']['train'].update(dataroot_gt='~/hr', dataroot_lq='~/lr')
    wrap(paired, kernel_size=2)
    opt = check(paired)
    assert len(build_dataset(opt['datasets']['train'])) == 3


@pytest.mark.parametrize('kind', ['denoising', 'paired'])
def test_an_empty_folder(kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    opt = request.getfixturevalue(kind)
    os.makedirs('empty')
    put(opt, 'datasets.train.dataroot_gt', 'empty')
    assert 'dataroot_gt: expected images' in (error := run(capsys, opt))
    assert "'empty'" in error
    assert 'dataroot_gt: expected images' in run(capsys, opt, '--check')


def test_a_missing_list_of_names(denoising: Options) -> None:
    put(denoising, 'datasets.train.meta_info_file', 'names.txt')
    with pytest.raises(DataError, match=r"datasets\.train\.meta_info_file: expected a file, got 'names.txt'"):
        check(denoising)


def truncate(path: str) -> None:
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def write_text(path: str) -> None:
    Path(path).write_text('<html>404</html>')


def empty(path: str) -> None:
    Path(path).write_bytes(b'')


def truncate_jpeg(path: str) -> None:
    """A JPEG that ends early, under the name of the PNG: readers look at the content."""
    cv2.imwrite('whole.jpg', cv2.imread(path))
    content = Path('whole.jpg').read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize('damage', [truncate, truncate_jpeg, write_text, empty])
@pytest.mark.parametrize(('kind', 'file'), [('denoising', 'gt/1.png'), ('paired', 'hr/1.png'), ('paired', 'lr/1.png')])
def test_check_names_a_corrupt_image(
    kind: str,
    file: str,
    damage: Callable[[str], None],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opt = request.getfixturevalue(kind)
    damage(file)
    error = run(capsys, opt, '--check')
    assert file in error
    assert '0.png' not in error.replace(file, '')


@pytest.mark.parametrize(('kind', 'file'), [('denoising', 'gt/1.png'), ('paired', 'lr/1.png')])
def test_training_names_a_foreign_file_before_it_starts(
    kind: str, file: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    opt = request.getfixturevalue(kind)
    write_text(file)
    error = run(capsys, opt)
    assert file in error
    assert 'expected an image' in error
    assert not list(Path().rglob('training_log.jsonl'))


def test_check_pixels_decodes(denoising: Options) -> None:
    dataset = build_dataset(check(denoising)['datasets']['train'])
    check_pixels(dataset, 'datasets.train')
    truncate('gt/2.png')
    with pytest.raises(DataError, match=r'datasets\.train: expected images that decode, got gt/2\.png\. Replace'):
        check_pixels(dataset, 'datasets.train')


def test_pairs_without_partner_are_named(paired: Options) -> None:
    os.remove('lr/1.png')
    with pytest.raises(DataError, match=r'an LQ image for every GT image, missing, got 1\.png \(for 1\.png\)\. Add'):
        check(paired)
    os.rename('hr/1.png', 'moved.png')
    check(paired)
    os.rename('moved.png', 'lr/7.png')
    with pytest.raises(DataError, match=r'a GT image for every LQ image, without partner, got 7\.png\. Remove'):
        check(paired)


def test_pairs_by_their_template(paired: Options) -> None:
    for name in os.listdir('lr'):
        os.rename(f'lr/{name}', f'lr/{name.replace(".png", "x2.png")}')
    with pytest.raises(DataError, match=r'0\.png .*1\.png .*2\.png .* filename_tmpl'):
        check(paired)
    for block in paired['datasets'].values():
        block['filename_tmpl'] = '{}x2'
    check(paired)


def test_many_pairs_are_counted(paired: Options) -> None:
    for index in range(3, 12):
        Path(f'hr/{index}.png').write_bytes(Path('hr/0.png').read_bytes())
    with pytest.raises(DataError, match=r'and 4 more\. Add them'):
        check(paired)


def test_sizes_of_pairs_that_differ_are_named(paired: Options) -> None:
    opt = check(paired)
    dataset, val = (build_dataset(opt['datasets'][key]) for key in ('train', 'val'))
    check_dataset(dataset, 'datasets.train')
    cv2.imwrite('hr/2.png', np.zeros((34, 24, 3), np.uint8))
    with pytest.raises(
        DataError, match=r'GT 2 times as large as LQ, got hr/2\.png \(34 x 24\) for lr/2\.png \(16 x 12\)'
    ):
        check_dataset(dataset, 'datasets.train')
    check_dataset(val, 'datasets.val')  # BasicSR cuts it
    cv2.imwrite('hr/1.png', np.zeros((30, 24, 3), np.uint8))
    with pytest.raises(DataError, match=r'hr/1\.png \(30 x 24\) for lr/1\.png'):
        check_dataset(val, 'datasets.val')


@pytest.mark.parametrize('arguments', [[], ['--check']])
@pytest.mark.parametrize(('kind', 'size'), [('denoising', 22), ('paired', 26)])
def test_images_too_small_for_the_patch_are_named(
    kind: str,
    size: int,
    arguments: list[str],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opt = request.getfixturevalue(kind)
    put(opt, 'datasets.train.gt_size', size)
    error = run(capsys, opt, *arguments)
    folder = opt['datasets']['train']['dataroot_gt']
    assert f'datasets.train: expected images of at least {size} x {size} pixels, got {folder}/0.png' in error
    assert 'lower gt_size' in error


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (
            {**NETWORK, 'num_in_ch': 3, 'num_out_ch': 3},
            'input that IRCNN takes, got lq (1, 1, 16, 16), gt (1, 1, 16, 16)',
        ),
        ({**EDSR_NETWORK, 'upscale': 1}, 'output of EDSR of the shape of gt (1, 1, 16, 16), got (1, 3, 16, 16)'),
        (
            {**PAIRED_NETWORK, 'num_in_ch': 1, 'num_out_ch': 1},
            'output of MSRResNet of the shape of gt (1, 1, 16, 16), got (1, 1, 32, 32)',
        ),
    ],
)
def test_check_compares_the_shapes_of_the_first_batch(
    denoising: Options, capsys: pytest.CaptureFixture[str], network: Options, message: str
) -> None:
    denoising['network_g'] = network
    assert f'datasets.train: expected {message}' in run(capsys, denoising, '--check')


# ---- checkpoints ----


def weights(network: Options) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return build_network(network).state_dict()


def with_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f'module.{name}': value for name, value in state.items()}


FORMS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    'params': lambda state: {'params': state},
    'params_ema': lambda state: {'params_ema': state},
    'plain': lambda state: state,
    'module.': with_prefix,
    'params of module.': lambda state: {'params': with_prefix(state)},
    'state_dict': lambda state: {'state_dict': state, 'epoch': 3},
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('model_type', ['RestorationModel', 'SRModel'])
def test_every_form_of_checkpoint_loads(denoising: Options, form: str, model_type: str) -> None:
    state = weights(NETWORK)
    torch.save(FORMS[form](state), 'weights.pth')
    denoising.update(model_type=model_type, path={'pretrain_network_g': 'weights.pth'})
    denoising['train']['ema_decay'] = 0.9
    model = build_model(check(denoising))
    for net in (model.net_g, model.net_g_ema):
        found = net.state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)


def test_the_key_that_is_asked_for_wins(denoising: Options) -> None:
    state = weights(NETWORK)
    torch.save({'params': state, 'params_ema': {name: value + 1 for name, value in state.items()}}, 'weights.pth')
    for key, shift in (('params', 0), ('params_ema', 1)):
        denoising['path'] = {'pretrain_network_g': 'weights.pth', 'param_key_g': key}
        found = build_model(check(as_test(denoising), is_train=False)).net_g.state_dict()
        assert all(torch.equal(found[name], state[name] + shift) for name in state)


@pytest.mark.parametrize('job', ['train', 'test'])
@pytest.mark.parametrize('model_type', ['RestorationModel', 'SRModel'])
def test_weights_that_do_not_fit_name_the_keys(
    denoising: Options, capsys: pytest.CaptureFixture[str], job: str, model_type: str
) -> None:
    state = weights(NETWORK)
    state['model.2.weight'] = torch.zeros(4, 5, 3, 3)
    state['surplus.bias'] = state.pop('model.4.bias')
    torch.save({'params': state}, 'weights.pth')
    denoising.update(model_type=model_type, path={'pretrain_network_g': 'weights.pth'})
    error = run(capsys, denoising if job == 'train' else as_test(denoising), job=job)
    assert 'weights.pth (key params): expected the 14 names of IRCNN' in error
    assert '1 missing [model.4.bias], 1 unexpected [surplus.bias]' in error
    assert '1 of another shape [model.2.weight (4, 5, 3, 3) instead of (4, 4, 3, 3)]' in error
    assert 'strict_load_g: false' in error


def test_without_strict_what_fits_is_loaded() -> None:
    net, state = build_network(NETWORK), weights(NETWORK)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.save({**state, 'model.2.weight': torch.zeros(4, 5, 3, 3), 'surplus': torch.zeros(1)}, 'weights.pth')
    assert load_network_weights(net, 'weights.pth', strict=False) == 'plain'
    after = net.state_dict()
    assert torch.equal(after['model.0.weight'], state['model.0.weight'])
    assert torch.equal(after['model.2.weight'], before['model.2.weight'])
    torch.save({'foreign': torch.zeros(1)}, 'weights.pth')
    with pytest.raises(CheckpointError, match=r'got none that fit: \[foreign\]'):
        load_network_weights(net, 'weights.pth', strict=False)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ('touch was_here',)


def save_zip(path: str) -> None:
    torch.save({'params': Evil()}, path)


def save_legacy(path: str) -> None:
    torch.save({'params': Evil()}, path, _use_new_zipfile_serialization=False)


def save_pickle(path: str) -> None:
    Path(path).write_bytes(pickle.dumps({'params': Evil()}))


@pytest.mark.parametrize('save', [save_zip, save_legacy, save_pickle])
@pytest.mark.parametrize('key', ['pretrain_network_g', 'resume_state'])
def test_a_checkpoint_that_would_run_code(
    denoising: Options, capsys: pytest.CaptureFixture[str], save: Callable[[str], None], key: str
) -> None:
    save('evil.pth')
    denoising['path'][key] = 'evil.pth'
    error = run_untouched(capsys, denoising)
    assert 'checkpoint evil.pth: expected tensors and plain values, got something that would run code' in error
    assert not Path('was_here').exists()


@pytest.mark.parametrize('content', [b'', b'<html>404</html>', b'PK\x03\x04 half a zip'])
def test_a_damaged_checkpoint(denoising: Options, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    Path('weights.pth').write_bytes(content)
    denoising['path']['pretrain_network_g'] = 'weights.pth'
    error = run_untouched(capsys, as_test(denoising), job='test')
    assert 'checkpoint weights.pth: expected' in error
    assert 'damaged' in error


def test_a_checkpoint_without_weights(denoising: Options, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({'epoch': 3, 'optimizer': {'lr': 1}}, 'weights.pth')
    denoising['path']['pretrain_network_g'] = 'weights.pth'
    error = run(capsys, as_test(denoising), job='test')
    assert 'expected a state dict, plain or under one of params' in error
    assert 'keys [epoch, optimizer]' in error


# ---- the command line ----


MISTAKES: dict[str, tuple[str, Any, str]] = {
    'unknown key': ('train.total_itr', 5, 'Did you mean total_iter'),
    'wrong type': ('datasets.train.gt_size', 'big', 'expected an integer'),
    'unknown network': ('network_g.type', 'IRCN', 'IRCNN'),
    'wrong argument': ('network_g.num_feats', 5, 'num_feat'),
    'missing dataroot': ('datasets.train.dataroot_gt', 'nowhere', 'nowhere'),
    'missing weights': ('path.pretrain_network_g', 'nowhere.pth', 'path.pretrain_network_g: expected a file'),
    'missing state': ('path.resume_state', 'nowhere.state', 'path.resume_state: expected a file'),
    'missing key': ('num_gpu', '~~', 'num_gpu: expected a value'),
    'no network': ('network_g', '~~', 'network_g: expected'),
    'small images': ('datasets.train.gt_size', 22, 'expected images of at least 22 x 22 pixels'),
    'empty folder': ('datasets.train.dataroot_gt', 'empty', 'expected images'),
    'foreign weights': ('path.pretrain_network_g', 'foreign.pth', '14 missing'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_leaves_everything_untouched(
    denoising: Options, capsys: pytest.CaptureFixture[str], mistake: str
) -> None:
    """An existing experiment is not archived, and nothing new is written."""
    os.makedirs('empty')
    torch.save({'params': weights(PAIRED_NETWORK)}, 'foreign.pth')
    key, value, message = MISTAKES[mistake]
    put(denoising, key, value)
    assert message in run_untouched(capsys, denoising)


def test_a_wrong_override(denoising: Options, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'Did you mean total_iter' in run_untouched(capsys, denoising, '--set', 'train.total_itr=5')


def test_a_missing_option_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['test', '-opt', 'nowhere.yml']) == 2
    assert capsys.readouterr().err.startswith('basicsr-ext test: -opt nowhere.yml: expected an option file')


@pytest.mark.parametrize(
    ('key', 'message'), [('val', 'val: expected a value'), ('val.save_img', 'val.save_img: expected a value')]
)
def test_a_test_needs_its_block(denoising: Options, capsys: pytest.CaptureFixture[str], key: str, message: str) -> None:
    opt = as_test(denoising)
    put(opt, key, '~~')
    assert message in run_untouched(capsys, opt, job='test')


def test_an_unknown_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['tain', '-opt', 'x.yml']) == 2
    assert "basicsr-ext tain: expected a job, got 'tain'. Did you mean train" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(['--version'])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == basicsr_ext.__version__


def test_overrides_are_checked_as_the_file_is(denoising: Options) -> None:
    override(denoising, 'datasets.train.sigma=strong')
    with pytest.raises(OptionError, match=r'datasets\.train\.sigma'):
        check(denoising)
