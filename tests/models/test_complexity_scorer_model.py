"""The training of the complexity scorer, and what validation says of it."""

import csv
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

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.checks import check_options
from basicsr_ext.options.complete import complete
from basicsr_ext.schedule.sampling import ScheduledIndex
from tests.helpers.processes import run, run_ranks
from tests.helpers.training import assert_same, assert_same_runs, train

timm: Any = pytest.importorskip('timm')


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def dataset(folder: Path, phase: str = 'train', **options: Any) -> Any:
    block = {'name': 'data', 'type': 'ComplexityLabelDataset', 'dataroot_gt': str(folder), 'phase': phase, **options}
    return build_dataset(block)


def labels_of(data: Any) -> dict[str, float]:
    samples = [data[ScheduledIndex(index, 0, 1, index)] for index in range(len(data))]
    return {Path(sample['gt_path']).stem: sample['gt'].item() for sample in samples}


def write_noise(folder: Path, number: int) -> None:
    """Noise of 2 to 256 levels: entropy and contrast grow with the number of the image."""
    rng = np.random.default_rng(number)
    for index in range(number):
        levels = int(2 ** (1 + 7 * index / (number - 1)))
        low = (256 - levels) // 2
        write(folder / f'{index:02d}.png', rng.integers(low, low + levels, (40, 48, 3), dtype=np.uint8))


def prepare(root: Path, total_iter: int = 6, **network: Any) -> Path:
    write_noise(root / 'train', 24)
    data = {'type': 'ComplexityLabelDataset', 'dataroot_gt': str(root / 'train'), 'input_size': 32}
    opt = {
        'name': 'run',
        'model_type': 'ComplexityScorerModel',
        'num_gpu': 0,
        'manual_seed': 3,
        'use_channels_last': True,
        'datasets': {
            'train': {'name': 'train', **data, 'batch_size_per_gpu': 8, 'num_worker_per_gpu': 0},
            'val': {'name': 'val', **data, 'dataroot_range': str(root / 'train')},
        },
        'network_g': {'type': 'ComplexityScorer', 'backbone': 'test_resnet', 'input_size': 32, **network},
        'path': {'pretrain_network_g': None},
        'train': {
            'total_iter': total_iter,
            'optim_g': {'type': 'AdamW', 'lr': 1e-3},
            'ema_decay': 0.8,
            'pixel_opt': {'type': 'MSELoss'},
        },
        'val': {'val_freq': total_iter, 'save_img': True},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 100},
    }
    file = root / 'run.yml'
    file.write_text(yaml.safe_dump(opt))
    return file


def test_it_learns_the_entropy_of_noise(tmp_path: Path) -> None:
    file = prepare(tmp_path, total_iter=60)
    assert 'the first one fits the network' in train(file, tmp_path, '--check')
    output = train(file, tmp_path)
    folder = tmp_path / 'experiments/run'
    losses = [line['l_pix'] for line in map(json.loads, (folder / 'training_log.jsonl').open()) if 'l_pix' in line]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    found = json.loads((folder / 'metrics.json').read_text())['val']
    assert found['spearman'] > 0.8 and found['pearson'] > 0.8 and found['mse'] < 0.03
    assert f'Best spearman on val: {found["spearman"]:.4f}; saved net_g_best.pth.' in output
    rows = list(csv.DictReader((folder / 'visualization/val/val_60.csv').open()))
    errors = [abs(float(row['label']) - float(row['prediction'])) for row in rows]
    assert len(rows) == 24 and errors == sorted(errors, reverse=True)
    assert found['mse'] == pytest.approx(np.mean(np.square(errors)), abs=1e-5)
    assert cv2.imread(str(folder / 'visualization/val/val_60.png')) is not None

    # The table is a file of labels, and the checkpoint a network.
    labels = labels_of(dataset(tmp_path / 'train', labels=str(folder / 'visualization/val/val_60.csv')))
    assert labels == pytest.approx({Path(row['path']).stem: float(row['label']) for row in rows})
    net = build_network(yaml.safe_load(file.read_text())['network_g']).eval()
    net.load_state_dict(torch.load(folder / 'models/net_g_latest.pth', weights_only=True)['params_ema'])
    worst = torch.from_numpy(cv2.imread(str(tmp_path / 'train' / rows[0]['path']))[..., ::-1] / np.float32(255))
    with torch.no_grad():
        assert net(worst.permute(2, 0, 1)[None]).item() == pytest.approx(float(rows[0]['prediction']), abs=1e-4)


def test_a_resumed_run_is_the_whole_one(tmp_path: Path) -> None:
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    whole.mkdir(), parts.mkdir()
    file = prepare(tmp_path, 8, drop_path_rate=0.3)
    text = file.read_text().replace('val_freq: 8', 'val_freq: 2').replace('save_img: true', 'save_img: false')
    file.write_text(text)
    train(file, whole)
    file.write_text(text.replace('total_iter: 8', 'total_iter: 4'))
    train(file, parts)
    file.write_text(text)
    assert 'Resuming training from iter: 4' in train(file, parts, '--auto_resume')
    assert_same_runs(whole, parts, 8)


def test_two_ranks_validate_as_one(tmp_path: Path) -> None:
    file = prepare(tmp_path, total_iter=0)
    opt = yaml.safe_load(file.read_text())
    opt['datasets'] = {'val': opt['datasets']['val']}
    weights = tmp_path / 'weights.pth'
    torch.save(build_network(opt['network_g']).state_dict(), weights)
    opt['path']['pretrain_network_g'] = str(weights)
    del opt['train'], opt['logger'], opt['val']['val_freq']
    file.write_text(yaml.safe_dump(opt))
    found = []
    for name in ('one', 'two'):
        folder = tmp_path / name
        folder.mkdir()
        arguments = ['-m', 'basicsr_ext', 'test', '-opt', str(file)]
        run(arguments, folder) if name == 'one' else run_ranks([*arguments, '--launcher', 'pytorch'], folder)
        found.append(json.loads((folder / 'results/run/metrics.json').read_text()))
        assert (folder / 'results/run/visualization/val/val_run.csv').is_file()
    assert_same(*found)


@pytest.mark.parametrize('key', ['metrics', 'tile_size'])
def test_options_of_pictures_are_refused(key: str, tmp_path: Path) -> None:
    opt = yaml.safe_load(prepare(tmp_path).read_text())
    opt['val'][key] = {'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}, 'tile_size': 64}[key]
    complete(opt, tmp_path, True)
    with pytest.raises(OptionError, match=f'val.{key}: expected none, as the scorer gives a number'):
        check_options(opt)
