"""Measure the patches of a dataset from Python."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import nn

from basicsr_ext.data.own_pairs import OwnPairs
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.errors import OptionError
from basicsr_ext.networks.described import input_sides
from basicsr_ext.options.blocks import read_block
from basicsr_ext.selection.manifest import Manifest, fingerprint, read_manifest, write_patch_manifest
from basicsr_ext.selection.patches.influence import PatchInfluence, SomeItems
from basicsr_ext.selection.patches.losses import PatchLosses
from basicsr_ext.selection.patches.scan import PairCriterion, PatchScan, UnitReader
from basicsr_ext.selection.patches.settings import MineSettings


def mine(
    dataset: Any,
    criteria: Sequence[str] = ('grad',),
    net: nn.Module | None = None,
    target: Any = None,
    *,
    output: str | os.PathLike[str] = 'patches.parquet',
    seed: int = 0,
    **settings: Any,
) -> Manifest:
    """Measure every patch on a grid over the images of a dataset.

    Args:
        dataset: map-style; items are clean images, pairs `(lq, gt)`, or dicts with `gt` and, for `loss`, `lq`; tensors
            C x H x W, RGB or grey, [0, 1].
        criteria: what is measured, such as `grad`, `std`, `freq`, or `loss` by the network.
        net: for the criteria `loss` and `influence`, trained, on its device.
        target: for `influence`, a dataset of pairs, whose mean loss counts.
        output: file of the patches.
        seed: of the criterion `random`.
        **settings: keys of the block `mine` of an option file, such as `patch_size=48, stride=24`.

    Returns:
        The patches, one row each: `path`, `y`, `x`, `size`, and one column per criterion.

    Raises:
        OptionError: a setting is wrong, or the network or the target is missing or needless.
        DataError: items that cannot be used.

    Example:
        >>> import torch
        >>> import basicsr_ext as bx
        >>> images = [torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(i)) for i in range(2)]
        >>> patches = bx.mine(images, ['grad'], patch_size=8, stride=8, output=folder / 'patches.parquet')
        >>> len(patches.table), patches.criteria
        (18, ['grad'])
    """
    asked = read_block(MineSettings, {'criteria': list(criteria), **settings}, 'mine')
    pairs = OwnPairs(dataset, 'dataset')
    if (net is None) == bool(asked.of_networks):
        expected = (
            f'a network for the criterion {" and ".join(asked.of_networks)}'
            if net is None
            else 'none for these criteria'
        )
        raise OptionError('net', expected, type(net).__name__, 'Correct it.')
    if (target is None) == ('influence' in asked.criteria):
        expected = 'a dataset for the criterion influence' if target is None else 'none without influence'
        raise OptionError('target', expected, type(target).__name__, 'Correct it.')
    items = pairs.items()
    with TemporaryDirectory() as folder:
        reader = UnitReader(WholeImages(pairs), items, asked, seed, pairs.scale)
        by_networks: dict[str, PairCriterion] = {}
        if net is not None and 'loss' in asked.criteria:
            bfloat16 = asked.precision == 'bfloat16'
            by_networks['loss'] = PatchLosses(net, input_sides(net), asked.batch_size, bfloat16)
        influence = None
        if net is not None and target is not None:
            train, aim, state = SomeItems(pairs, reader.fit), OwnPairs(target, 'target'), Path(folder, 'influence')
            influence = PatchInfluence(net, input_sides(net), train, aim, asked.influence, seed, state, asked.workers)
            by_networks['influence'] = influence
        scan = PatchScan(reader, Path(folder), by_networks)
        if influence is not None:
            scan.check_network()
            influence.solve()
        scan.run()
        used = scan.used()
        place = {index: number for number, index in enumerate(used)}
        parts = ({**part, 'image': np.array([place[index] for index in part['image']])} for part in scan.parts())
        header = {'method': 'mine', 'seed': seed, 'train': {'fingerprint': fingerprint(items)}}
        write_patch_manifest(Path(output), [items[index] for index in used], parts, header)
    return read_manifest(output)
