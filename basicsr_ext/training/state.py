"""The complete state of a training run: everything that makes a resumed run the one that was never interrupted."""

import logging
import os
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import MethodType
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge

from basicsr_ext.errors import CheckpointError, OptionError, first_few, first_line
from basicsr_ext.options.blocks import is_required, read_value
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.checkpoint import atomic_torch_save, read_checkpoint
from basicsr_ext.training.carried import carrying
from basicsr_ext.training.made_with import changes, follows_new_rates, say_changes

torch.serialization.add_safe_globals([Counter])  # milestones of BasicSR's MultiStepRestartLR


Block = dict[str, Any]


@dataclass(frozen=True)
class TrainingState:
    """What a `.state` holds; BasicSR writes the first four.

    Attributes:
        epoch, iter: where the run is.
        optimizers, schedulers: their states.
        manual_seed: of the run.
        total_iter: planned iterations.
        rng: the generators of every rank.
        best_metric_results, best_score: of the validations so far.
        scaler: of mixed precision.
        validation_due: whether the validation of this iteration is still to be done.
        warmup: what a warm-up has seen of its loss.
        stages: what stages that end early have seen of theirs.
        made_with: the options that the run had, see `made_with`; older versions wrote none.
    """

    epoch: int
    iter: Annotated[int, Ge(0)]
    optimizers: list[Block]
    schedulers: list[Block]
    manual_seed: int | None = None
    total_iter: int | None = None
    rng: list[Block] | None = None
    best_metric_results: Block | None = None
    best_score: Block | None = None
    scaler: Block | None = None
    validation_due: bool = False
    warmup: Block | None = None
    stages: Block | None = None
    made_with: Block | None = None


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a `.state`; keys of somebody else are named in a warning.

    Raises:
        CheckpointError: it cannot be read, or a key of BasicSR is missing or holds something else.
    """
    state = read_checkpoint(path)
    advice = 'Name a file of training_states/, or take weights as path.pretrain_network_g.'
    if not isinstance(state, dict):
        raise CheckpointError(f'state {path}', 'a training state', type(state).__name__, advice)
    known = {field.name: field for field in fields(TrainingState)}
    missing = [name for name, field in known.items() if is_required(field) and name not in state]
    if missing:
        keys = first_few([str(key) for key in state]) or 'none'
        raise CheckpointError(
            f'state {path}',
            'the keys epoch, iter, optimizers, schedulers',
            f'none of {first_few(missing)} among its keys: {keys}',
            advice,
        )
    _check_values(state, f'state {path}', required=True)
    foreign = [str(key) for key in state if key not in known]
    if foreign:
        logging.getLogger('basicsr').warning(f'state {path}: keys that nothing here reads: {first_few(foreign)}.')
    return state


def _check_values(state: dict[str, Any], where: str, required: bool) -> None:
    """Raise CheckpointError if a value is of another type: of BasicSR's keys or of ours, which others may use too."""
    for field in fields(TrainingState):
        if field.name in state and is_required(field) == required:
            try:
                read_value(state[field.name], field.type, field.name)
            except OptionError as error:
                raise CheckpointError(f'{where}, {error.where}', *error.args[1:]) from error


def rng_state() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, as tensors and plain values."""
    numpy_state = np.random.get_state(legacy=False)
    return {
        'python': random.getstate(),
        'numpy': {**numpy_state, 'state': {k: np.asarray(v).tolist() for k, v in numpy_state['state'].items()}},
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_rng_state(state: dict[str, Any]) -> None:
    """Put back what `rng_state` gave."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    key = np.array(state['numpy']['state']['key'], dtype=np.uint32)
    np.random.set_state({**state['numpy'], 'state': {**state['numpy']['state'], 'key': key}})
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])


@contextmanager
def same_rng_afterwards() -> Iterator[None]:
    """Put the generators back after something that may draw, so that training draws what it always drew."""
    drawn = rng_state()
    try:
        yield
    finally:
        restore_rng_state(drawn)


def save_training_state(model: Any, epoch: int, current_iter: int) -> None:
    """Write `<iter>.state`: BasicSR's keys and what it leaves out.

    BasicSR's keys are `epoch`, `iter`, `optimizers`, `schedulers`; added are the generators of every rank, the seed,
    the planned iterations, the best metrics, the gradient scaler, what a warm-up and stages have seen of their losses,
    whether the validation of this iteration is still to be done and the options that the run was made with. To be
    called on all ranks; the data position follows from the iteration.
    """
    generators = distributed.gather(rng_state())
    if current_iter == -1 or model.opt['rank'] != 0:
        return
    scaler, notes = getattr(model, 'scaler', None), carrying(model)
    state = {
        'epoch': epoch,
        'iter': current_iter,
        'optimizers': [optimizer.state_dict() for optimizer in model.optimizers],
        'schedulers': [scheduler.state_dict() for scheduler in model.schedulers],
        'manual_seed': model.opt['manual_seed'],
        'total_iter': int(model.opt['train']['total_iter']),
        'rng': generators,
        'best_metric_results': _plain(getattr(model, 'best_metric_results', {})),
        'best_score': notes.best_score,
        'scaler': scaler.state_dict() if scaler is not None else None,
        'validation_due': notes.validation_due,
        'warmup': notes.warmup_state,
        'stages': notes.stage_state,
        'made_with': notes.made_with,
    }
    atomic_torch_save(state, os.path.join(model.opt['path']['training_states'], f'{current_iter}.state'))


def _plain(value: Any) -> Any:
    """NumPy scalars, which stock models keep as best values, as Python numbers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def resume(model: Any, load: Callable[[dict[str, Any]], None], state: dict[str, Any]) -> None:
    """Continue a model that is built as the options now say from a state that may have been made with other ones.

    Other rates and schedules are followed as if they had been there from the start: the rate of an iteration is the one
    that it has in a run that began with them.

    Args:
        model: its attribute `made_with`, where it has one, says what it is built with.
        load: BasicSR's `resume_training`, which loads optimisers and schedules.
        state: what `read_state` gave.

    Raises:
        CheckpointError: the state is not one of this model.
    """
    _check_values(state, f'state of iteration {state["iter"]}', required=False)
    before, now = state.get('made_with'), carrying(model).made_with
    found = list(changes(before, now)) if before and now else []
    with refusing_foreign_values(state):
        if follows_new_rates(found):
            _load_moments(model, state)
            _replay_schedules(model, state['iter'])
        else:
            settings = [set(group) for optimizer in model.optimizers for group in optimizer.param_groups]
            load(state)
            groups = [group for optimizer in model.optimizers for group in optimizer.param_groups]
            lacking = [name for names, group in zip(settings, groups, strict=True) for name in names - set(group)]
            if lacking:
                raise KeyError(f'settings of another optimiser, without {", ".join(sorted(set(lacking)))}')
        restore_extras(model, state)
    say_changes(found, state['iter'])
    if now and not before:
        logging.getLogger('basicsr').info(
            f'The state of iteration {state["iter"]} does not say what it was made with: the schedule is the one in '
            'the state, and changed options are not noticed.'
        )


@contextmanager
def refusing_foreign_values(state: dict[str, Any]) -> Iterator[None]:
    """Turn what goes wrong while a state is put back into a CheckpointError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError, RuntimeError) as error:
        raise CheckpointError(
            f'state of iteration {state["iter"]}',
            'optimisers, schedules and generators of this model',
            f'others ({first_line(error)})',
            'Change the options back, or begin a new run with path.pretrain_network_g.',
        ) from error


def _load_moments(model: Any, state: dict[str, Any]) -> None:
    """Load what the optimisers have seen of the gradients, and keep the settings that they were built with."""
    for optimizer, saved in zip(model.optimizers, state['optimizers'], strict=True):
        settings = [{key: value for key, value in group.items() if key != 'params'} for group in optimizer.param_groups]
        optimizer.load_state_dict(saved)
        for group, own in zip(optimizer.param_groups, settings, strict=True):
            group.update(own)


def _replay_schedules(model: Any, iteration: int) -> None:
    warmup_iter = int(model.opt['train'].get('warmup_iter', -1))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Detected call of `lr_scheduler.step')
        for done in range(1, iteration + 1):
            model.update_learning_rate(done, warmup_iter=warmup_iter)


def restore_extras(model: Any, state: dict[str, Any]) -> None:
    """Put back what stands in a state beside optimisers and schedulers; one that BasicSR wrote holds none of it."""
    if state.get('best_metric_results'):
        model.best_metric_results = state['best_metric_results']
    model.best_score = state.get('best_score')
    model.validation_due = state.get('validation_due', False)
    model.warmup_state = state.get('warmup')
    model.stage_state = state.get('stages')
    if state.get('scaler') and getattr(model, 'scaler', None) is not None:
        model.scaler.load_state_dict(state['scaler'])
    generators = state.get('rng') or []
    rank = model.opt['rank']
    if rank < len(generators):
        restore_rng_state(generators[rank])
    else:
        logging.getLogger('basicsr').warning(
            f'The state of iteration {state["iter"]} holds no generator states of rank {rank}: random numbers that the '
            'networks draw (dropout) will differ from an uninterrupted run.'
        )


def keep_complete_state(model: Any) -> None:
    """Make a stock model save and resume the complete state too."""
    load = model.resume_training

    def resume_training(state: dict[str, Any]) -> None:
        resume(model, load, state)

    model.save_training_state = MethodType(save_training_state, model)
    model.resume_training = resume_training


def find_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """The state to continue from, or None to start anew: the newest one with `auto_resume`, else `path.resume_state`.

    Raises:
        CheckpointError: `path.resume_state` cannot be read, or states exist and none can be.
    """
    if not opt['auto_resume']:
        named = opt['path'].get('resume_state')
        return read_state(named) if named else None
    path, state = newest_state(opt)
    if path is not None:
        opt['path']['resume_state'] = path
    return state


def _saved_states(folder: Path) -> list[Path]:
    """The states of a run in the order of their iterations."""
    return sorted((path for path in folder.glob('*.state') if path.stem.isdigit()), key=lambda path: int(path.stem))


def newest_state(opt: dict[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """The newest `.state` of the experiment that loads together with its networks, and its path.

    Newer ones that are damaged are named in a warning and passed over.

    Raises:
        CheckpointError: states exist and none is complete.
    """
    folder = Path(opt['path']['training_states'])
    problems = []
    for path in reversed(_saved_states(folder)):
        try:
            state = read_state(path)
            for network in resume_networks(opt, int(path.stem)).values():
                read_checkpoint(network)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:  # BasicSR's own logger must not be set up before its log file is known
            logging.getLogger('basicsr').warning(f'{problem} Resuming from {path} instead.')
        return str(path), state
    if problems:
        raise CheckpointError(
            '--auto_resume',
            f'a complete state in {folder}',
            f'none: {" ".join(problems).rstrip(".")}',
            'Repair one, or start anew without --auto_resume; the folder is then kept under another name.',
        )
    return None, None


def resume_networks(opt: dict[str, Any], iteration: int) -> dict[str, str]:
    """The file that each network continues from: `{'network_g': '.../net_g_<iter>.pth'}`.

    `network_g` has to be there; others only if the model saves them, which it does not with a frozen teacher.
    """
    ignored = opt['path'].get('ignore_resume_networks') or ()
    networks = [key for key in opt if key.startswith('network_') and key not in ignored]
    folder = opt['path']['models']
    files = {key: os.path.join(folder, f'net_{key.removeprefix("network_")}_{iteration}.pth') for key in networks}
    return {key: file for key, file in files.items() if key == 'network_g' or os.path.exists(file)}


def point_to_resumed_networks(opt: dict[str, Any], iteration: int) -> None:
    """Make the networks load from the resumed iteration instead of `pretrain_network_*`."""
    for network, path in resume_networks(opt, iteration).items():
        opt['path'][f'pretrain_{network}'] = path
        label = network.removeprefix('network_')
        opt['path'].update({f'param_key_{label}': 'params', f'strict_load_{label}': True})


def remove_older(folder: Path, keep: int) -> None:
    """Remove the states and networks of all but the last saved iterations; the best and the latest network stay.

    Args:
        folder: of the run.
        keep: how many iterations are kept.
    """
    for file in _saved_states(folder / 'training_states')[:-keep]:
        for network in folder.glob(f'models/net_*_{file.stem}.*'):
            network.unlink()
        file.unlink()  # the last one, so that a state never lacks its networks
