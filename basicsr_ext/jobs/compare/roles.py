"""Three sets of images that a comparison keeps apart: aimed at, choosing checkpoints, reported.

They are the validation sets `val_target`, `val` and `val_report` of the option file, or those that the command line
names; `val.best.dataset` names another one that chooses. A file that has none of these names gets its first validation
set split, by the digests of the files: a third is aimed at, the rest is reported, or a third chooses checkpoints where
these are chosen.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.shared_files import digest_of, image_files
from basicsr_ext.errors import OptionError, nearest
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.selection.manifest import write_manifest
from basicsr_ext.training.building import build_dataset

Block = dict[str, Any]

TARGET, CHOOSING, REPORT = 'val_target', 'val', 'val_report'  # keys of `datasets`
LEAST = 3  # images of a set that is split


@dataclass
class Roles:
    """Who plays which part.

    Attributes:
        target: the block of the images that selections aim at; None if the option file has none.
        choosing: the block of those that choose checkpoints; None if the last one counts.
        reports: name -> block of those that are reported, the one that decides first.
        notes: how they came about.
    """

    target: Block | None
    choosing: Block | None
    reports: dict[str, Block]
    notes: list[str] = field(default_factory=list)

    def named(self) -> dict[str, Block]:
        """All of them by the names that messages give them."""
        found = {'the images that selections aim at': self.target, 'the images that choose checkpoints': self.choosing}
        reported = {f'the reported images {name}': block for name, block in self.reports.items()}
        return {**{name: block for name, block in found.items() if block is not None}, **reported}


def roles_of(
    datasets: Mapping[str, Block],
    target: str | None,
    report: str | None,
    chooses: bool,
    folder: Path,
    best: str | None = None,
) -> Roles:
    """Find the sets.

    Args:
        datasets: the completed blocks of the option file.
        target, report: a key of `datasets` or a folder, as the command line names them.
        chooses: whether a set has to choose checkpoints.
        folder: where the manifest of a split comes.
        best: name of the set that chooses checkpoints, `val.best.dataset`; None for `datasets.val`.

    Raises:
        OptionError: there is no such set, or too few images to split.
    """
    own = {key: _without_loader(block) for key, block in datasets.items() if key.split('_')[0] == 'val'}
    if not own and report is None:
        raise OptionError('datasets', 'a validation set', 'none', 'Add datasets.val, or name --report FOLDER.')
    like = next(iter(own.values()), None) or _without_loader(datasets['train'])
    aimed = _named(target, '--target', own, like) if target else own.get(TARGET)
    reported = _named(report, '--report', own, like) if report else own.get(REPORT)
    named = next((block for block in own.values() if block['name'] == best), None)
    if aimed is None and reported is None:
        return _split(own, chooses, folder, named)
    choosing = (named or own.get(CHOOSING)) if chooses else None
    if reported is None:
        others = {key: block for key, block in own.items() if block is not aimed and block is not choosing}
        if not others:
            raise OptionError('datasets', 'images to report', 'none beside the target', 'Name --report FOLDER.')
        reports = {block['name']: block for block in others.values()}
    else:
        reports = {reported['name']: reported}
    if chooses and choosing is None:
        raise OptionError('datasets', 'val, to choose checkpoints', 'none', 'Add it, or remove --checkpoint best.')
    return Roles(aimed, choosing, reports)


def _without_loader(block: Mapping[str, Any]) -> Block:
    return {key: value for key, value in block.items() if key not in LOADER_KEYS}


def _named(text: str, flag: str, own: Mapping[str, Block], like: Block) -> Block:
    """A validation set by its key, or one like the others that reads a folder."""
    if text in own:
        return own[text]
    folder = os.path.expanduser(text)
    if not os.path.isdir(folder):
        raise OptionError(flag, 'a validation set of the option file, or a folder', text, nearest(text, own))
    if 'dataset' in like or 'datasets' in like or 'dataroot_gt' not in like or 'dataroot_lq' in like:
        raise OptionError(
            flag, 'a validation set of the option file, as its images are no single folder', text, 'Add it there.'
        )
    kept = {
        key: value for key, value in like.items() if key not in ('meta_info_file', 'gt_size', 'use_hflip', 'use_rot')
    }
    name = Path(os.path.abspath(folder)).name
    return {**kept, 'name': name, 'phase': 'val', 'dataroot_gt': folder, 'io_backend': {'type': 'disk'}}


def _split(own: Mapping[str, Block], chooses: bool, folder: Path, named: Block | None) -> Roles:
    """Split the first validation set; further ones are reported whole, but for one that is named to choose."""
    key, first = next(iter(own.items()))
    whole = named if chooses and named is not first else None
    chooses = chooses and whole is None
    dataset = build_dataset(dict(first), f'datasets.{key}')
    items, files = inventory(dataset), image_files(dataset)
    advice = 'Name --target and --report, as keys of `datasets` or folders.'
    if len(items) < LEAST or len(files) != len(items):
        raise OptionError(f'datasets.{key}', f'at least {LEAST} images of their own to split', len(files), advice)
    digests = [digest_of(file) for file in files]
    order = sorted(range(len(items)), key=lambda index: digests[index])
    ranks = [0] * len(items)
    for rank, index in enumerate(order, start=1):
        ranks[index] = rank
    digest = blake2b(''.join(sorted(digests)).encode(), digest_size=4).hexdigest()
    path = folder / f'split_{digest}.parquet'
    if not path.is_file():
        write_manifest(path, items, {'rank': ranks}, {'method': 'split', 'seed': 0, 'options': {}})
    third = max(1, len(items) // 3)

    def part(name: str, begin: int, end: int) -> Block:
        name = f'{first["name"]}_{name}'
        inside = {'manifest': str(path), 'range': [begin, end], 'dataset': first}
        return {
            'name': name,
            'type': 'InfluenceSubsetDataset',
            'phase': 'val',
            'scale': first.get('scale', 1),
            **inside,
        }

    begin = 2 * third if chooses else third
    report = part('report', begin + 1, len(items))
    others = {block['name']: block for other, block in own.items() if other != key and block is not whole}
    notes = [
        f'{first["name"]} is split by the digests of its files: {third} images are aimed at, {len(items) - begin} are '
        f'reported{f", {third} choose checkpoints" if chooses else ""}.'
    ]
    choosing = part('choosing', third + 1, begin) if chooses else whole
    return Roles(part('target', 1, third), choosing, {report['name']: report, **others}, notes)
