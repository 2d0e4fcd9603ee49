"""Rows of gpu_check.py that need processes: a training killed and resumed, and two ranks against one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from gpu_rows import WEIGHTS, Found, Place, Row, relative, write_pictures

from basicsr_ext.selection.manifest import read_manifest

LONGEST = 300  # seconds of a process
GREY = {'num_in_ch': 1, 'num_out_ch': 1}
NETWORKS: dict[str, dict[str, Any]] = {
    'attention, FlexIR': {
        'type': 'FlexIR', 'upscale': 1, 'in_chans': 1, 'img_size': 32, 'window_size': 8, 'depths': [2, 2],
        'embed_dim': 24, 'num_heads': [2, 2], 'mlp_ratio': 2, 'upsampler': '', 'drop_path_rate': 0.1,
    },
    'interpolation, MIRNetv2': {'type': 'MIRNetv2', **GREY, 'dim': 16, 'num_blocks': 1},
}  # fmt: skip


def options(place: Place, folder: Path, network: dict[str, Any], batch: int, iterations: int, saved: int) -> Path:
    """Write the option file of a training."""
    is_flexir = network['type'] == 'FlexIR'
    noisy = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25, 'cache': True}
    opt = {
        'name': 'run',
        'model_type': 'FlexIRModel' if is_flexir else 'RestorationModel',
        'num_gpu': place.num_gpu,
        'manual_seed': 0,
        'datasets': {
            'train': {
                'name': 'pictures', 'dataroot_gt': str(folder.parent / 'pictures'), **noisy, 'gt_size': 32,
                'batch_size_per_gpu': batch, 'num_worker_per_gpu': 0,
            }
        },
        'network_g': network,
        'path': {},
        'train': {
            'total_iter': iterations,
            'optim_g': {'type': 'Adam', 'lr': 1e-4},
            'ema_decay': 0.99,
            **({'milestones': [saved // 2]} if is_flexir else {'pixel_opt': {'type': 'L1Loss'}}),
        },
        'logger': {'print_freq': iterations, 'save_checkpoint_freq': saved},
        'dist_params': {'backend': backend(place)},
    }  # fmt: skip
    folder.mkdir(parents=True)
    file = folder / 'run.yml'
    file.write_text(yaml.safe_dump(opt))
    return file


def backend(place: Place) -> str:
    """nccl takes no two processes on one GPU."""
    return 'nccl' if place.device.type == 'cuda' and torch.cuda.device_count() > 1 else 'gloo'


def start(job: str, file: Path, *more: str, ranks: int = 1) -> 'subprocess.Popen[str]':
    """Start a job in the folder of its option file."""
    launcher = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(ranks)] if ranks > 1 else []
    last = ['--launcher', 'pytorch'] if ranks > 1 else []
    command = [sys.executable, *launcher, '-m', 'basicsr_ext', job, '-opt', str(file), *last, *more]
    output = subprocess.PIPE
    return subprocess.Popen(command, cwd=file.parent, stdout=output, stderr=subprocess.STDOUT, text=True)


def finish(process: 'subprocess.Popen[str]') -> None:
    """Wait for a process.

    Raises:
        RuntimeError: it failed; its last line.
    """
    try:
        output, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f'exit code {process.returncode}: {output.strip().splitlines()[-1]}')


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What a training ended with."""
    file = folder / 'experiments' / 'run' / 'models' / 'net_g_latest.pth'
    loaded: dict[str, Any] = torch.load(file, map_location='cpu', weights_only=True)
    return {f'{key}.{name}': value for key in ('params', 'params_ema') for name, value in loaded[key].items()}


def resumed(name: str, place: Place) -> Found:
    """Train once without a stop, once with a kill after the first saved state."""
    folder = place.folder / f'resume {name}'
    write_pictures(folder / 'pictures', 8, 48)
    length, saved = place.of(300, 40), place.of(30, 4)
    whole, stopped = (options(place, folder / part, NETWORKS[name], 4, length, saved) for part in ('whole', 'stopped'))
    finish(start('train', whole))
    process = start('train', stopped)
    states = stopped.parent / 'experiments' / 'run' / 'training_states'
    while not list(states.glob('*.state')):
        if process.poll() is not None:
            finish(process)
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = max(int(path.stem) for path in states.glob('*.state'))
    if done >= length:
        raise RuntimeError('the training had ended before it was killed; run this again')
    finish(start('train', stopped, '--auto_resume'))
    first, second = weights(whole.parent), weights(stopped.parent)
    other = [key for key in first if not torch.equal(first[key], second[key])]
    said = f'{len(first)} tensors equal' if not other else f'{len(other)} of {len(first)} tensors differ'
    return Found(f'{said}, killed after {done} of {length}', not other)


def ranks_train(place: Place) -> Found:
    """Two processes with half of the batch each against one."""
    folder = place.folder / 'ranks'
    write_pictures(folder / 'pictures', 8, 48)
    network, length = {'type': 'IRCNN', **GREY, 'num_feat': 16}, place.of(50, 4)
    for part, ranks in (('one', 1), ('two', 2)):
        finish(start('train', options(place, folder / part, network, 4 // ranks, length, length), ranks=ranks))
    one, two = (
        torch.cat([value.flatten().float() for value in weights(folder / part).values()]) for part in ('one', 'two')
    )
    difference = relative(two, one)
    return Found(f'{difference:.1e} by {backend(place)}', difference <= 1e-4)


def ranks_rank(place: Place) -> Found:
    """The job `rank` in two processes against one."""
    folder = place.folder / 'ranking'
    noisy = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}
    for part, first in (('train', 0), ('test', 100)):
        write_pictures(folder / part, place.of(24, 4), 48, first)
    datasets = {part: {'name': part, 'dataroot_gt': str(folder / part), **noisy} for part in ('train', 'test')}
    found = []
    for part, ranks in (('one', 1), ('two', 2)):
        opt = {
            'name': part, 'num_gpu': place.num_gpu, 'manual_seed': 0, 'datasets': datasets,
            'rank': {'iterations': place.of(8, 2)}, 'network_g': {'type': 'IRCNN', **GREY},
            'path': {'pretrain_network_g': str(WEIGHTS)}, 'dist_params': {'backend': backend(place)},
        }  # fmt: skip
        file = folder / f'{part}.yml'
        file.write_text(yaml.safe_dump(opt))
        finish(start('rank', file, ranks=ranks))
        manifest = read_manifest(folder / 'results' / part / 'ranking.parquet')
        found.append(torch.from_numpy(manifest.array('influence').copy()))
    difference = relative(found[1], found[0])
    return Found(f'{difference:.1e} by {backend(place)}', difference <= 1e-4)


ROWS = [
    *(
        Row(f'resume after SIGKILL: {name}', 'equal bit by bit', lambda place, name=name: resumed(name, place))
        for name in NETWORKS
    ),
    Row('two ranks against one: training', 'weights to 1e-4', ranks_train),
    Row('two ranks against one: rank', 'scores to 1e-4', ranks_rank),
]
