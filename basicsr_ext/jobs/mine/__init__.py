"""The job `mine`: a dataset in, its patches and what they are worth out."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.data import build_dataset
from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed
from torch import nn

from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, first_few, refuse_if_any
from basicsr_ext.jobs.mine.options import parse_mine_options
from basicsr_ext.networks.trained import input_sides, trained_network
from basicsr_ext.options.load import Options
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.log import job_log
from basicsr_ext.runtime.unfinished import begin
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item, fingerprint, manifest_header, write_patch_manifest
from basicsr_ext.selection.patches.losses import PatchLosses
from basicsr_ext.selection.patches.scan import PatchScan, UnitReader, unfit
from basicsr_ext.selection.patches.settings import MineSettings


def mine_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Mine as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, before work starts where possible.
    """
    try:
        opt, settings, args = parse_mine_options(root_path, argv)
        return interrupt.run(
            lambda: mine(opt, settings, only_check=args.check),
            'Stopped. What is done is saved; the same command continues.',
        )
    finally:
        distributed.stop()


def mine(opt: Options, settings: MineSettings, only_check: bool = False) -> None:
    """Write `results/<name>/patches.parquet`.

    Args:
        opt: completed and checked options.
        settings: the block `mine`.
        only_check: build and try everything, write nothing.

    Raises:
        DataError: bad images, where these are refused; no patch at all.
        Interrupted: a stop was asked for; the state is saved.
    """
    folder = Path(opt['path']['results_root'])
    result, unfinished = folder / 'patches.parquet', folder / 'unfinished'
    with job_log(opt, 'mine') as open_log_file:
        logger = get_root_logger()
        set_random_seed(opt['manual_seed'])
        dataset = scheduled(build_dataset(opt['datasets']['train']))
        items = inventory(dataset, tolerant=True)
        _check_images(items, settings)
        net = trained_network(opt) if 'loss' in settings.criteria else None
        scan = _scan(opt, settings, dataset, items, net, unfinished)
        scan.check_network()
        if only_check:
            scan.try_first()
            logger.info(f'{opt["name"]}: options, {len(items)} images and the first patches are sound.')
            return
        identity = _identity(opt, settings, dataset, items, net)
        if not begin(result, unfinished, identity, manifest_header):
            return
        open_log_file()
        scan.run()
        if opt['rank'] == 0:
            _finish(scan, result, identity)
            shutil.rmtree(unfinished)


def _check_images(items: Sequence[Item], settings: MineSettings) -> None:
    """What the headers of the files tell."""
    problems = {item.path: unfit(item.height, item.width, settings.patch_size) for item in items}
    bad = [f'{path} ({problem})' for path, problem in problems.items() if problem]
    if settings.bad_images == 'refuse':
        refuse_if_any(bad, 'images to cut patches from', 'Remove them or set mine.bad_images: skip.', 'datasets.train')
    if len(bad) == len(items):
        raise DataError(
            f'datasets.train: expected images to cut patches from, got none: {first_few(bad)}. Correct the dataroot '
            'or lower mine.patch_size.'
        )


def _scan(
    opt: Options,
    settings: MineSettings,
    dataset: SampleDataset,
    items: Sequence[Item],
    net: nn.Module | None,
    folder: Path,
) -> PatchScan:
    reader = UnitReader(WholeImages(dataset), items, settings, opt['manual_seed'], dataset.opt.get('scale', 1))
    if net is None:
        return PatchScan(reader, folder)
    sides = input_sides(net, opt['network_g'])
    return PatchScan(reader, folder, PatchLosses(net, sides, settings.batch_size, settings.precision == 'bfloat16'))


def _identity(
    opt: Options, settings: MineSettings, dataset: SampleDataset, items: Sequence[Item], net: nn.Module | None
) -> dict[str, Any]:
    """All that decides the result; neither the number of workers nor that of processes does."""
    without = ('workers',) if net is not None else ('workers', 'batch_size', 'precision')
    identity: dict[str, Any] = {
        'method': 'mine',
        'seed': opt['manual_seed'],
        'options': {
            'mine': {key: value for key, value in asdict(settings).items() if key not in without},
            'datasets': opt['datasets'],
        },
        'train': {'fingerprint': fingerprint(items), 'content': content_digest(dataset)},
    }
    if net is not None:
        identity['options']['network_g'], identity['weights'] = opt['network_g'], weights_digest(net)
    return identity


def _finish(scan: PatchScan, result: Path, identity: dict[str, Any]) -> None:
    """Put the units together, and say what was left out."""
    logger, items = get_root_logger(), scan.reader.items
    used = scan.used()
    place = np.full(len(items), -1)
    place[used] = np.arange(len(used))
    skipped = {
        item.path: unfit(item.height, item.width, scan.reader.settings.patch_size) or 'damaged'
        for item, number in zip(items, place, strict=True)
        if number < 0
    }
    if skipped:
        names = [f'{path} ({why})' for path, why in skipped.items()]
        logger.warning(f'{len(names)} of {len(items)} images skipped: {first_few(names)}')
    if not used:
        raise DataError('datasets.train: expected images that decode, got none. Replace them.')
    parts = ({**part, 'image': place[part['image']]} for part in scan.parts())
    rows = write_patch_manifest(result, [items[index] for index in used], parts, {**identity, 'skipped': skipped})
    logger.info(f'{rows} patches of {len(used)} images: {result}')
