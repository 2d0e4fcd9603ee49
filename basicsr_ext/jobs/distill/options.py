"""The option file of the job `distill`."""

import os

from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.reader_base import ReaderDataset
from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.options.blocks import require
from basicsr_ext.options.calls import registered
from basicsr_ext.options.dataset_blocks import reader_blocks, stacks_inputs
from basicsr_ext.options.load import Options


def _refuse_luma(block: Options) -> None:
    """BasicSR's datasets make Y of colour; ours take grey files as they are."""
    for reader, where in reader_blocks(block, 'datasets.train'):
        if reader.get('color') != 'y':
            continue
        require(reader, ('type',), where)
        if not issubclass(registered(DATASET_REGISTRY, reader['type'], f'{where}.type'), ReaderDataset):
            raise OptionError(
                f'{where}.color',
                'rgb, since the result is read as colour again',
                'y',
                'Change it, and use color: y where you train on the result.',
            )


def _refuse_stacked(block: Options) -> None:
    """An input is written as one image."""
    for reader, where in reader_blocks(block, 'datasets.train'):
        if stacks_inputs(reader):
            raise OptionError(
                f'{where}.dataroot_lq', 'one folder', len(reader['dataroot_lq']), 'Select real images instead.'
            )


def _complete_patches(block: Options, settings: DistillSettings) -> None:
    """Real patches are of the size of the synthetic images."""
    for reader, where in reader_blocks(block, 'datasets.train'):
        if reader.setdefault('gt_size', settings.image_size) != settings.image_size:
            raise OptionError(
                where,
                f'gt_size {settings.image_size}, the value of distill.image_size',
                reader['gt_size'],
                'Remove it.',
            )
        reader.setdefault('use_hflip', True)
        reader.setdefault('use_rot', True)


def _check(opt: Options, settings: DistillSettings) -> None:
    block = opt['datasets']['train']
    _refuse_luma(block)
    _refuse_stacked(block)
    _complete_patches(block, settings)
    if settings.image_size % block['scale']:
        raise OptionError(
            'distill.image_size', f'a multiple of the scale {block["scale"]}', settings.image_size, 'Correct it.'
        )
    if settings.manifest is not None and not os.path.isfile(os.path.expanduser(settings.manifest)):
        raise DataError('distill.manifest', 'a file', shown(settings.manifest), 'Make it first: basicsr-ext rank.')


FILE = JobFile(
    job='distill',
    settings=DistillSettings,
    datasets={'train': 'the training set that becomes a small one'},
    networks={'g': 'whose gradients are matched; random weights where `path` names none'},
    used=lambda settings: {'g': False},
    phase=None,
    check=_check,
)
