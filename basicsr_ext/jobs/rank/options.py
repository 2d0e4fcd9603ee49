"""The option file of the job `rank`: checked, completed, one set of options a level."""

import argparse
import copy
import os
from collections.abc import Sequence
from typing import get_args, get_type_hints

from basicsr.utils.registry import LOSS_REGISTRY

from basicsr_ext.errors import BasicsrExtError, OptionError, nearest
from basicsr_ext.jobs import checks
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.calls import check_call, registered
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.options.load import Options, find_file
from basicsr_ext.selection.influence.settings import RankSettings

KEYS = ('name', 'num_gpu', 'manual_seed', 'scale', 'datasets', 'network_g', 'path', 'rank', 'dist_params')
PATH_KEYS = ('pretrain_network_g', 'param_key_g', 'strict_load_g')
METHODS = (*get_args(get_type_hints(RankSettings)['method']), 'complexity')


def method_of(argv: Sequence[str] | None = None) -> str:
    """The method that an option file asks for, which says how the rest of it is read.

    Args:
        argv: the command line after the name of the job; None takes the process's own.

    Raises:
        OptionError: there is no such method, or the file cannot be read.
    """
    block = read_options('rank', argv)[0].get('rank')
    method = block.get('method', RankSettings.method) if isinstance(block, dict) else RankSettings.method
    if method not in METHODS:
        raise OptionError(f'rank.method: expected {" or ".join(METHODS)}, got {method!r}. Correct the value.')
    return str(method)


def parse_rank_options(
    root_path: str | os.PathLike[str], argv: Sequence[str] | None = None
) -> tuple[dict[str, Options], RankSettings, argparse.Namespace]:
    """Read the command line and the option file of `rank`; start the process group if a launcher is named.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        name -> completed options of each level, one named '' without `levels`; the block `rank`; the command line.

    Raises:
        OptionError, DataError: an option is wrong, a file is missing.
    """
    opt, args = read_options('rank', argv)
    require(opt, ('name', 'datasets', 'network_g', 'path', 'rank'))
    refuse_unknown(opt, KEYS)
    # BasicSR keeps the number of the process under this name.
    settings = read_block(RankSettings, opt.pop('rank'), 'rank')
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = 0  # one drawn anew could not be continued
    complete(opt, root_path, is_train=False, launcher=args.launcher)
    _check_blocks(opt, settings)
    levels = _levels(opt, settings)
    for name, level in levels.items():
        try:
            checks.check_parts(level)
        except BasicsrExtError as error:
            raise type(error)(f'rank.levels {name}: {error}' if name else str(error)) from error
    return levels, settings, args


def _check_blocks(opt: Options, settings: RankSettings) -> None:
    if set(opt['datasets']) != {'train', 'test'}:
        raise OptionError(f'datasets: expected train and test, got {", ".join(opt["datasets"])}. Name two blocks.')
    for key in opt['path']:
        if key not in (*PATH_KEYS, *checks.COMPLETED_PATH_KEYS):
            raise OptionError(f'path.{key}: expected a known key, got {key!r}. {nearest(key, PATH_KEYS)}'.rstrip())
    require(settings.grad_loss, ('type',), 'rank.grad_loss')
    loss = registered(LOSS_REGISTRY, settings.grad_loss['type'], 'rank.grad_loss.type')
    check_call(loss, settings.grad_loss, 'rank.grad_loss')


def _levels(opt: Options, settings: RankSettings) -> dict[str, Options]:
    # Whole images whose noise belongs to their name: what validation sees.
    opt['datasets']['train']['phase'] = 'val'
    levels = {}
    for number, level in enumerate(settings.levels):
        if level.name in levels:
            raise OptionError(f'rank.levels.{number}.name: expected a name of its own, got {level.name!r} again.')
        own = copy.deepcopy(opt)
        for key, dataset in own['datasets'].items():
            blocks = reader_blocks(dataset, key)
            if level.dataset and len(blocks) > 1:
                raise OptionError(
                    f'rank.levels.{number}.dataset: expected one block that reads images in datasets.{key}, to which '
                    f'its keys belong, got {len(blocks)}. Rank each group on its own, or leave the keys out.'
                )
            for reader, _ in blocks:
                reader.update(level.dataset)
        if level.pretrain_network_g is not None:
            own['path']['pretrain_network_g'] = find_file(level.pretrain_network_g)
        levels[level.name] = own
    levels = levels or {'': opt}
    for name, own in levels.items():
        if settings.method != 'random' and own['path'].get('pretrain_network_g') is None:
            where = f'rank.levels {name}: pretrain_network_g' if name else 'path.pretrain_network_g'
            raise OptionError(f'{where}: expected the weights of a trained network, got none. Add them.')
    return levels
