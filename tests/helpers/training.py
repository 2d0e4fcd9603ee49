"""Small training runs: images, an option file, the job in a process of its own, and what it left."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from basicsr_ext.__main__ import main
from tests.helpers.images import write_images
from tests.helpers.processes import run


def options(root: Path, **changes: Any) -> dict[str, Any]:
    """Options of a denoiser that trains in seconds; a change is named by its path, as train__total_iter=4."""
    opt: dict[str, Any] = {
        'name': 'run',
        'model_type': 'RestorationModel',
        'num_gpu': 0,
        'manual_seed': 3,
        'datasets': {
            'train': {
                'name': 'train',
                'type': 'GaussianDenoisingDataset',
                'dataroot_gt': str(root / 'train'),
                'color': 'gray',
                'sigma': [10, 40],
                'gt_size': 16,
                'batch_size_per_gpu': 2,
                'num_worker_per_gpu': 0,
            },
            'val': {
                'name': 'val',
                'type': 'GaussianDenoisingDataset',
                'dataroot_gt': str(root / 'val'),
                'color': 'gray',
                'sigma': 25,
            },
        },
        'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4},
        'path': {'pretrain_network_g': None},
        'train': {
            'total_iter': 6,
            'optim_g': {'type': 'Adam', 'lr': 1e-3},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [3], 'gamma': 0.5},
            'pixel_opt': {'type': 'L1Loss'},
        },
        'val': {'val_freq': 3, 'save_img': False, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 3},
    }
    for path, value in changes.items():
        *blocks, key = path.split('__')
        block = opt
        for name in blocks:
            block = block[name]
        block[key] = value
    return opt


def prepare(root: Path, **changes: Any) -> Path:
    """Write images and an option file; returns the option file."""
    write_images(root / 'train')
    write_images(root / 'val', number=2, size=36)
    file = root / 'run.yml'
    file.write_text(yaml.safe_dump(options(root, **changes)))
    return file


def train_here(folder: Path, *more: str, **changes: Any) -> int:
    """Write images and an option file, and train in this process, in the current directory; the exit code."""
    return main(['train', '-opt', str(prepare(folder, **changes)), *more])


def train(file: Path, folder: Path, *more: str, code: int = 0) -> str:
    """`python -m basicsr_ext train -opt file ...` in a folder."""
    return run(['-m', 'basicsr_ext', 'train', '-opt', str(file), *more], folder, code)


def lines(folder: Path) -> list[dict[str, Any]]:
    log = folder / 'experiments' / 'run' / 'training_log.jsonl'
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def assert_same(a: Any, b: Any) -> None:
    """Equality to the last bit, through dicts and lists."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for item, other in zip(a, b, strict=True):
            assert_same(item, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


def assert_same_runs(whole: Path, resumed: Path, last: int) -> None:
    assert lines(whole) == lines(resumed)
    for name in (f'models/net_g_{last}.pth', 'models/net_g_best.pth', f'training_states/{last}.state'):
        files = [folder / 'experiments' / 'run' / name for folder in (whole, resumed)]
        assert_same(*(torch.load(file, weights_only=True) for file in files))
    metrics = [(folder / 'experiments/run/metrics.json').read_text() for folder in (whole, resumed)]
    assert metrics[0] == metrics[1]
