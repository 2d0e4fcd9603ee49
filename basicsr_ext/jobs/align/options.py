"""The option file of the job `align`."""

from collections.abc import Mapping

from basicsr_ext.alignment.settings import AlignSettings
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.options.load import Options


def _used(settings: AlignSettings) -> Mapping[str, bool]:
    restoring = {'g': True} if settings.restoration_weight else {}
    return {'encoder': False, 'tuner': False, **restoring}


def _check(opt: Options, settings: AlignSettings) -> None:
    if settings.restoration_weight and opt['datasets']['train']['scale'] != 1:
        raise OptionError(
            'align.restoration_weight', '0 where LQ is smaller than GT', 'more', 'Set it to 0 or scale: 1.'
        )
    # BasicSR makes Y of every file; our datasets take grey files as they are.
    for block, where in reader_blocks(opt['datasets']['train'], 'datasets.train'):
        if block.get('color') == 'y' and 'dataroot_lq' in block:
            raise OptionError(f'{where}.color', 'rgb, since the result is read as colour again', 'y', 'Remove the key.')


FILE = JobFile(
    job='align',
    settings=AlignSettings,
    datasets={'train': 'the subset, which is tuned', 'target': 'all images, whose statistics it is to have'},
    networks={
        'tuner': 'the network that is trained to change images a little, such as DistributionTuner',
        'encoder': 'any network with features; FilterBankEncoder, the default, needs no weights',
        'g': 'restores, for `restoration_weight`',
    },
    used=_used,
    defaults={'network_encoder': {'type': 'FilterBankEncoder'}},
    check=_check,
)
