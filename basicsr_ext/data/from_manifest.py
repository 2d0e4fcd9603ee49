"""The dataset that a manifest was made from, for jobs that look at its images again."""

import copy
import os
from typing import Any

from basicsr.data import build_dataset
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.options.calls import building, registered
from basicsr_ext.options.dataset_blocks import reader_blocks, stacks_inputs, walk_blocks
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Manifest


def dataset_of(
    manifest: Manifest, dataroot: str | None = None, dataroot_lq: str | None = None, key: str = 'train'
) -> SampleDataset:
    """Build the dataset that the header describes.

    Args:
        manifest: of images or patches.
        dataroot, dataroot_lq: where its images are now, if they moved; options `--dataroot` and `--dataroot_lq`.
        key: of its block below `datasets`: `test` is the target.

    Raises:
        DataError: the header does not describe it, or a folder is missing.
        OptionError: it has no such folder.
    """
    block = _block(manifest, {'dataroot_gt': dataroot, 'dataroot_lq': dataroot_lq}, key)
    with building(f'manifest {manifest.source}, datasets.{key}', str(block.get('type'))):
        return scheduled(build_dataset(block))


def _block(manifest: Manifest, folders: dict[str, str | None], key: str) -> dict[str, Any]:
    try:
        block: dict[str, Any] = copy.deepcopy(manifest.header['options']['datasets'][key])
        if not isinstance(block, dict):
            raise TypeError(shown(block))
    except (KeyError, TypeError) as error:
        raise DataError(
            f'manifest {manifest.source}',
            'the options of the dataset in its header',
            'none',
            'Name a file that `basicsr-ext rank`, `mine` or `audit` wrote.',
        ) from error
    for inner, where in walk_blocks(block, f'datasets.{key}'):
        registered(DATASET_REGISTRY, inner.get('type'), f'{where}.type')
    blocks = reader_blocks(block, f'datasets.{key}')
    if len(blocks) > 1 and any(folders.values()):
        raise OptionError(
            '--dataroot',
            'a manifest of one dataset',
            f'one of {len(blocks)} in an AllInOneDataset',
            'Put the images where they were.',
        )
    for reader, where in blocks:
        _move(reader, where, folders)
    return block


def _move(reader: dict[str, Any], where: str, folders: dict[str, str | None]) -> None:
    """Let a block that names files name them where they are now."""
    reader.pop('cache', None)  # every image is read once
    for key, folder in folders.items():
        option = f'--{key.removesuffix("_gt")}'
        if folder and key not in reader:
            raise OptionError(option, f'a manifest of a dataset with {key}', reader['type'], 'Remove it.')
        if folder and key == 'dataroot_lq' and stacks_inputs(reader):
            raise OptionError(
                option, f'one folder in {where}.{key}', len(reader[key]), 'Put the images where they were.'
            )
        root = folder or reader.get(key)
        if isinstance(root, str) and not os.path.isdir(os.path.expanduser(root)):
            place = option if folder else f'{where}.{key}'
            raise DataError(place, 'a folder', shown(root), f'Say with {option} where the images are.')
        if folder:
            reader[key] = folder


def index_of_places(manifest: Manifest, dataset: SampleDataset, where: str) -> dict[int, int]:
    """Place in `manifest.items()` -> index in the dataset, which may also hold images that were skipped.

    Args:
        manifest: of images or patches.
        dataset: with all its images.
        where: the option that says where they are, named in errors.

    Raises:
        DataError: the dataset does not hold the images of the manifest; names those that differ.
    """
    tolerant = manifest.holds_patches or manifest.holds_audit  # which name damaged images
    rows = manifest.rows_of(inventory(dataset, tolerant), where)
    return {row: index for index, row in enumerate(rows) if row >= 0}
