"""The work that `scale.py` measures: what is prepared before, and what is timed."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import torch
import yaml
from basicsr.data import build_dataset
from scale_sets import PATCH, large_set, other_set, small_set, write_patches, write_ranks

from basicsr_ext.__main__ import main as basicsr_ext_main
from basicsr_ext.archs.ircnn_arch import IRCNN
from basicsr_ext.schedule.sampling import ScheduledSampler
from basicsr_ext.selection.manifest import read_manifest

BATCH, LATE = 16, 100  # samples of an iteration; epochs before the state that is resumed
NETWORK = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 8}

Options = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a measurement is made.

    Attributes:
        folder: of the sets.
        work: an empty folder of its own, the current one.
        number: of images.
    """

    folder: Path
    work: Path
    number: int


Work = Callable[[Place], object]


@dataclass(frozen=True)
class Job:
    """What is measured.

    Attributes:
        run: is timed.
        prepare: comes before, in a process of its own; None needs nothing.
        row_bytes: the most memory that an image more may take.
        of_large: whether it takes the few large images instead of the many small ones.
    """

    run: Work
    prepare: Work | None = None
    row_bytes: int = 2048
    of_large: bool = False


def reader(root: Path, kind: str = 'GaussianDenoisingDataset', **more: Any) -> Options:
    """A block that reads grey images."""
    return {'name': root.name, 'type': kind, 'dataroot_gt': str(root), 'color': 'gray', **more}


def started(job: str, options: Options, *arguments: str) -> None:
    """Run a job of the command line on an option file."""
    Path('options.yml').write_text(yaml.safe_dump({'name': 'scale', 'num_gpu': 0, 'manual_seed': 0, **options}))
    logging.disable(logging.INFO)
    if basicsr_ext_main([job, '-opt', 'options.yml', *arguments]):
        raise SystemExit(1)


def train_options(place: Place, total_iter: int) -> Options:
    """A training of a small network on small patches."""
    loader = {'gt_size': 32, 'batch_size_per_gpu': BATCH, 'num_worker_per_gpu': 0}
    return {
        'model_type': 'RestorationModel',
        'datasets': {
            'train': reader(small_set(place.folder, place.number), sigma=25, **loader),
            'val': reader(other_set(place.folder), sigma=25),
        },
        'network_g': NETWORK,
        'path': {},
        'train': {
            'total_iter': total_iter,
            'optim_g': {'type': 'Adam', 'lr': 1e-3},
            'pixel_opt': {'type': 'L1Loss'},
        },
        'val': {'val_freq': 10**9, 'save_img': False},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 1, 'use_tb_logger': False},
    }


def train(place: Place, *arguments: str) -> None:
    """A training of one iteration."""
    started('train', train_options(place, 1), *arguments)


def late(place: Place) -> int:
    """The iteration of the late state."""
    return LATE * place.number // BATCH


def make_late_state(place: Place) -> None:
    """Give the state of the first iteration the number of a late one."""
    train(place)
    run = Path('experiments/scale')
    state = torch.load(run / 'training_states/1.state', weights_only=False)
    state['iter'] = state['total_iter'] = late(place)
    (run / 'training_states/1.state').unlink()
    torch.save(state, run / f'training_states/{late(place)}.state')
    (run / 'models/net_g_1.pth').rename(run / f'models/net_g_{late(place)}.pth')


def resume(place: Place) -> None:
    """One iteration more from the late state."""
    started('train', train_options(place, late(place) + 1), '--auto_resume')


def rank_complexity(place: Place) -> None:
    """A ranking by entropy."""
    block = reader(small_set(place.folder, place.number), sigma=25)
    started('rank', {'rank': {'method': 'complexity'}, 'datasets': {'train': block}, 'path': {}})


def mine(place: Place) -> None:
    """A scan for informative patches."""
    block = reader(small_set(place.folder, place.number), sigma=25)
    settings = {'patch_size': PATCH, 'stride': 24, 'criteria': ['std', 'grad']}
    started('mine', {'mine': settings, 'datasets': {'train': block}, 'path': {}})


def chosen(place: Place, kind: str, **keys: Any) -> None:
    """Build a training set that chooses by a manifest."""
    inside = reader(small_set(place.folder, place.number), sigma=25)
    del inside['name']
    build_dataset({'name': 'chosen', 'type': kind, 'phase': 'train', 'scale': 1, 'dataset': inside, **keys})


def epoch_order(place: Place) -> None:
    """All samples of an epoch late in a training."""
    iterations = place.number // BATCH
    sampler = ScheduledSampler(place.number, BATCH, 0, LATE * iterations, (LATE + 1) * iterations)
    for _ in sampler:
        pass


def influence(place: Place, kind: str) -> None:
    """A ranking by influence with one product of one image."""
    root = large_set(place.folder, kind, place.number)
    if kind == 'pairs':
        block = reader(root / 'gt', 'PairsDataset', dataroot_lq=str(root / 'lq'))
    else:
        block = reader(root / 'gt', sigma=25)
    options = {
        'rank': {'method': 'influence', 'iterations': 1, 'curvature_images': 1},
        'datasets': {'train': block, 'test': reader(other_set(place.folder), sigma=25)},
        'network_g': NETWORK,
        'path': {'pretrain_network_g': 'net_g.pth'},
    }
    started('rank', options)


def save_network(place: Place) -> None:
    """Random weights."""
    torch.manual_seed(0)
    arguments = {key: value for key, value in NETWORK.items() if key != 'type'}
    torch.save({'params': IRCNN(**arguments).state_dict()}, 'net_g.pth')


RANKS, PATCHES = Path('ranking.parquet'), Path('patches.parquet')

JOBS = {
    'train': Job(train),
    'check': Job(lambda place: train(place, '--check')),
    'resume': Job(resume, make_late_state),
    'rank_complexity': Job(rank_complexity, row_bytes=4096),
    'mine': Job(mine, row_bytes=4096),
    'manifest_rows': Job(lambda place: read_manifest(RANKS), lambda place: write_ranks(RANKS, place.number)),
    'manifest_patches': Job(
        lambda place: read_manifest(PATCHES), lambda place: write_patches(PATCHES, place.number), 4096
    ),
    'subset': Job(
        lambda place: chosen(place, 'InfluenceSubsetDataset', manifest=str(RANKS), subset='mid', ratio=0.5),
        lambda place: write_ranks(RANKS, place.number),
    ),
    'patch_set': Job(
        lambda place: chosen(place, 'MinedPatchDataset', manifest=str(PATCHES), keep=0.5),
        lambda place: write_patches(PATCHES, place.number),
        row_bytes=4096,
    ),
    'epoch_order': Job(epoch_order),
    'influence_2040x1356': Job(lambda place: influence(place, 'large'), save_network, 64 << 20, True),
    'influence_pairs_3840x2160': Job(lambda place: influence(place, 'pairs'), save_network, 128 << 20, True),
}


def make_sets(job: Job, folder: Path, number: int) -> None:
    """Make the images of a measurement, where they are not there yet."""
    other_set(folder)
    if job.of_large:
        for kind in ('large', 'pairs'):
            large_set(folder, kind, number)
    else:
        small_set(folder, number)


def enter(folder: Path) -> Path:
    """Make a folder the current one."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    return folder
