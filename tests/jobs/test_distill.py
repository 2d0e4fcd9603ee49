"""The job `distill` from its option file to the folder: contents, kill and resume, training on it, what it refuses."""

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.data.paired_image_dataset import PairedImageDataset

from basicsr_ext.__main__ import main
from basicsr_ext.selection.manifest import Item, Manifest, read_manifest, write_manifest
from tests.helpers import jobs
from tests.helpers.images import write_images
from tests.helpers.processes import run, stop_when
from tests.helpers.vae import tiny_vae

Options = dict[str, Any]
FOLDER = Path('results/small')
COUNT, SIZE, SIDE = 8, 24, 16
RANKS = [3, 1, 8, 2, 6, 4, 7, 5]  # of 000 to 007
GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25, 'color': 'gray'}
PAIRED = {
    'type': 'PairedImageDataset',
    'dataroot_gt': 'gt',
    'dataroot_lq': 'lq',
    'io_backend': {'type': 'disk'},
}
GREY = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
COLOR = {**GREY, 'num_in_ch': 3, 'num_out_ch': 3}
EDSR = {
    'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 2, 'img_range': 1.0
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with gt/ and lq/, coloured, and a ranking with two groups."""
    monkeypatch.chdir(tmp_path)
    write_images(Path('gt'), COUNT, SIZE, color=True)
    Path('lq').mkdir()
    for path in Path('gt').iterdir():
        cv2.imwrite(f'lq/{path.name}', cv2.GaussianBlur(cv2.imread(str(path)), (5, 5), 1.5))
    items = [Item(f'{n:03d}.png', SIZE, SIZE, 'ab'[n % 2]) for n in range(COUNT)]
    write_manifest('ranking.parquet', items, {'rank': RANKS}, {'method': 'entropy'})
    return tmp_path


def options(dataset: Options | None = None, network: Options | None = None, **distill: Any) -> Options:
    block = {'size': 5, 'kept': 0.4, 'manifest': 'ranking.parquet', 'image_size': SIDE, 'steps': 3, 'batch_size': 2}
    return {
        'name': 'small',
        'num_gpu': 0,
        'manual_seed': 3,
        'distill': {**block, **distill},
        'datasets': {'train': {'name': 'train', **(dataset or GAUSSIAN)}},
        'network_g': network or GREY,
        'path': {},
    }


write = partial(jobs.write_options, 'distill')


def distill(opt: Options, *arguments: str) -> Manifest:
    """Run the job anew."""
    shutil.rmtree('results', ignore_errors=True)
    assert main(['distill', '-opt', write(opt), *arguments]) == 0
    assert not (FOLDER / 'unfinished').exists()
    return read_manifest(FOLDER / 'manifest.parquet')


refused = partial(jobs.refused, 'distill')


def image(path: Path | str, flag: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    found = cv2.imread(str(path), flag)
    assert found is not None, path
    return found


def contents(pattern: str = '*') -> dict[str, bytes]:
    """Every file of the result but logs and pictures, whose encoders may note the time."""
    files = [path for path in FOLDER.rglob(pattern) if path.is_file() and path.suffix != '.log']
    return {str(path): path.read_bytes() for path in files}


# ---- what is written ----


def test_the_folder_of_a_known_degradation(folder: Path) -> None:
    manifest = distill(options())
    names = ['001', '003', 'synthetic_0001', 'synthetic_0002', 'synthetic_0003']
    assert manifest.column('path') == [f'{name}.png' for name in names]
    assert manifest.column('synthetic') == [0, 0, 1, 1, 1]
    assert manifest.column('source') == [f'{name}.png' for name in ('001', '003', '000', '005', '007')]
    assert manifest.column('group') == ['b', 'b', 'a', 'b', 'b']
    sides = [SIZE, SIZE, SIDE, SIDE, SIDE]
    lines = (FOLDER / 'meta_info.txt').read_text().splitlines()
    assert lines == [f'{name}.png ({side},{side},1)' for name, side in zip(names, sides, strict=True)]
    for kind in ('gt', 'lq'):
        assert sorted(path.stem for path in (FOLDER / kind).iterdir()) == names
    assert image(FOLDER / 'gallery.png').size and image(FOLDER / 'loss.png').size
    header = manifest.header
    assert header['method'] == 'distill' and header['seed'] == 3 and header['options']['distill']['kept'] == 0.4
    assert {'weights', 'ranking', 'train', 'versions'} <= set(header)


def test_kept_images_have_their_pixels_and_the_noise_of_validation(folder: Path) -> None:
    distill(options())
    val = build_dataset({'name': 'v', 'phase': 'val', **GAUSSIAN})
    for index in (1, 3):
        kept = image(FOLDER / 'gt' / f'{index:03d}.png')
        np.testing.assert_array_equal(kept, image(f'gt/{index:03d}.png', cv2.IMREAD_GRAYSCALE))
        lq = (val[index]['lq'][0].numpy() * 255).round().clip(0, 255)
        np.testing.assert_array_equal(image(FOLDER / 'lq' / f'{index:03d}.png'), lq)


def test_the_input_of_synthetic_images_is_drawn_by_their_name(folder: Path) -> None:
    """A dataset of validation over the written clean images gives the written inputs."""
    distill(options())
    val = build_dataset({'name': 'v', 'phase': 'val', **GAUSSIAN, 'dataroot_gt': str(FOLDER / 'gt')})
    assert len(val) == 5
    for sample in (val[index] for index in range(5)):
        lq = (sample['lq'][0].numpy() * 255).round().clip(0, 255)
        np.testing.assert_array_equal(image(FOLDER / 'lq' / Path(sample['gt_path']).name), lq)


@pytest.mark.parametrize('learned', [True, False])
def test_colours_keep_their_order(folder: Path, learned: bool) -> None:
    """A rate of nearly zero leaves the synthetic images what they started from: patches of reddish images."""
    for path in Path('gt').iterdir():
        cv2.imwrite(str(path), image(path) // np.array([8, 4, 1], np.uint8))
        cv2.imwrite(f'lq/{path.name}', image(path))
    dataset = PAIRED if learned else {**GAUSSIAN, 'color': 'rgb', 'sigma': 5}
    degradation = 'learned' if learned else 'known'
    distill(options(dataset, COLOR, degradation=degradation, lr=1e-9, picture_freq=1))
    for path in (FOLDER / 'gt').iterdir():
        for kind in ('gt', 'lq'):
            blue, green, red = image(FOLDER / kind / path.name).reshape(-1, 3).mean(0)
            assert blue < green < red


def test_a_learned_degradation_writes_both(folder: Path) -> None:
    manifest = distill(options(PAIRED, COLOR, degradation='learned', lr=0.01))
    for path, synthetic in zip(manifest.column('path'), manifest.column('synthetic'), strict=True):
        gt, lq = (image(FOLDER / kind / path) for kind in ('gt', 'lq'))
        assert gt.shape == lq.shape == ((SIDE, SIDE, 3) if synthetic else (SIZE, SIZE, 3))
        if not synthetic:
            np.testing.assert_array_equal(gt, image(f'gt/{path}'))
            np.testing.assert_array_equal(lq, image(f'lq/{path}'))
        else:
            assert np.abs(np.diff(gt.astype(float), axis=0)).mean() > np.abs(np.diff(lq.astype(float), axis=0)).mean()


def test_pairs_of_a_scale(folder: Path) -> None:
    """A known one crops images, as in validation, whose sides it does not divide."""
    shutil.rmtree('lq')
    Path('lq').mkdir()
    for path in Path('gt').iterdir():
        cv2.imwrite(f'lq/{path.name}', cv2.resize(image(path), None, fx=0.5, fy=0.5))
    bicubic = {'type': 'BicubicSRDataset', 'dataroot_gt': 'gt'}
    for dataset, kind in ((PAIRED, 'learned'), (bicubic, 'known')):
        if kind == 'known':
            for path in Path('gt').iterdir():
                cv2.imwrite(str(path), cv2.copyMakeBorder(image(path), 1, 0, 0, 3, cv2.BORDER_REFLECT))
            items = [Item(f'{n:03d}.png', SIZE + 1, SIZE + 3) for n in range(COUNT)]
            write_manifest('ranking.parquet', items, {'rank': RANKS}, {})
        opt = {**options(dataset, EDSR, degradation=kind), 'scale': 2}
        for path in distill(opt).column('path'):
            gt, lq = (image(FOLDER / part / path) for part in ('gt', 'lq'))
            assert gt.shape[:2] == tuple(2 * side for side in lq.shape[:2])
    val = build_dataset({'name': 'v', 'phase': 'val', 'scale': 2, **bicubic})
    for index in (1, 3):
        assert image(FOLDER / 'gt' / f'{index:03d}.png').shape == (SIZE, SIZE + 2, 3)
        lq = (val[index]['lq'].permute(1, 2, 0).numpy()[..., ::-1] * 255).round().clip(0, 255)
        np.testing.assert_array_equal(image(FOLDER / 'lq' / f'{index:03d}.png'), lq)
    assert f'001.png ({SIZE},{SIZE + 2},3)' in (FOLDER / 'meta_info.txt').read_text()


def test_each_group_keeps_its_known_degradation(folder: Path) -> None:
    """Two groups of flat images: the noise of each, kept or synthetic, is that of its group."""
    for number, path in enumerate(sorted(Path('gt').iterdir())):
        cv2.imwrite(str(path), np.full((SIZE, SIZE), 100 + 10 * number, np.uint8))
    sigmas = {'weak': 2, 'strong': 20}
    dataset = {'type': 'AllInOneDataset', 'datasets': {g: {**GAUSSIAN, 'sigma': s} for g, s in sigmas.items()}}
    items = [Item(f'{group}/{n:03d}.png', SIZE, SIZE, group) for group in sigmas for n in range(COUNT)]
    write_manifest('ranking.parquet', items, {'rank': range(1, 2 * COUNT + 1)}, {})
    manifest = distill(options(dataset, size=8, kept=0.5, per_group=True, lr=1e-9))
    assert sorted(zip(manifest.column('synthetic'), manifest.column('group'), strict=True)) == sorted(
        2 * [(made, group) for made in (0, 1) for group in sigmas]
    )
    assert {'weak_000.png', 'strong_001.png'} <= set(manifest.column('path'))
    for path, group in zip(manifest.column('path'), manifest.column('group'), strict=True):
        noise = image(FOLDER / 'lq' / path).astype(float) - image(FOLDER / 'gt' / path)
        assert noise.std() == pytest.approx(sigmas[group], rel=0.2)


@pytest.mark.parametrize('dataset', [GAUSSIAN, PAIRED])
def test_latent_mode(folder: Path, dataset: Options) -> None:
    tiny_vae().save_pretrained('vae')
    network, kind = (GREY, 'known') if dataset is GAUSSIAN else (COLOR, 'learned')
    opt = options(dataset, network, degradation=kind, mode='latent', vae={'path': 'vae'})
    manifest = distill(opt)
    assert manifest.column('synthetic') == [0, 0, 1, 1, 1] and 'vae' in manifest.header
    assert image(FOLDER / 'gt' / 'synthetic_0001.png').shape[:2] == (SIDE, SIDE)


def test_all_synthetic_from_noise_needs_no_ranking(folder: Path) -> None:
    opt = options(kept=0, start='noise', steps=1, lr=1e-6)
    del opt['distill']['manifest']
    manifest = distill(opt)
    assert manifest.column('synthetic') == [1] * 5 and manifest.column('source') == [''] * 5
    for path in manifest.column('path'):
        pixels = image(FOLDER / 'gt' / path).astype(float) / 255
        assert abs(pixels.mean() - 0.5) < 0.1 and abs(pixels.std() - 12**-0.5) < 0.05


def test_selection_alone(folder: Path) -> None:
    manifest = distill(options(kept=1))
    assert manifest.column('path') == [f'{n:03d}.png' for n in (1, 3, 0, 5, 7)]
    assert not (FOLDER / 'gallery.png').exists()


def test_equal_shares_of_groups(folder: Path) -> None:
    manifest = distill(options(size=4, kept=1, per_group=True))
    assert sorted(manifest.column('group')) == ['a', 'a', 'b', 'b']
    assert manifest.column('source') == ['001.png', '000.png', '003.png', '004.png']


def test_a_small_ratio_leaves_no_group_out(folder: Path) -> None:
    opt = options(kept=1, ratio=0.1, per_group=True)
    del opt['distill']['size']
    assert distill(opt).column('group') == ['b', 'a']


def test_names_with_blanks_and_folders_below_stay_readable(folder: Path) -> None:
    """BasicSR ends a name in its list at the first blank, and its datasets do not look into folders below."""
    Path('be low').mkdir()
    os.rename('gt/001.png', 'be low/0 01.png')
    parts = {'a': GAUSSIAN, 'b': {**GAUSSIAN, 'dataroot_gt': 'be low'}}
    items = [Item('b/0 01.png', SIZE, SIZE, 'b')]
    items += [Item(f'a/{path.name}', SIZE, SIZE, 'a') for path in sorted(Path('gt').glob('*.png'))]
    write_manifest('ranking.parquet', items, {'rank': range(1, COUNT + 1)}, {})
    paths = distill(options({'type': 'AllInOneDataset', 'datasets': parts}, size=2, kept=1)).column('path')
    assert paths == ['b_0_01.png', 'a_000.png']
    assert sorted(path.name for path in (FOLDER / 'gt').iterdir()) == sorted(paths)


# ---- training on it ----

STOCK = """
import basicsr_ext._compat as compat
import basicsr_ext
import sys
from basicsr.train import train_pipeline
sys.argv = ['train.py', '-opt', 'stock.yml']
train_pipeline('.')
"""


def test_stock_basicsr_trains_on_the_folder(folder: Path) -> None:
    """Its own pipeline, model and dataset, by the names in meta_info.txt; it reads grey files as colour."""
    distill(options())
    opt = {
        'name': 'stock',
        'model_type': 'SRModel',
        'scale': 1,
        'num_gpu': 0,
        'manual_seed': 0,
        'datasets': {
            'train': {
                'name': 'distilled',
                'type': 'PairedImageDataset',
                'dataroot_gt': str(FOLDER / 'gt'),
                'dataroot_lq': str(FOLDER / 'lq'),
                'meta_info_file': str(FOLDER / 'meta_info.txt'),
                'io_backend': {'type': 'disk'},
                'gt_size': SIDE,
                'use_hflip': True,
                'use_rot': True,
                'num_worker_per_gpu': 0,
                'batch_size_per_gpu': 2,
                'dataset_enlarge_ratio': 1,
                'prefetch_mode': None,
            }
        },
        'network_g': {'type': 'SRVGGNetCompact', 'num_feat': 4, 'num_conv': 1, 'upscale': 1},
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0,
            'optim_g': {'type': 'Adam', 'lr': 1e-4},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [10], 'gamma': 0.5},
            'total_iter': 2,
            'warmup_iter': -1,
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
        },
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 2, 'use_tb_logger': False},
    }
    dataset = PairedImageDataset({**opt['datasets']['train'], 'phase': 'train', 'scale': 1})
    assert len(dataset) == 5
    Path('stock.yml').write_text(yaml.safe_dump(opt))
    Path('stock.py').write_text(STOCK)
    output = run(['stock.py'], folder)
    assert 'iter:       2' in output and (folder / 'experiments/stock/models/net_g_2.pth').is_file()


# ---- killed and resumed ----

SLOW = """
import sys, time
import basicsr_ext
from basicsr_ext.__main__ import main
from basicsr_ext.distillation.engine import Distillation
from basicsr_ext.runtime.saved_state import SavedState
match = Distillation.match
def slowly(*arguments):
    time.sleep(0.1)
    return match(*arguments)
Distillation.match = slowly
begin = SavedState.__init__
SavedState.__init__ = lambda self, path, interval=0.0: begin(self, path, 0.0)
sys.exit(main(['distill', *sys.argv[1:]]))
"""


def saved_steps() -> int:
    path = FOLDER / 'unfinished/state.pth'
    return len(torch.load(path, weights_only=True)['losses']) if path.is_file() else 0


def is_past(step: int) -> bool:
    return saved_steps() >= step


@pytest.mark.parametrize(('kind', 'workers'), [pytest.param('known', 0, marks=pytest.mark.slow), ('learned', 1)])
def test_killed_and_resumed_gives_the_same_files(folder: Path, kind: str, workers: int) -> None:
    """By a script that is slow and saves every step, so that there is time to kill it."""
    networks = {'matching_steps': 7, 'train_steps': 1, 'train_every': 2}
    keys = {'degradation': kind, 'steps': 20, 'networks': networks, 'lr': 0.01}
    opt = options(GAUSSIAN if kind == 'known' else PAIRED, GREY if kind == 'known' else COLOR, **keys)
    run(['-m', 'basicsr_ext', 'distill', '-opt', write(opt)], folder)  # as the last part below, pictures included
    expected = contents()
    opt['datasets']['train']['num_worker_per_gpu'] = workers  # changes nothing
    shutil.rmtree('results')
    Path('slow.py').write_text(SLOW)
    codes = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        goes_on = partial(is_past, saved_steps() + 3)
        codes.append(stop_when(goes_on, number, ['slow.py', '-opt', write(opt)], folder))
    assert codes == [-signal.SIGKILL, 128 + signal.SIGTERM]
    assert 6 <= saved_steps() < 20 and not (FOLDER / 'gt').exists()
    assert 'Continuing ' in run(['-m', 'basicsr_ext', 'distill', '-opt', 'distill.yml'], folder)
    assert contents() == expected


def test_stopped_while_it_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distill(options())
    expected = contents()
    shutil.rmtree('results')

    def killed(*arguments: Any, **keys: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('basicsr_ext.jobs.distill.images.write_manifest', killed)
        assert main(['distill', '-opt', write(options())]) == 130
    assert (FOLDER / 'gt').is_dir() and not (FOLDER / 'manifest.parquet').exists()
    assert main(['distill', '-opt', 'distill.yml']) == 0
    assert contents() == expected


def test_a_second_start_says_it_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    opt = options()
    distill(opt)
    before = contents()
    assert main(['distill', '-opt', write(opt)]) == 0
    assert 'is already there' in caplog.text
    assert contents() == before
    message = refused(options(lr=0.5), capsys)
    assert 'options.distill.lr: 0.005 became 0.5' in message


def test_check_writes_nothing(folder: Path) -> None:
    assert main(['distill', '-opt', write(options()), '--check']) == 0
    assert not Path('results').exists()


# ---- what is refused ----


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'distill': {'ratio': 0.5}}, 'distill.size: expected exactly one of size and ratio, got size and ratio'),
        ({'distill': {'size': 9}}, 'distill.size: expected at most the 8 images of the dataset, got 9'),
        ({'distill': {'kept': 1.5}}, 'distill.kept: expected 0 to 1, got 1.5'),
        ({'distill': {'manifest': None}}, 'distill.manifest: expected a ranking for kept: 0.4, got none'),
        ({'distill': {'manifest': 'none.parquet'}}, "distill.manifest: expected a file, got 'none.parquet'"),
        ({'distill': {'column': 'score'}}, "expected a column 'score', got path, group, height, width, rank"),
        ({'distill': {'column': 'height'}}, 'distill.column: expected the ranks 1 to 8, each once'),
        ({'distill': {'mode': 'latent'}}, 'distill.vae: expected a block with a path with mode: latent, got None'),
        ({'distill': {'vae': {'path': 'x'}}}, 'distill.vae: expected none with mode: pixel'),
        ({'distill': {'mode': 'latent', 'vae': {'path': './x'}}}, 'distill.vae.path: expected a folder with config'),
        ({'distill': {'mode': 'latent', 'vae': {'pth': 'x'}}}, "distill.vae.pth: expected a known key, got 'pth'"),
        ({'distill': {'networks': {'steps': 1}}}, "distill.networks.steps: expected a known key, got 'steps'"),
        ({'distill': {'networks': {'lr': 0}}}, 'distill.networks.lr: expected more than 0, got 0'),
        ({'distill': {'steps': 0}}, 'distill.steps: expected at least 1, got 0'),
        ({'distill': {'lr': -1.0}}, 'distill.lr: expected more than 0, got -1.0'),
        ({'distill': {'image_size': 25}}, 'at least 25 x 25 pixels'),
        ({'distill': {'grad_match': {'type': 'GradLoss'}}}, 'distill.grad_match.type: expected a name in the registry'),
        ({'distill': {'loss': {'type': 'L1Loss', 'x': 1}}}, 'distill.loss.x: expected an argument of L1Loss'),
        ({'distill': {'size': 1, 'per_group': True}}, 'distill.size: expected at least one image of each of the 2 gr'),
        ({'distill': {'grad_match': {'type': 'L1Loss'}}}, 'distill.grad_match: expected a loss of gradients, such as'),
        ({'distill': {'loss': {'type': 'GANLoss', 'gan_type': 'wgan'}}}, 'distill.loss: expected'),
        ({'distill': {'loss': {'type': 'L1Loss', 'reduction': 'none'}}}, 'that gives a scalar, got a tensor (2, 1,'),
        ({'distill': {'imagesize': 8}}, 'distill.imagesize: expected a known key'),
        ({'datasets': {'val': {'name': 'v', **GAUSSIAN}}}, 'datasets: expected train, got train, val'),
        ({'datasets': {'train': {'name': 't', **GAUSSIAN, 'gt_size': 8}}}, 'expected gt_size 16, the value of distill'),
        ({'datasets': {'train': {'name': 't', **PAIRED}}}, 'distill.degradation: expected learned for PairedImage'),
        ({'datasets': {'train': {'name': 't', **PAIRED, 'color': 'y'}}}, 'color: expected rgb, since the result is'),
        ({'network_g': COLOR}, 'expected input that IRCNN takes, got lq (2, 1, 16, 16) and gt (2, 1, 16, 16)'),
        ({'network_g': EDSR, 'datasets': {'train': {'name': 't', **GAUSSIAN, 'color': 'rgb'}}}, 'of the shape of gt'),
        ({'path': {'pretrain_network_g': 'none.pth'}}, "path.pretrain_network_g: expected a file, got 'none.pth'"),
        ({'trian': {}}, "trian: expected a known key, got 'trian'"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    opt = options()
    for key, value in change.items():
        opt[key] = {**opt.get(key, {}), **value} if key in ('distill', 'datasets') else value
    assert message in refused(opt, capsys)
    assert not Path('results').exists()


def test_other_images_than_the_ranking_has_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.remove('gt/002.png')
    assert 'distill.manifest: expected the images that ranking.parquet was made from' in refused(options(), capsys)


def test_groups_that_a_ranking_lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [Item(f'{n:03d}.png', SIZE, SIZE) for n in range(COUNT)]
    write_manifest('ranking.parquet', items, {'rank': RANKS}, {})
    message = refused(options(per_group=True), capsys)
    assert 'distill.per_group: expected a ranking with a column group, got path, height, width, rank' in message


def test_sides_that_the_autoencoder_cannot_halve(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_vae().save_pretrained('vae')
    opt = options(mode='latent', vae={'path': 'vae'}, image_size=15)
    assert 'distill.image_size: expected a multiple of 2' in refused(opt, capsys)


def test_weights_of_a_trained_network_are_used(folder: Path) -> None:
    headers = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save({'params': build_network(dict(GREY)).state_dict()}, 'net.pth')
        opt = {**options(steps=1), 'path': {'pretrain_network_g': 'net.pth'}}
        headers.append(distill(opt).header['weights'])
    assert headers[0] != headers[1]
