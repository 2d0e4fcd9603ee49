"""The option file of the job `rank` with `method: complexity`: checked and completed."""

import argparse
import os
from collections.abc import Sequence

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs import checks
from basicsr_ext.networks.trained import require_weights
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.options.load import Options
from basicsr_ext.selection.complexity.settings import ComplexitySettings

KEYS = (
    'name', 'num_gpu', 'manual_seed', 'scale', 'datasets', 'network_g', 'network_scorer', 'path', 'rank', 'dist_params'
)  # fmt: skip
PATH_KEYS = {
    name: [f'{key}_{name}' for key in ('pretrain_network', 'param_key', 'strict_load')] for name in ('g', 'scorer')
}


def parse_complexity_options(
    root_path: str | os.PathLike[str], argv: Sequence[str] | None = None
) -> tuple[Options, ComplexitySettings, argparse.Namespace]:
    """Read the command line and the option file; start the process group if a launcher is named.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The completed options, the block `rank`, and the command line.

    Raises:
        OptionError, DataError: an option is wrong, a file is missing.
    """
    opt, args = read_options('rank', argv)
    require(opt, ('name', 'datasets', 'rank'))
    refuse_unknown(opt, KEYS)
    # BasicSR keeps the number of the process under this name.
    settings = read_block(ComplexitySettings, opt.pop('rank'), 'rank')
    _keep_networks(opt, settings.networks)
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = 0  # one drawn anew could not be continued
    complete(opt, root_path, is_train=False, launcher=args.launcher)
    if set(opt['datasets']) != {'train'}:
        raise OptionError(f'datasets: expected train, got {", ".join(opt["datasets"])}. Name the one block train.')
    # Whole images whose noise belongs to their name: what validation sees.
    opt['datasets']['train']['phase'] = 'val'
    opt['datasets']['train'].setdefault('scale', 1)
    if settings.source != 'gt':
        _refuse_normalised(opt['datasets']['train'], settings.source)
    for name in settings.networks:
        require_weights(opt, name)
    checks.check_parts(opt)
    return opt, settings, args


def _keep_networks(opt: Options, needed: Sequence[str]) -> None:
    """Leave out the networks that are not needed, so that one file serves all criteria and sources."""
    path = opt.get('path') or {}
    refuse_unknown(path, sum(PATH_KEYS.values(), []), 'path')
    require(opt, [f'network_{name}' for name in needed])
    for name, keys in PATH_KEYS.items():
        if name not in needed:
            opt.pop(f'network_{name}', None)
            path = {key: value for key, value in path.items() if key not in keys}
    opt['path'] = path
    if not needed:
        opt['num_gpu'] = 0


def _refuse_normalised(block: Options, source: str) -> None:
    """Stock datasets can give images less a mean, which are no images to measure."""
    for reader, where in reader_blocks(block, 'datasets.train'):
        for key in ('mean', 'std'):
            if reader.get(key) is not None:
                raise OptionError(
                    f'{where}.{key}: expected images in [0, 1] with rank.source: {source}, got {reader[key]}. '
                    'Remove it.'
                )
