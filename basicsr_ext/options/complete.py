"""What BasicSR derives from an option file: ranks, seed, phases, paths."""

import argparse
import logging
import os
import random
from collections.abc import Sequence
from copy import deepcopy
from math import isinf, isnan
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Interval

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.options.blocks import read_value, require
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.dataset_blocks import expand_home
from basicsr_ext.options.file_names import check_file_name
from basicsr_ext.options.load import Options, find_file
from basicsr_ext.runtime import distributed

# Values at the top that every job reads; seeds of processes and workers are counted up from the seed.
VALUES: dict[str, Any] = {
    'num_gpu': Annotated[int, Ge(0)] | Literal['auto'],
    'manual_seed': Annotated[int, Interval(ge=0, le=4_000_000_000)] | None,
    'deterministic': bool,
    'scale': Annotated[int, Ge(1)],
}


def parse_options(
    root_path: str | os.PathLike[str], is_train: bool, argv: Sequence[str] | None = None
) -> tuple[Options, argparse.Namespace, Options]:
    """The options of `train` or `test`; starts the process group if a launcher is named.

    Args:
        root_path: the folder in which `experiments/` and `results/` are made.
        is_train: whether this is the job `train`.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The options, completed as BasicSR's models and datasets expect them; the command line; the options as they stand
        in the file, changed as the command line says.

    Raises:
        OptionError: what `read_options` or `complete` refuse.
    """
    opt, args = read_options('train' if is_train else 'test', argv)
    require(opt, ('name', 'model_type', *(('train', 'logger') if is_train else ())))
    asked = deepcopy(opt)
    complete(opt, root_path, is_train, debug=args.debug, auto_resume=args.auto_resume, launcher=args.launcher)
    return opt, args, asked


def complete(
    opt: Options,
    root_path: str | os.PathLike[str],
    is_train: bool,
    debug: bool = False,
    auto_resume: bool = False,
    launcher: str = 'none',
) -> None:
    """Add to `opt`, in place, what BasicSR derives from an option file: ranks, seed, phases, paths.

    Raises:
        OptionError: a key that every option file needs is missing.
    """

    require(opt, ('name', 'num_gpu', 'datasets', 'path'))
    _check_types(opt)
    _refuse_non_finite(opt, '')
    if launcher != 'none':
        distributed.start(launcher, on_gpu=opt['num_gpu'] != 0, **(opt.get('dist_params') or {}))
    opt['dist'] = launcher != 'none'
    opt['rank'], opt['world_size'] = distributed.rank_and_world()
    opt['root_path'] = os.fspath(root_path)
    opt['auto_resume'], opt['is_train'] = auto_resume, is_train
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = distributed.from_first(random.randint(1, 10000))
    if debug and not opt['name'].startswith('debug'):
        opt['name'] = f'debug_{opt["name"]}'

    visible = torch.cuda.device_count()
    if opt['num_gpu'] == 'auto':  # several GPUs in one process would be DataParallel with another batch size
        opt['num_gpu'] = min(visible, 1)
    if opt['num_gpu'] > visible and not (opt['dist'] and visible):
        place = f'on {visible} of them' if visible else 'on the CPU'
        logging.getLogger('basicsr').warning(
            f'num_gpu: {opt["num_gpu"]} GPUs are asked for, {visible} are visible: this runs {place}.'
        )
        opt['num_gpu'] = visible

    for phase, dataset in opt['datasets'].items():
        require(dataset, ('name', 'type'), f'datasets.{phase}')
        check_file_name(dataset['name'], f'datasets.{phase}.name')
        dataset['phase'] = phase.split('_')[0]
        if 'scale' in opt:
            dataset['scale'] = opt['scale']
        expand_home(dataset)
    _complete_paths(opt, Path(root_path))
    if is_train:
        opt['logger'].setdefault('use_tb_logger', False)
        if 'debug' in opt['name']:
            opt['logger'].update(print_freq=1, save_checkpoint_freq=8)
            if opt.get('val'):
                opt['val']['val_freq'] = 8


def _check_types(opt: Options) -> None:
    """The blocks and values that `complete` itself reads."""
    for key in ('datasets', 'train', 'logger', 'path', 'val', 'dist_params'):
        may_be_empty = key in ('path', 'val', 'dist_params')
        if key in opt and not isinstance(opt[key], dict) and not (opt[key] is None and may_be_empty):
            raise OptionError(key, 'a block of options', shown(opt[key]), 'Indent its keys below it.')
    if not opt['datasets']:
        raise OptionError('datasets', 'a block a dataset', shown(opt['datasets']), 'Add train, val or test_1.')
    check_file_name(opt['name'], 'name')
    for key, hint in VALUES.items():
        if key in opt:
            opt[key] = read_value(opt[key], hint, key)


def _refuse_non_finite(value: Any, where: str) -> None:
    """Refuse NaN, and infinite numbers wherever they are no threshold, as rates and weights of losses."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            _refuse_non_finite(item, f'{where}.{key}' if where else str(key))
    elif isinstance(value, float) and (isnan(value) or (isinf(value) and not where.startswith('val.'))):
        raise OptionError(where, 'a finite number', shown(value), 'Correct the value.')


def _complete_paths(opt: Options, root: Path) -> None:
    path = opt['path'] = opt['path'] or {}
    for key, value in path.items():
        if value is not None and ('resume_state' in key or 'pretrain_network' in key):
            path[key] = find_file(read_value(value, str, f'path.{key}'))
    folder = root / ('experiments' if opt['is_train'] else 'results') / opt['name']
    path.update(log=str(folder), visualization=str(folder / 'visualization'))
    if opt['is_train']:
        path.setdefault('resume_state', None)
        path.update(
            experiments_root=str(folder), models=str(folder / 'models'), training_states=str(folder / 'training_states')
        )
    else:
        path['results_root'] = str(folder)
