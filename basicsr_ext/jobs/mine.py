"""The job `mine`: measure what the patches of a dataset are worth."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.utils import get_root_logger
from torch import nn

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.shared_files import note_of
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError, first_few, refuse_if_any
from basicsr_ext.jobs.option_file import JobFile, run_job
from basicsr_ext.jobs.overlaps import warn_of_target
from basicsr_ext.jobs.resumable import identity, resumable, source_of
from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.trained import trained_network
from basicsr_ext.options.load import Options
from basicsr_ext.reports.patch_page import write_patch_page
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.influence.loss_curvature import SCORES
from basicsr_ext.selection.manifest import Item, write_patch_manifest
from basicsr_ext.selection.patches.influence import PatchInfluence, SomeItems
from basicsr_ext.selection.patches.losses import PatchLosses
from basicsr_ext.selection.patches.scan import PairCriterion, PatchScan, UnitReader, unfit
from basicsr_ext.selection.patches.settings import MineSettings
from basicsr_ext.training.building import build_dataset

EXAMPLE = 'basicsr-ext mine -opt options/mine/mine_IRCNN_gray_sigma25_BSD400.yml'


def _check(opt: Options, settings: MineSettings) -> None:
    if ('test' in opt['datasets']) != ('influence' in settings.criteria):
        is_there = 'test' in opt['datasets']
        raise OptionError(
            'datasets.test',
            'none without the criterion influence' if is_there else 'a target for the criterion influence',
            'one' if is_there else 'none',
            'Remove it, or add the criterion.' if is_there else 'Add it, or leave the criterion out.',
        )
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
    optional={'test': 'the target of the criterion `influence`, whose mean loss counts'},
    networks={'g': 'trained, for the criteria `loss` and `influence`'},
    used=lambda settings: {'g': True} if settings.of_networks else {},
    check=_check,
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
    """Write `results/<name>/patches.parquet` and its page.

    Args:
        opt: completed and checked options.
        settings: the block `mine`.
        only_check: build everything, try the first images and decode all, write nothing.

    Raises:
        DataError: bad images, where these are refused; no patch at all.
        Interrupted: a stop was asked for; the state is saved.
    """
    with resumable(opt, 'mine', 'patches.parquet', page=write_patch_page) as run:
        dataset = scheduled(build_dataset(opt['datasets']['train'], 'datasets.train'))
        items = inventory(dataset, tolerant=True)
        _check_images(items, settings)
        target = build_dataset(opt['datasets']['test'], 'datasets.test') if 'test' in opt['datasets'] else None
        if target is not None and run.is_first:
            check_dataset(target, 'datasets.test')
            warn_of_target(dataset, target)
        nets = {'g': trained_network(opt)} if settings.of_networks else {}
        reader = UnitReader(WholeImages(dataset), items, settings, opt['manual_seed'], dataset.opt.get('scale', 1))
        influence = None
        if target is not None:
            influence = _influence(opt, settings, nets['g'], reader, dataset, target, run.unfinished)
        losses = _losses(opt, settings, nets['g']) if 'loss' in settings.criteria else None
        by_networks: dict[str, PairCriterion | None] = {'loss': losses, 'influence': influence}
        scan = PatchScan(reader, run.unfinished, {name: each for name, each in by_networks.items() if each is not None})
        scan.check_network()
        if only_check:
            scan.try_first()
            _check_pixels(dataset, settings)
            if target is not None:
                check_pixels(target, 'datasets.test', settings.workers)
            run.sound(f'{len(items)} images and the first patches')
            return
        sources = {'train': source_of(dataset, items)}
        if target is not None:
            sources['test'] = {'content': content_digest(target)}
        scores: dict[str, Any] = {} if influence is None else {'scores': SCORES}
        made_from = identity('mine', opt, {'mine': settings}, nets, _of_no_effect(settings), **sources, **scores)
        if not run.begin(made_from):
            return
        notes: dict[str, Any] = {}
        if influence is not None and target is not None:
            notes = {'chosen': influence.solve(), 'target': note_of(target)}
        scan.run()
        if run.is_first:
            run.finish(_finish(scan, run.result, {**made_from, **notes}))


def _of_no_effect(settings: MineSettings) -> tuple[str, ...]:
    """The keys of the block that change no result."""
    of_loss = () if 'loss' in settings.criteria else ('batch_size', 'precision')
    of_influence = () if 'influence' in settings.criteria else ('influence',)
    return ('workers', *of_loss, *of_influence)


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
        check_pixels(dataset, 'datasets.train', settings.workers)
    except DataError as error:
        if settings.bad_images == 'refuse':
            raise
        get_root_logger().warning(f'Will be skipped: {error}')


def _losses(opt: Options, settings: MineSettings, net: nn.Module) -> PatchLosses:
    sides = input_sides(net, opt['network_g'])
    return PatchLosses(net, sides, settings.batch_size, settings.precision == 'bfloat16')


def _influence(
    opt: Options,
    settings: MineSettings,
    net: nn.Module,
    reader: UnitReader,
    dataset: SampleDataset,
    target: SampleDataset,
    folder: Path,
) -> PatchInfluence:
    """Of the images that fit by their headers; a damaged one that is met while it is solved for is refused."""
    return PatchInfluence(
        net,
        input_sides(net, opt['network_g']),
        SomeItems(dataset, reader.fit),
        target,
        settings.influence,
        opt['manual_seed'],
        folder / 'influence',
        settings.workers,
    )


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
