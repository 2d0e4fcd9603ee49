"""Real-world super-resolution from option file to pictures: any model trains, tests without ground truth, restores."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.data import build_dataset
from torch.utils.data import default_collate

from basicsr_ext.__main__ import main
from basicsr_ext.runtime.checkpoint import save_network_weights
from tests.helpers.flexir import NETWORK, build
from tests.helpers.images import write_images
from tests.helpers.named_files import first_iteration
from tests.helpers.real_world import real_world
from tests.helpers.training import options

REAL_WORLD: dict[str, Any] = {**NETWORK, 'in_chans': 3, 'upsampler': 'nearest+conv', 'upscale': 4}
PLAIN = {'type': 'SRVGGNetCompact', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_conv': 1, 'upscale': 2}
NIQE = {'niqe': {'type': 'calculate_niqe', 'crop_border': 0, 'better': 'lower'}}
PICTURES = {'name': 'real', 'type': 'SingleImageDataset', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current directory with clean images and small ones without ground truth."""
    monkeypatch.chdir(tmp_path)
    write_images(Path('images'), number=3, size=48, color=True)
    write_images(Path('lq'), number=2, size=52, color=True)


def write(opt: dict[str, Any]) -> None:
    Path('run.yml').write_text(yaml.safe_dump(opt, sort_keys=False))


def training(scale: int, network: dict[str, Any], **changes: Any) -> None:
    """An option file of four iterations, with pictures at the end as validation."""
    opt = options(Path(), network_g=network, **changes)
    block = {key: value for key, value in real_world('images').items() if key not in ('phase', 'scale', 'gt_size')}
    loader = {'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0, 'gt_size': 8 * scale}
    opt |= {'scale': scale, 'datasets': {'train': {**block, **loader}, 'val': PICTURES}}
    opt['val'] = {'val_freq': 4, 'save_img': True}
    opt['train'] |= {'total_iter': 4, 'optim_g': {'type': 'Adam', 'lr': 1e-3}}
    write(opt)


@pytest.mark.parametrize('scale', [2, 4])
def test_flexir_learns_from_batches_of_pairs(scale: int, tmp_path: Path) -> None:
    model = build(tmp_path, network_g={**REAL_WORLD, 'upscale': scale}, train__progressive=False)
    dataset = build_dataset(real_world('images', scale=scale, gt_size=8 * scale))
    before = [parameter.clone() for parameter in model.net_g.parameters()]
    for iteration in range(1, 3):
        model.feed_data(default_collate([dataset[first_iteration(position)] for position in range(2)]))
        model.optimize_parameters(iteration)
    changed = [not torch.equal(old, new) for old, new in zip(before, model.net_g.parameters(), strict=True)]
    assert all(changed)
    assert all(parameter.isfinite().all() for parameter in model.net_g.parameters())
    tails = {name for name, _ in model.net_g.named_parameters() if name.startswith('tails.1.conv_up')}
    assert len(tails) == {2: 2, 4: 4}[scale]  # a weight and a bias for each doubling


def test_flexir_trains_saves_pictures_and_restores() -> None:
    training(4, REAL_WORLD, model_type='FlexIRModel', train__pixel_opt=None)
    assert main(['train', '-opt', 'run.yml', '--check']) == 0 and not Path('experiments').exists()
    assert main(['train', '-opt', 'run.yml']) == 0
    saved = sorted(Path('experiments/run/visualization').rglob('*.png'))
    assert [path.name for path in saved] == ['000_4.png', '001_4.png']
    weights = 'experiments/run/models/net_g_4.pth'
    assert main(['restore', 'lq', '-o', 'out', '--weights', weights, '--device', 'cpu']) == 0
    for number in ('000', '001'):
        restored, validated = (cv2.imread(file).astype(int) for file in (f'out/{number}.png', str(saved[int(number)])))
        assert restored.shape == validated.shape == (208, 208, 3)
        assert np.abs(restored - validated)[:64, :64].max() <= 1  # far from where regions meet
        assert np.abs(restored - validated).mean() < 2


@pytest.mark.parametrize(('model', 'keys'), [('RestorationModel', {}), ('SRModel', {'ema_decay': 0})])
def test_other_models_train_on_the_same_pairs(model: str, keys: dict[str, Any]) -> None:
    training(2, PLAIN, model_type=model, **{f'train__{key}': value for key, value in keys.items()})
    assert main(['train', '-opt', 'run.yml']) == 0
    assert len(list(Path('experiments/run/visualization').rglob('*.png'))) == 2


def test_every_pointer_is_tested_without_ground_truth() -> None:
    torch.manual_seed(0)
    net = build_network(dict(REAL_WORLD))
    save_network_weights('net.pth', {'params': net.state_dict()}, REAL_WORLD)
    opt = {
        'name': 'run', 'model_type': 'FlexIRModel', 'scale': 4, 'num_gpu': 0, 'manual_seed': 0,
        'datasets': {'test_1': PICTURES}, 'network_g': REAL_WORLD, 'path': {'pretrain_network_g': 'net.pth'},
        'val': {'save_img': True, 'sweep': 'pointers', 'metrics': NIQE},
    }  # fmt: skip
    write(opt)
    assert main(['test', '-opt', 'run.yml', '--check']) == 0 and not Path('results').exists()
    assert main(['test', '-opt', 'run.yml']) == 0
    rows = json.loads(Path('results/run/sweep.json').read_text())['rows']
    assert [row['row'] for row in rows] == ['pointer 1', 'pointer 2']
    assert all(row['niqe'] > 0 for row in rows)
    first, last = (f'results/run/visualization/pointer {pointer}/real/000_run.png' for pointer in (1, 2))
    assert cv2.imread(first).shape == (208, 208, 3) and (cv2.imread(first) != cv2.imread(last)).any()

    write({**opt, 'name': 'plain', 'val': {'save_img': True}})
    assert main(['test', '-opt', 'run.yml']) == 0
    plain = cv2.imread('results/plain/visualization/real/000_plain.png')
    assert np.array_equal(plain, cv2.imread(last))
    write({**opt, 'val': {'save_img': True, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}}})
    assert main(['test', '-opt', 'run.yml']) == 2


def test_images_without_ground_truth_have_to_fit_the_network_before_work_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    grey = {**REAL_WORLD, 'in_chans': 1}
    opt = {
        'name': 'run', 'model_type': 'FlexIRModel', 'scale': 4, 'num_gpu': 0, 'manual_seed': 0,
        'datasets': {'test_1': PICTURES}, 'network_g': grey, 'path': {}, 'val': {'save_img': True},
    }  # fmt: skip
    write(opt)
    for words in ([], ['--check']):
        assert main(['test', '-opt', 'run.yml', *words]) == 2
        assert ': expected input that FlexIR takes, got lq (1, 3, 52, 52)' in capsys.readouterr().err
    assert not Path('results').exists()
