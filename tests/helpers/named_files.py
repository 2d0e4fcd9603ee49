"""The pictures, rankings, weights and autoencoders that an option file or an example names, made up."""

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset

from basicsr_ext.data.inventory import inventory
from basicsr_ext.options.dataset_blocks import inner_blocks, reader_blocks
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import write_manifest, write_patch_manifest

CRITERIA = ('grad', 'std', 'freq', 'random', 'loss')


def first_iteration(index: int) -> ScheduledIndex:
    """An index as the training loop gives it."""
    return ScheduledIndex(index, seed=0, iteration=1, position=index, warmup=False)


def make_pictures(folder: Path, count: int = 2, height: int = 208, width: int = 200) -> None:
    """The first `count` pictures of a folder, as far as it does not have them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):  # a, b, ..., z, aa, bb, ...
        name = chr(ord('a') + number % 26) * (number // 26 + 1)
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        if not (folder / f'{name}.png').exists():
            cv2.imwrite(str(folder / f'{name}.png'), image)


def make_manifests(block: dict[str, Any], scale: int = 1) -> None:
    """Write every list, ranking and audit that a dataset block names, of its images or those of the dataset inside.

    Where there are too few, pictures are added.
    """
    for value in block.values():
        if isinstance(value, dict):
            make_manifests(value, scale)
    if 'meta_info' in block:  # of RealESRGANDataset
        names = sorted(path.name for path in Path(block['dataroot_gt']).iterdir())
        Path(block['meta_info']).parent.mkdir(parents=True, exist_ok=True)
        Path(block['meta_info']).write_text('\n'.join(names), encoding='utf-8')
    for key in {'manifest', 'exclude'} & set(block):
        assert not os.path.isabs(block[key])
        if not Path(block[key]).exists():
            _make_manifest(key, block, scale)


def _make_manifest(key: str, block: dict[str, Any], scale: int) -> None:
    needed = max(2, block.get('size', 0), *block.get('range', ()))
    for reader, _ in reader_blocks(block, ''):
        if isinstance(reader['dataroot_gt'], str) and len(os.listdir(reader['dataroot_gt'])) < needed:
            make_pictures(Path(reader['dataroot_gt']), needed)
    (inner,) = inner_blocks({'name': 'named', 'phase': 'train', 'scale': scale, **block}, '').values()
    items = inventory(build_dataset(deepcopy(inner)))
    if key == 'exclude':
        columns = {'suspect': [False] * len(items), 'reason': [''] * len(items)}
        write_manifest(block['exclude'], items, columns, {'method': 'none'})
    elif block['type'] == 'MinedPatchDataset':
        numbers = np.arange(len(items))
        patches = {'image': numbers, 'y': 2 * numbers, 'x': 2 * numbers, 'size': np.full(len(items), 16)}
        criteria = CRITERIA if block.get('criterion') else CRITERIA[:1]  # of several, one has to be named
        scores = {criterion: numbers.astype(float) for criterion in criteria}
        write_patch_manifest(block['manifest'], items, [{**patches, **scores}], {'method': 'none'})
    else:
        ranks = range(1, len(items) + 1)
        write_manifest(block['manifest'], items, {block.get('column', 'rank'): ranks}, {'method': 'none'})


def make_weights(opt: dict[str, Any]) -> None:
    """Write every file of weights that an option file names and that does not come with the package."""
    for key, value in (opt.get('path') or {}).items():
        if key.startswith('pretrain_network'):
            network = key.removeprefix('pretrain_')
            _save(opt[network] if network in opt else opt.get('network_g'), value)  # a teacher may be as the student is
    for level in (opt.get('rank') or {}).get('levels') or []:
        _save(opt['network_g'], level['pretrain_network_g'])
    sweep = (opt.get('val') or {}).get('sweep')
    for value in sweep.get('weights', {}).values() if isinstance(sweep, dict) else ():
        _save(opt['network_g'], value)


def _save(block: Any, path: str | None) -> None:
    if path is not None and not path.startswith('pkg://'):
        assert not os.path.isabs(path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(build_network(block).state_dict(), path)


def make_vae(folder: Path) -> None:
    """An autoencoder that reduces as much, and has codes of as many channels, as that of Stable Diffusion 3."""
    from diffusers import AutoencoderKL

    AutoencoderKL(
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        block_out_channels=(4, 4, 4, 4),
        latent_channels=16,
        norm_num_groups=2,
        layers_per_block=1,
    ).save_pretrained(folder)
