"""The job `train`: an option file in, an experiment folder out."""

import logging
import os
from collections.abc import Sequence

import torch
from basicsr.data import build_dataset
from basicsr.models import build_model
from basicsr.train import init_tb_loggers
from basicsr.utils import get_env_info, get_root_logger, get_time_str, make_exp_dirs, mkdir_and_rename
from basicsr.utils.misc import set_random_seed
from basicsr.utils.options import copy_opt_file, dict2str

from basicsr_ext import checks
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.options import Options, parse_options
from basicsr_ext.training import distributed, interrupt, state
from basicsr_ext.training.loader import build_validation_sets
from basicsr_ext.training.loop import TrainingRun


def train_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Train as the command line and its option file say.

    Args:
        root_path: the folder in which `experiments/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the run after it saved its state.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or checkpoints, before training starts where possible.
    """
    try:
        opt, args = parse_options(root_path, is_train=True, argv=argv)
        checks.check_options(opt)
        if args.check:
            checks.check_everything(opt)
            return 0
        with interrupt.watch():
            train(opt, args.opt)
            return interrupt.exit_code()
    finally:
        distributed.stop()


def train(opt: Options, opt_file: str) -> None:
    """Train from the start or from the state to resume.

    Args:
        opt: completed and checked options.
        opt_file: the option file, which is copied into the experiment folder.
    """
    _set_determinism(opt.get('deterministic', True))
    resume_state = state.find_resume_state(opt)
    logger = _prepare_folders(opt, opt_file, resume_state is None)
    tb_logger = init_tb_loggers(opt)
    set_random_seed(opt['manual_seed'] + opt['rank'])

    train_set = build_dataset(opt['datasets']['train'])
    val_sets = build_validation_sets(opt)
    checks.check_dataset(train_set, 'datasets.train')
    for val_set in val_sets:
        checks.check_dataset(val_set, f'datasets {val_set.opt["name"]}')

    start = 0
    if resume_state is not None:
        start = resume_state['iter']
        opt['manual_seed'] = resume_state.get('manual_seed', opt['manual_seed'])
        state.point_to_resumed_networks(opt, start)
    model = build_model(opt)
    if not isinstance(model, RestorationModel):
        state.keep_complete_state(model)
    if resume_state is not None:
        model.resume_training(resume_state)
        logger.info(f'Resuming training from iter: {start}.')
    TrainingRun(opt, model, train_set, val_sets, tb_logger, start).go()
    if tb_logger:
        tb_logger.close()


def _set_determinism(deterministic: bool) -> None:
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic


def _prepare_folders(opt: Options, opt_file: str, is_new: bool) -> logging.Logger:
    if is_new:
        make_exp_dirs(opt)  # keeps a former run of this name under another name
        if opt['logger']['use_tb_logger'] and 'debug' not in opt['name'] and opt['rank'] == 0:
            mkdir_and_rename(os.path.join(opt['root_path'], 'tb_logger', opt['name']))
    distributed.barrier()
    copy_opt_file(opt_file, opt['path']['experiments_root'])
    log_file = os.path.join(opt['path']['log'], f'train_{opt["name"]}_{get_time_str()}.log')
    logger: logging.Logger = get_root_logger('basicsr', logging.INFO, log_file)
    logger.info(get_env_info())
    logger.info(dict2str(opt))
    return logger
