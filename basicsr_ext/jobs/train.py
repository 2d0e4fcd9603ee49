"""The job `train`: train as an option file says, from the start or from a saved state."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from basicsr.data import build_dataset
from basicsr.models import build_model
from basicsr.train import init_tb_loggers
from basicsr.utils import get_root_logger, make_exp_dirs, mkdir_and_rename
from basicsr.utils.misc import set_random_seed
from basicsr.utils.options import copy_opt_file

from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.wrapper_base import is_dynamic
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.resumable import open_log
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.options.complete import parse_options
from basicsr_ext.options.load import Options
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.training import state
from basicsr_ext.training.loader import build_validation_sets, build_warmup
from basicsr_ext.training.loop import TrainingRun
from basicsr_ext.training.made_with import changes, made_with, refuse_changes, refuse_end, refuse_seed
from basicsr_ext.training.validation import check_validation

EXAMPLE = 'basicsr-ext train -opt options/train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml'


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
        opt, args, asked = parse_options(root_path, is_train=True, argv=argv)
        checks.check_options(opt)
        if args.check:
            checks.check_everything(opt)
            return 0
        return interrupt.run(lambda: train(opt, args.opt, asked), 'Stopped before training began; nothing is written.')
    finally:
        distributed.stop()


def train(opt: Options, opt_file: str, asked: Options) -> None:
    """Train from the start or from the state to resume.

    Args:
        opt: completed and checked options.
        opt_file: the option file.
        asked: the options before they were completed, which are written to the experiment folder.
    """
    torch.backends.cudnn.deterministic = opt.get('deterministic', True)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.deterministic
    with open_log(opt, 'train') as open_log_file:
        resume_state = state.find_resume_state(opt)
        start = 0
        if resume_state is not None:
            start = resume_state['iter']
            refuse_end(resume_state, int(opt['train']['total_iter']))
            refuse_seed(resume_state, asked.get('manual_seed'))
            if resume_state.get('manual_seed') is not None:
                opt['manual_seed'] = resume_state['manual_seed']
            state.point_to_resumed_networks(opt, start)
        set_random_seed(opt['manual_seed'] + opt['rank'])

        # Whatever is wrong with data or weights is found before an older run of this name is put aside.
        train_set = build_dataset(opt['datasets']['train'])
        val_sets = build_validation_sets(opt)
        if opt['rank'] == 0:
            check_dataset(train_set, 'datasets.train')
            for val_set in val_sets:
                check_dataset(val_set, f'dataset {val_set.opt["name"]}')
        _refuse_other_plan(train_set, opt, resume_state)
        made = made_with(opt, len(train_set))
        if resume_state is not None:
            refuse_changes(list(changes(resume_state.get('made_with') or made, made)), start)
        warmup = build_warmup(train_set, opt)
        model = build_model(opt)
        for val_set in val_sets:
            check_validation(model, val_set, (opt.get('val') or {}).get('metrics'))
        checks.check_warmup(model, train_set, warmup)
        if not isinstance(model, RestorationModel):
            state.keep_complete_state(model)
        model.made_with = made
        if resume_state is not None:
            model.resume_training(resume_state)
            get_root_logger().info(f'Resuming training from iter: {start}.')
            if start == int(opt['train']['total_iter']):
                get_root_logger().info(f'Nothing is left to do: all {start} iterations are done.')

        _prepare_folders(opt, opt_file, is_new=resume_state is None)
        open_log_file()
        tb_logger = init_tb_loggers(opt)
        TrainingRun(opt, model, train_set, val_sets, warmup, tb_logger, start).go()
        if tb_logger:
            tb_logger.close()


def _refuse_other_plan(train_set: SampleDataset, opt: Options, resume_state: dict[str, Any] | None) -> None:
    """A selection that rises with the epochs of the whole run is another one in a run of another length."""
    now = int(opt['train']['total_iter'])
    planned = (resume_state or {}).get('total_iter', now)
    if planned != now and is_dynamic(train_set):
        raise OptionError(
            f'train.total_iter: expected {planned}, for which the dynamic selection of this run was planned, got '
            f'{now}. Change it back, or begin a new run with path.pretrain_network_g.'
        )


def _prepare_folders(opt: Options, opt_file: str, is_new: bool) -> None:
    if is_new:
        make_exp_dirs(opt)  # keeps a former run of this name under another name
        if opt['logger']['use_tb_logger'] and 'debug' not in opt['name'] and opt['rank'] == 0:
            mkdir_and_rename(os.path.join(opt['root_path'], 'tb_logger', opt['name']))
    copy_opt_file(opt_file, opt['path']['experiments_root'])
    distributed.barrier()
