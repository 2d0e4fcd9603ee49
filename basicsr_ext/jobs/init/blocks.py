"""The blocks that the option files share: datasets, networks, and their comments."""

import os
from collections.abc import Mapping
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY

from basicsr_ext.jobs.init.parts import Part
from basicsr_ext.jobs.init.plan import Plan, as_option
from basicsr_ext.jobs.init.tasks import Block, network_block
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import check_call, registered
from basicsr_ext.options.commented import notes_of
from basicsr_ext.options.dataset_blocks import LOADER_KEYS, LoaderOptions, walk_blocks

WORKERS = 4  # at most
SHIPPED = (15, 25, 50)  # noise levels of the trained IRCNN in grey that come with the package
HELD_OUT = 'held_out'  # the list of all validation images beside those of a target of its own


def lists_of(plan: Plan) -> dict[str, str]:
    """File below NAME_files/ -> its text: the names of the images of each part."""
    parts = {**plan.parts, HELD_OUT: held_out(plan)}
    return {f'{key}.txt': ''.join(f'{photo.path}\n' for photo in part.photos) for key, part in parts.items()}


def held_out(plan: Plan) -> Part:
    """The images of the folder of `val` in all parts of the validation."""
    val = plan.parts['val']
    photos = [
        photo
        for key, part in plan.parts.items()
        if key != 'train' and (part.root, part.lq) == (val.root, val.lq)
        for photo in part.photos
    ]
    return Part(val.root, val.lq, sorted(photos, key=lambda photo: photo.path))


def whole(plan: Plan, key: str, name: str = '', color: str | None = None) -> Block:
    """A dataset of whole images.

    Args:
        plan: what was chosen.
        key: of a part, or `HELD_OUT`.
        name: of the dataset, its key by default.
        color: another one than the plan's.
    """
    request = plan.request
    part = held_out(plan) if key == HELD_OUT else plan.parts[key]
    block: Block = {
        'name': name or key,
        'type': request.task.dataset,
        'dataroot_gt': as_option(part.root, request.root),
    }
    if part.lq is not None:
        block['dataroot_lq'] = as_option(part.lq, request.root)
    block['meta_info_file'] = as_option(request.beside('_files') / f'{key}.txt', request.root)
    block['io_backend'] = {'type': 'disk'}
    if not request.task.is_pairs:
        block['color'] = color or plan.color
    if request.task.level is not None:
        block[request.task.level] = request.level
    return block


def patches(plan: Plan) -> Block:
    """The dataset to train on, without the keys of the loader."""
    block = {**whole(plan, 'train'), 'gt_size': plan.patch, 'use_hflip': True, 'use_rot': True}
    return block if plan.request.task.is_pairs else {**block, 'cache': plan.is_cached}


def loader(plan: Plan) -> Block:
    """The keys of the loader."""
    workers = min(WORKERS, os.cpu_count() or 1)
    return {'num_worker_per_gpu': workers, 'batch_size_per_gpu': plan.batch}


def network(plan: Plan) -> Block:
    """The block `network_g`."""
    request = plan.request
    return network_block(request.net, plan.channels, request.scale, plan.patch // request.scale)


def has_shipped(plan: Plan) -> bool:
    """Whether a trained network for the task comes with the package."""
    return plan.request.task.name == 'denoise' and plan.request.level in SHIPPED


def proxy(plan: Plan) -> tuple[Block, Block]:
    """`network_g` and `path` of a trained network: one that comes with the package, or what the training leaves."""
    if has_shipped(plan):
        weights = f'pkg://basicsr_ext/weights/IRCNN_gray_sigma{plan.request.level}.pth'
        return network_block('IRCNN', 1, 1, plan.patch), {'pretrain_network_g': weights, 'strict_load_g': True}
    weights = f'experiments/{plan.request.name}/models/net_g_latest.pth'
    # Keys that only training needs stay, as these weights have them.
    return network(plan), {'pretrain_network_g': weights, 'strict_load_g': True}


def common(plan: Plan, name: str) -> Block:
    """The keys at the top that all jobs have."""
    scale = {'scale': plan.request.scale} if plan.request.scale > 1 or plan.request.task.is_pairs else {}
    return {'name': name, **scale, 'num_gpu': 'auto', 'manual_seed': plan.request.seed}


def dataset_notes(block: Mapping[str, Any], path: str) -> dict[str, str]:
    """Comments for a dataset and those inside it."""
    notes = {
        f'{path}.dataroot_gt': 'clean images',
        f'{path}.dataroot_lq': 'degraded images of the same names',
        f'{path}.meta_info_file': 'names of the images to use',
    }
    for inner, where in walk_blocks(dict(block), path):
        kind = registered(DATASET_REGISTRY, inner['type'], f'{where}.type')
        if hasattr(kind, 'Options'):
            notes.update(notes_of(kind.Options, where, inner))
        else:
            notes[f'{where}.gt_size'] = 'side of the square training patch in the clean image, in pixels'
    return {**notes, **notes_of(LoaderOptions, path, block)}


def check_datasets(options: Mapping[str, Any]) -> None:
    """Read each dataset of an option file by the dataclass of its class.

    Raises:
        OptionError: a key or value that it refuses.
    """
    inherited = {'scale': options.get('scale', 1)}
    for key, block in options['datasets'].items():
        where = f'datasets.{key}'
        read_block(LoaderOptions, {name: block[name] for name in LOADER_KEYS if name in block}, where)
        for inner, path in walk_blocks(dict(block), where):
            kind = registered(DATASET_REGISTRY, inner['type'], f'{path}.type')
            if hasattr(kind, 'Options'):
                read_block(kind.Options, {'name': block['name'], **inherited, **inner}, path, ignore=LOADER_KEYS)


def check_network(options: Mapping[str, Any]) -> None:
    """Compare `network_g` of an option file with the arguments of its class.

    Raises:
        OptionError: one that it does not take.
    """
    block = options['network_g']
    check_call(registered(ARCH_REGISTRY, block['type'], 'network_g.type'), block, 'network_g')
