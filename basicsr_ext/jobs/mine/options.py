"""The option file of the job `mine`: checked and completed."""

import argparse
import os
from collections.abc import Sequence

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.rank.options import PATH_KEYS
from basicsr_ext.networks.trained import require_weights
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import Options
from basicsr_ext.selection.patches.settings import MineSettings

KEYS = ('name', 'num_gpu', 'manual_seed', 'scale', 'datasets', 'network_g', 'path', 'mine', 'dist_params')


def parse_mine_options(
    root_path: str | os.PathLike[str], argv: Sequence[str] | None = None
) -> tuple[Options, MineSettings, argparse.Namespace]:
    """Read the command line and the option file of `mine`; start the process group if a launcher is named.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The completed options, the block `mine`, and the command line.

    Raises:
        OptionError, DataError: an option is wrong, a file is missing.
    """
    opt, args = read_options('mine', argv)
    require(opt, ('name', 'datasets', 'mine'))
    refuse_unknown(opt, KEYS)
    settings = read_block(MineSettings, opt.pop('mine'), 'mine')
    refuse_unknown(opt.get('path') or (), PATH_KEYS, 'path')
    if 'loss' not in settings.criteria:  # nothing is computed by a network
        opt.pop('network_g', None)
        opt['path'], opt['num_gpu'] = {}, 0
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = 0  # one drawn anew could not be continued
    complete(opt, root_path, is_train=False, launcher=args.launcher)
    opt['datasets']['train'].setdefault('scale', 1)
    _check(opt, settings)
    # Whole images whose noise belongs to their name: what validation sees.
    opt['datasets']['train']['phase'] = 'val'
    checks.check_parts(opt)
    return opt, settings, args


def _check(opt: Options, settings: MineSettings) -> None:
    if set(opt['datasets']) != {'train'}:
        raise OptionError(f'datasets: expected train, got {", ".join(opt["datasets"])}. Name the one block train.')
    scale = opt['datasets']['train']['scale']
    if not isinstance(scale, int) or scale < 1:
        raise OptionError(f'scale: expected an integer of at least 1, got {scale!r}. Correct the value.')
    for name in ('patch_size', 'stride'):
        if getattr(settings, name) % scale:
            raise OptionError(
                f'mine.{name}: expected a multiple of the scale {scale}, so that patches of the input fit, got '
                f'{getattr(settings, name)}. Correct it.'
            )
    if 'loss' in settings.criteria:
        require(opt, ('network_g',))
        require_weights(opt)
