"""The training files of the experiments: what is restored, on which images, with a short schedule."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from comparing import FILES
from pools import Pool

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.options.command_line import override
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.options.load import load_options
from basicsr_ext.runtime.files import atomic_open

TRAIN_FILE = 'options/train/IRCNN/train_IRCNN_gray_proxy_sigma25_BSD400.yml'
SWINIR_FILE = 'options/train/SwinIR/train_SwinIR-tiny_color_sigma50_warmup_BSD400.yml'
RANK_FILE = 'options/rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml'  # names the proxy that comes with the package
PATCH = 48  # side of a training patch, in pixels
LOADER = {'batch_size_per_gpu': 8, 'num_worker_per_gpu': 0}
PSNR = {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': False}

Block = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is restored.

    Attributes:
        dataset: the keys of the dataset that degrades.
        network: of the trainings, unless another is asked for.
        patch: side of a training patch in the ground truth, in pixels.
        metric: keys of the PSNR that are not the usual ones.
        proxy: the option file of a network that selections ask; None where the comparison trains one.
    """

    dataset: Block
    network: str = 'IRCNN'
    patch: int = PATCH
    metric: Block = field(default_factory=dict)
    proxy: str | None = None

    @property
    def color(self) -> str:
        """`gray` or `rgb`."""
        return str(self.dataset['color'])


TASKS = {
    'denoise': Task({'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}, proxy=RANK_FILE),
    'color': Task({'type': 'GaussianDenoisingDataset', 'color': 'rgb', 'sigma': 25}),
    'sr': Task(
        {'type': 'BicubicSRDataset', 'color': 'rgb', 'scale': 2},
        'EDSR',
        2 * PATCH,
        {'crop_border': 2, 'test_y_channel': True},
    ),
}
DENOISERS = ('IRCNN', 'DnCNN', 'SwinIR')
RATES = {
    'EDSR': '1e-3',
    'SwinIR': '1e-3',
    'Restormer': '1e-3',
}  # where the usual one is too large


def network(name: str, color: str) -> Block:
    """The block `network_g` of a small network."""
    channels = 1 if color == 'gray' else 3
    ends = {'num_in_ch': channels, 'num_out_ch': channels}
    if name == 'SwinIR':
        return {**load_options(SWINIR_FILE)['network_g'], 'in_chans': channels, 'img_size': PATCH}
    return {
        'IRCNN': {'type': 'IRCNN', **ends, 'num_feat': 32},
        'DnCNN': {'type': 'DnCNN', **ends, 'num_feat': 32, 'num_layers': 10, 'with_bn': False},
        'Restormer': {
            **{'type': 'Restormer', **ends, 'dim': 16, 'num_blocks': [1, 1, 1, 2], 'num_refinement_blocks': 1},
            **{'heads': [1, 2, 4, 8], 'ffn_expansion_factor': 2.66, 'bias': False, 'norm_type': 'BiasFree'},
        },
        'EDSR': {'type': 'EDSR', **ends, 'num_feat': 32, 'num_block': 4, 'upscale': 2, 'res_scale': 1},
    }[name]


def on_pool(task: Task, pool: Pool, net: str, iterations: int) -> Block:
    """Options that train a network on a pool; every reported set of it is reported, none chooses checkpoints."""

    def reader(name: str, **keys: Any) -> Block:
        return {'name': name, **task.dataset, 'dataroot_gt': str(pool.folder / name), **keys}

    opt = shortened(TRAIN_FILE, iterations, RATES.get(net))
    opt['network_g'] = network(net, task.color)
    opt['datasets'] = {
        'train': {**reader('pool', gt_size=task.patch, cache=True), **LOADER},
        'val_target': reader('target'),
        **{f'val_{name}': reader(name) for name in pool.reports},
    }
    opt['val']['metrics'] = {'psnr': {**PSNR, **task.metric}}
    return opt


def on_images(
    option_file: str, iterations: int, target: str = 'datasets/BSD68', patch: int = PATCH, rate: str | None = None
) -> Block:
    """Options of a file that trains, with the short schedule, on all of its images; its validation set is reported.

    Every second image of another folder is aimed at; the others, `datasets.val`, choose checkpoints where
    `--checkpoint best` asks for it.

    Args:
        option_file: that trains, perhaps on a part of its images.
        iterations: of the training.
        target: this folder.
        patch: side of a training patch, in pixels.
        rate: at the beginning; None for the usual one.
    """
    opt = shortened(option_file, iterations, rate)
    opt['datasets'] = {
        'train': {**all_images(opt['datasets']['train']), 'gt_size': patch, **LOADER},
        **apart(opt['datasets']['val'], target),
    }
    opt['val']['metrics'] = {'psnr': {**PSNR, **opt['val']['metrics']['psnr']}}
    return opt


def apart(report: Block, folder: str) -> Block:
    """The sets that are kept apart: the reported one, and the halves of another folder."""
    names = sorted(path.name for path in Path(folder).iterdir() if not path.name.startswith('.'))
    blocks: Block = {}
    for key, name, own in (('val_target', 'target', names[::2]), ('val', 'choosing', names[1::2])):
        path = FILES / f'{Path(folder).name}_{name}.txt'
        blocks[key] = {**report, 'name': name, 'dataroot_gt': folder, 'meta_info_file': listed(own, path)}
    return {**blocks, 'val_report': report}


def listed(names: Sequence[str], path: Path) -> str:
    """Write names of images, one a line; the path of the list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(path, 'w') as file:
        file.write('\n'.join(names) + '\n')
    return str(path)


def proxy_file(sigma: int) -> str:
    """An option file with the IRCNN that comes with the package for a level of grey noise; its path."""
    opt = {
        'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 64},
        'path': {'pretrain_network_g': f'pkg://basicsr_ext/weights/IRCNN_gray_sigma{sigma}.pth'},
    }
    path = FILES / f'proxy_sigma{sigma}.yml'
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(path, 'w') as file:
        yaml.safe_dump(opt, file)
    return str(path)


def all_images(train: Block) -> Block:
    """The block `datasets.train` without the wrapper that chooses or warms up."""
    loader = {key: value for key, value in train.items() if key in LOADER_KEYS}
    return {'name': train['name'], **train['dataset'], **loader} if 'dataset' in train else train


def shortened(option_file: str, iterations: int, rate: str | None = None) -> Block:
    """The options of a file with the short schedule.

    Args:
        option_file: that trains.
        iterations: of the training.
        rate: at its beginning; None for the usual one.
    """
    opt: Block = {'use_amp': False, 'amp_bf16': False, 'use_channels_last': False, **load_options(option_file)}
    for key, value in {**short_schedule(iterations), **({'train.optim_g.lr': rate} if rate else {})}.items():
        override(opt, f'{key}={value}')
    return opt


def short_schedule(iterations: int) -> dict[str, str]:
    """Changes that turn a file of a million iterations at a fixed rate into a short run: larger rate, cosine schedule,
    bfloat16."""
    schedule = {
        'type': 'CosineAnnealingRestartLR',
        'periods': [iterations],
        'restart_weights': [1],
        'eta_min': 1e-6,
    }
    return {
        'use_amp': 'true',
        'amp_bf16': 'true',
        'use_channels_last': 'true',
        'train.total_iter': str(iterations),
        'train.optim_g.lr': '2e-3',
        'train.scheduler': json.dumps(schedule),
        'train.warmup_iter': str(iterations // 50),
        'logger.use_tb_logger': 'false',
    }
