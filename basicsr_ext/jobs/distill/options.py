"""The option file of the job `distill`: checked and completed."""

import argparse
import os
from collections.abc import Sequence

from basicsr.utils.registry import DATASET_REGISTRY, LOSS_REGISTRY

from basicsr_ext.data.degradation_base import DegradationDataset
from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.rank.options import PATH_KEYS
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.calls import check_call, registered
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.options.load import Options

KEYS = ('name', 'num_gpu', 'manual_seed', 'scale', 'datasets', 'network_g', 'path', 'distill')


def parse_distill_options(
    root_path: str | os.PathLike[str], argv: Sequence[str] | None = None
) -> tuple[Options, DistillSettings, argparse.Namespace]:
    """Read the command line and the option file of `distill`.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The completed options, the block `distill`, and the command line.

    Raises:
        OptionError, DataError: an option is wrong, a file is missing.
    """
    opt, args = read_options('distill', argv)
    require(opt, ('name', 'datasets', 'network_g', 'path', 'distill'))
    refuse_unknown(opt, KEYS)
    settings = read_block(DistillSettings, opt.pop('distill'), 'distill')
    refuse_unknown(opt['path'] or (), PATH_KEYS, 'path')
    if args.launcher != 'none':
        raise OptionError(f'--launcher: expected none, got {args.launcher}. One process distils; name one GPU.')
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = 0  # one drawn anew could not be continued
    complete(opt, root_path, is_train=False)
    if set(opt['datasets']) != {'train'}:
        raise OptionError(f'datasets: expected train, got {", ".join(opt["datasets"])}. Name the one block train.')
    _refuse_luma(opt['datasets']['train'])
    _complete_patches(opt['datasets']['train'], settings)
    _check(opt, settings)
    checks.check_parts(opt)
    return opt, settings, args


def _refuse_luma(block: Options) -> None:
    """BasicSR's datasets make Y of colour; ours take grey files as they are."""
    for reader, where in reader_blocks(block, 'datasets.train'):
        if reader.get('color') != 'y':
            continue
        require(reader, ('type',), where)
        if not issubclass(registered(DATASET_REGISTRY, reader['type'], f'{where}.type'), DegradationDataset):
            raise OptionError(
                f'{where}.color: expected rgb, since the result is read as colour again, got y. Change it, and use '
                'color: y where you train on the result.'
            )


def _complete_patches(block: Options, settings: DistillSettings) -> None:
    """Real patches are of the size of the synthetic images."""
    block.setdefault('scale', 1)
    for reader, where in reader_blocks(block, 'datasets.train'):
        if reader.setdefault('gt_size', settings.image_size) != settings.image_size:
            raise OptionError(
                f'{where}: expected gt_size {settings.image_size}, the value of distill.image_size, got '
                f'{reader["gt_size"]}. Remove it.'
            )
        reader.setdefault('use_hflip', True)
        reader.setdefault('use_rot', True)


def _check(opt: Options, settings: DistillSettings) -> None:
    for key, block in (('grad_match', settings.grad_match), ('loss', settings.loss)):
        where = f'distill.{key}'
        require(block, ('type',), where)
        check_call(registered(LOSS_REGISTRY, block['type'], f'{where}.type'), block, where)
    scale = opt['datasets']['train']['scale']
    if not isinstance(scale, int) or scale < 1:
        raise OptionError(f'scale: expected an integer of at least 1, got {scale!r}. Correct the value.')
    if settings.image_size % scale:
        raise OptionError(
            f'distill.image_size: expected a multiple of the scale {scale}, got {settings.image_size}. Correct it.'
        )
    if settings.manifest is not None and not os.path.isfile(os.path.expanduser(settings.manifest)):
        raise DataError(
            f'distill.manifest: expected a file, got {settings.manifest!r}. Make it first: basicsr-ext rank.'
        )
