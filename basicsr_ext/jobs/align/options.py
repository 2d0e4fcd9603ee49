"""The option file of the job `align`: checked and completed."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from basicsr_ext.alignment.tuning import TuningSettings
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs import checks
from basicsr_ext.networks.trained import require_weights
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.options.load import Options

NETWORKS = ('encoder', 'tuner', 'g')
KEYS = (
    'name', 'num_gpu', 'manual_seed', 'scale', 'datasets', *(f'network_{name}' for name in NETWORKS), 'path', 'align',
)  # fmt: skip
PATH_KEYS = [f'{key}_{name}' for name in ('encoder', 'g') for key in ('pretrain_network', 'param_key', 'strict_load')]


@dataclass(frozen=True)
class AlignSettings(TuningSettings):
    """The block `align`: how the tuner learns, and what.

    Attributes:
        target: whose statistics the tuned images shall have: `full` for those of `datasets.target`, `subset` for their
            own before tuning (TripleD, Eq. 4 as printed), which only restrains what the restoration loss does.
    """

    target: Literal['full', 'subset'] = 'full'

    def __post_init__(self) -> None:
        if self.target == 'subset' and not self.restoration_weight:
            raise OptionError(
                'target: expected full, got subset without restoration_weight, which leaves the images as they are. '
                'Write full or add the weight.'
            )


def parse_align_options(
    root_path: str | os.PathLike[str], argv: Sequence[str] | None = None
) -> tuple[Options, AlignSettings, argparse.Namespace]:
    """Read the command line and the option file of `align`.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The completed options, the block `align`, and the command line.

    Raises:
        OptionError, DataError: an option is wrong, a file is missing.
    """
    opt, args = read_options('align', argv)
    require(opt, ('name', 'datasets', 'network_tuner', 'align'))
    refuse_unknown(opt, KEYS)
    settings = read_block(AlignSettings, opt['align'], 'align')
    opt.setdefault('network_encoder', {'type': 'FilterBankEncoder'})
    opt.setdefault('path', {})
    refuse_unknown(opt['path'] or (), PATH_KEYS, 'path')
    if args.launcher != 'none':
        raise OptionError(f'--launcher: expected none, as align is one process, got {args.launcher}. Remove it.')
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = 0  # one drawn anew could not be continued
    complete(opt, root_path, is_train=False)
    _check(opt, settings)
    for block in opt['datasets'].values():
        block['phase'] = 'val'  # whole images whose noise belongs to their name
        block.setdefault('scale', 1)
    checks.check_parts(opt)
    _refuse_luma(opt)
    return opt, settings, args


def _check(opt: Options, settings: AlignSettings) -> None:
    if set(opt['datasets']) != {'train', 'target'}:
        raise OptionError(
            f'datasets: expected train, to be tuned, and target, got {", ".join(opt["datasets"])}. Name the blocks so.'
        )
    if not settings.restoration_weight:
        opt.pop('network_g', None)  # nothing is restored
        return
    if 'network_g' not in opt:
        raise OptionError(
            'network_g: expected the network of align.restoration_weight, got none. Add it or set the weight to 0.'
        )
    require_weights(opt, 'g')
    if opt.get('scale', 1) != 1 or opt['datasets']['train'].get('scale', 1) != 1:
        raise OptionError(
            'align.restoration_weight: expected 0 where LQ is smaller than GT, got more. Set it to 0 or scale: 1.'
        )


def _refuse_luma(opt: Options) -> None:
    """BasicSR makes Y of every file; our datasets take grey files as they are."""
    for block, where in reader_blocks(opt['datasets']['train'], 'datasets.train'):
        if block.get('color') == 'y' and 'dataroot_lq' in block:
            raise OptionError(
                f'{where}.color: expected rgb, since the result is read as colour again, got y. Remove the key.'
            )
