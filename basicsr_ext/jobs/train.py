"""The job `train`: train as an option file says, from the start or from a saved state."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from basicsr.train import init_tb_loggers
from basicsr.utils import get_root_logger, make_exp_dirs
from basicsr.utils.misc import set_random_seed

from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.overlaps import warn_of_validation
from basicsr_ext.jobs.resumable import open_log
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.options.complete import parse_options
from basicsr_ext.options.load import Options
from basicsr_ext.reports.beside import write_beside
from basicsr_ext.reports.training_page import write_training_page
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.files import atomic_open, put_aside, remove_stale
from basicsr_ext.runtime.folder_lock import locked
from basicsr_ext.runtime.repeatable import compute_repeatably
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.training import state
from basicsr_ext.training.building import build_dataset, build_model
from basicsr_ext.training.carried import carrying
from basicsr_ext.training.loader import build_validation_sets, build_warmup
from basicsr_ext.training.loop import TrainingRun
from basicsr_ext.training.made_with import (
    changes,
    made_with,
    refuse_changes,
    refuse_end,
    refuse_other_plan,
    refuse_seed,
)
from basicsr_ext.training.validation import check_validation
from basicsr_ext.version import __version__

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
            _check_state(opt, asked)
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
    compute_repeatably(opt.get('deterministic', True), opt['num_gpu'] > 0)
    with open_log(opt, 'train') as open_log_file:
        resume_state = state.find_resume_state(opt)
        start = 0
        if resume_state is not None:
            start = resume_state['iter']
            if resume_state.get('manual_seed') is not None:
                opt['manual_seed'] = resume_state['manual_seed']
            state.point_to_resumed_networks(opt, start)
        set_random_seed(opt['manual_seed'] + opt['rank'])

        # Whatever is wrong with data or weights is found before an older run of this name is put aside.
        train_set = build_dataset(opt['datasets']['train'], 'datasets.train')
        made = made_with(opt, len(train_set))
        if resume_state is not None:
            _refuse_another_run(opt, asked, train_set, made, resume_state)
        val_sets = build_validation_sets(opt) if opt.get('val') else []
        if opt['rank'] == 0:
            check_dataset(train_set, 'datasets.train')
            for val_set in val_sets:
                check_dataset(val_set, f'dataset {val_set.opt["name"]}')
            warn_of_validation(train_set, val_sets)
        warmup = build_warmup(train_set, opt)
        model = build_model(opt)
        for val_set in val_sets:
            check_validation(model, val_set, (opt.get('val') or {}).get('metrics'))
        checks.check_warmup(model, train_set, warmup)
        named = {f'dataset {val_set.opt["name"]}': val_set for val_set in val_sets}
        checks.check_first_batches(model, {'datasets.train': train_set, **named})
        if not isinstance(model, RestorationModel):
            state.keep_complete_state(model)
        carrying(model).made_with = made
        if resume_state is not None:
            model.resume_training(resume_state)
            get_root_logger().info(f'Resuming training from iter: {start}.')
            if start == int(opt['train']['total_iter']):
                get_root_logger().info(f'Nothing is left to do: all {start} iterations are done.')

        root = Path(opt['path']['experiments_root'])
        with locked(root, opt['rank'] == 0), _folders(opt, is_new=resume_state is None):
            open_log_file()
            if opt['rank'] == 0:
                _write_options(opt, asked, opt_file)
            tb_logger = init_tb_loggers(opt)
            write = partial(write_training_page, {**asked, 'manual_seed': opt['manual_seed']})
            report = partial(write_beside, root / 'training_log.jsonl', 'train', write)
            TrainingRun(opt, model, train_set, val_sets, warmup, tb_logger, start, report).go()
            if tb_logger:
                tb_logger.close()
            get_root_logger().info(f'Networks, states and metrics: {root}')


def _check_state(opt: Options, asked: Options) -> None:
    """Compare the options with those of the state that the run would continue from, if there is one."""
    resume_state = state.find_resume_state(opt)
    if resume_state is not None:
        train_set = build_dataset(opt['datasets']['train'], 'datasets.train')
        _refuse_another_run(opt, asked, train_set, made_with(opt, len(train_set)), resume_state)


def _refuse_another_run(
    opt: Options, asked: Options, train_set: SampleDataset, made: dict[str, Any], resume_state: dict[str, Any]
) -> None:
    now = int(opt['train']['total_iter'])
    refuse_end(resume_state, now)
    refuse_seed(resume_state, asked.get('manual_seed'))
    refuse_changes(list(changes(resume_state.get('made_with') or made, made)), resume_state['iter'])
    refuse_other_plan(resume_state, now, train_set)


@contextmanager
def _folders(opt: Options, is_new: bool) -> Iterator[None]:
    """Make the folders of a run. A former run of this name is put aside, and back where the new one fails at once."""
    root = Path(opt['path']['experiments_root'])
    aside: dict[Path, Path | None] = {}
    if opt['rank'] == 0 and is_new:
        folders = [root]
        if opt['logger']['use_tb_logger'] and 'debug' not in opt['name']:
            folders.append(Path(opt['root_path'], 'tb_logger', opt['name']))
        aside = {folder: put_aside(folder) for folder in folders}
        make_exp_dirs(opt)
        if aside[root] is not None:
            get_root_logger().info(f'A former run of this name is now in {aside[root]}.')
    if opt['rank'] == 0:
        remove_stale(root)
    distributed.barrier()
    try:
        yield
    except Exception:
        if aside.get(root) is not None and not list(root.glob('training_states/*.state')):
            for folder, former in aside.items():
                put_aside(folder, 'failed')
                if former is not None:
                    former.rename(folder)
            get_root_logger().info(f'The former run is back in {root}, as the new one has failed without a state.')
        raise


def _write_options(opt: Options, asked: Options, opt_file: str) -> None:
    """Write the options as they run, with which the same is trained again."""
    content = {**asked, 'name': opt['name'], 'manual_seed': opt['manual_seed']}
    with atomic_open(Path(opt['path']['experiments_root'], Path(opt_file).name), 'w') as file:
        file.write(f'# Written by basicsr-ext {__version__}: {opt_file} with the changes of the command line.\n')
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
