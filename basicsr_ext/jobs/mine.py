"""The job `mine`: measure what the patches of a dataset are worth."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.utils import get_root_logger
from torch import nn

from basicsr_ext.data.file_checks import check_pixels
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError, first_few, refuse_if_any
from basicsr_ext.jobs.option_file import JobFile, run_job
from basicsr_ext.jobs.resumable import identity, resumable, source_of
from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.trained import trained_network
from basicsr_ext.options.load import Options
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item, write_patch_manifest
from basicsr_ext.selection.patches.losses import PatchLosses
from basicsr_ext.selection.patches.scan import PatchScan, UnitReader, unfit
from basicsr_ext.selection.patches.settings import MineSettings
from basicsr_ext.training.building import build_dataset

EXAMPLE = 'basicsr-ext mine -opt options/mine/mine_IRCNN_gray_sigma25_BSD400.yml'


def _check_sizes(opt: Options, settings: MineSettings) -> None:
    scale = opt['datasets']['train']['scale']
    for name in ('patch_size', 'stride'):
        if getattr(settings, name) % scale:
            raise OptionError(
                f'mine.{name}',
                f'a multiple of the scale {scale}, so that patches of the input fit',
                getattr(settings, name),
                'Correct it.',
            )


FILE = JobFile(
    job='mine',
    settings=MineSettings,
    datasets={'train': 'the images whose patches are measured'},
    networks={'g': 'trained, whose loss the criterion `loss` measures'},
    used=lambda settings: {'g': True} if 'loss' in settings.criteria else {},
    check=_check_sizes,
)


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
    return run_job(FILE, mine, root_path, argv)


def mine(opt: Options, settings: MineSettings, only_check: bool = False) -> None:
    """Write `results/<name>/patches.parquet`.

    Args:
        opt: completed and checked options.
        settings: the block `mine`.
        only_check: build everything, try the first images and decode all, write nothing.

    Raises:
        DataError: bad images, where these are refused; no patch at all.
        Interrupted: a stop was asked for; the state is saved.
    """
    with resumable(opt, 'mine', 'patches.parquet') as run:
        dataset = scheduled(build_dataset(opt['datasets']['train'], 'datasets.train'))
        items = inventory(dataset, tolerant=True)
        _check_images(items, settings)
        nets = {'g': trained_network(opt)} if 'loss' in settings.criteria else {}
        scan = _scan(opt, settings, dataset, items, nets.get('g'), run.unfinished)
        scan.check_network()
        if only_check:
            scan.try_first()
            _check_pixels(dataset, settings)
            run.sound(f'{len(items)} images and the first patches')
            return
        without = ('workers',) if nets else ('workers', 'batch_size', 'precision')
        made_from = identity('mine', opt, {'mine': settings}, nets, without, train=source_of(dataset, items))
        if not run.begin(made_from):
            return
        scan.run()
        if run.is_first:
            run.finish(_finish(scan, run.result, made_from))


def _check_images(items: Sequence[Item], settings: MineSettings) -> None:
    """What the headers of the files tell."""
    problems = {item.path: unfit(item.height, item.width, settings.patch_size) for item in items}
    bad = [f'{path} ({problem})' for path, problem in problems.items() if problem]
    if settings.bad_images == 'refuse':
        refuse_if_any(bad, 'images to cut patches from', 'Remove them or set mine.bad_images: skip.', 'datasets.train')
    if len(bad) == len(items):
        raise DataError(
            'datasets.train',
            'images to cut patches from',
            f'none: {first_few(bad)}',
            'Correct the dataroot or lower mine.patch_size.',
        )


def _check_pixels(dataset: SampleDataset, settings: MineSettings) -> None:
    """Decode every image."""
    try:
        check_pixels(dataset, 'datasets.train')
    except DataError as error:
        if settings.bad_images == 'refuse':
            raise
        get_root_logger().warning(f'Will be skipped: {error}')


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


def _finish(scan: PatchScan, result: Path, made_from: dict[str, Any]) -> str:
    """Put the units together, log what was left out, and say what is there."""
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
        raise DataError('datasets.train', 'images that decode', 'none', 'Replace them.')
    parts = ({**part, 'image': place[part['image']]} for part in scan.parts())
    rows = write_patch_manifest(result, [items[index] for index in used], parts, {**made_from, 'skipped': skipped})
    return f'{rows} patches of {len(used)} images: {result}'
