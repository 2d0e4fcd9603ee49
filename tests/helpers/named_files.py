"""The pictures, rankings, weights and autoencoders that an option file or an example names, made up."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.archs import build_network

from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import Item, write_manifest, write_patch_manifest


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


def fill_dataroots(block: dict[str, Any], scale: int = 1, least: int = 200) -> None:
    """Put pictures of at least so many pixels into every folder of a dataset; those of LQ are smaller by the scale."""
    for key, value in block.items():
        if isinstance(value, dict):
            fill_dataroots(value, scale, least)
        elif key.startswith('dataroot'):
            assert not os.path.isabs(value)
            side = max(least, block.get('gt_size') or 0)
            make_pictures(Path(value), height=side + 8, width=side)
    if 'dataroot_lq' in block:
        for path in list(Path(block['dataroot_lq']).iterdir()):
            small = cv2.resize(cv2.imread(str(path)), None, fx=1 / scale, fy=1 / scale)
            path.unlink()
            cv2.imwrite(str(path.with_stem(block.get('filename_tmpl', '{}').format(path.stem))), small)


def make_manifests(block: dict[str, Any]) -> None:
    """Write every ranking, audit and list that a dataset block names, of as many pictures as it asks for."""
    for value in block.values():
        if isinstance(value, dict):
            make_manifests(value)
    if 'meta_info' in block:
        names = sorted(path.name for path in Path(block['dataroot_gt']).iterdir())
        Path(block['meta_info']).parent.mkdir(parents=True, exist_ok=True)
        Path(block['meta_info']).write_text('\n'.join(names))
    for key in {'manifest', 'exclude'} & set(block):
        assert not os.path.isabs(block[key])
        items = []
        for reader, path in reader_blocks(block, ''):
            folder, group = Path(reader['dataroot_gt']), path.rpartition('datasets.')[2] if 'datasets.' in path else ''
            make_pictures(folder, max(2, block.get('size', 0), *block.get('range', ())))
            for file in sorted(folder.iterdir()):
                name = f'{group}/{file.name}' if group else file.name
                items.append(Item(name, *cv2.imread(str(file)).shape[:2], group))
        if key == 'exclude':
            columns = {'suspect': [False] * len(items), 'reason': [''] * len(items)}
            write_manifest(block['exclude'], items, columns, {'method': 'none'})
        elif block['type'] == 'MinedPatchDataset':
            numbers = np.arange(len(items))
            patches = {'image': numbers, 'y': 2 * numbers, 'x': 2 * numbers, 'size': np.full(len(items), 16)}
            scores = {block.get('criterion') or 'grad': numbers.astype(float)}
            write_patch_manifest(block['manifest'], items, [{**patches, **scores}], {'method': 'none'})
        else:
            ranks = range(1, len(items) + 1)
            write_manifest(block['manifest'], items, {block.get('column', 'rank'): ranks}, {'method': 'none'})


def make_weights(opt: dict[str, Any]) -> None:
    """Write every file of weights that an option file names and that does not come with the package."""
    for key, value in (opt.get('path') or {}).items():
        if key.startswith('pretrain_network') and value is not None and not value.startswith('pkg://'):
            assert not os.path.isabs(value)
            Path(value).parent.mkdir(parents=True, exist_ok=True)
            network = key.removeprefix('pretrain_')
            block = opt[network] if network in opt else opt['network_g']  # a teacher may be built as the student is
            torch.save(build_network(block).state_dict(), value)


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
