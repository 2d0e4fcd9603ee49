"""Optimisers and learning-rate schedules by name, and a warm-up that leaves the schedule alone."""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from basicsr.models import lr_scheduler as basicsr_schedulers
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.options.calls import check_call

BASICSR_SCHEDULERS = {
    'MultiStepLR': basicsr_schedulers.MultiStepRestartLR,
    'MultiStepRestartLR': basicsr_schedulers.MultiStepRestartLR,
    'CosineAnnealingRestartLR': basicsr_schedulers.CosineAnnealingRestartLR,
}
# They need a metric or other schedulers, which an option file cannot give.
UNUSABLE_SCHEDULERS = ('LRScheduler', 'ReduceLROnPlateau', 'SequentialLR', 'ChainedScheduler', 'LambdaLR')


def optimizer_class(block: dict[str, Any], where: str) -> type[Optimizer]:
    """The class in torch.optim or else pytorch_optimizer that `type` names; the other keys have to be its arguments.

    Raises:
        OptionError: no such optimiser or argument.
    """
    known = _usable(vars(torch.optim).values())
    if block.get('type') not in [*known, None] and find_spec('pytorch_optimizer') is not None:
        more = importlib.import_module('pytorch_optimizer')
        known = {**_usable(map(more.load_optimizer, more.get_supported_optimizers())), **known}
    found = _by_name(known, block, where)
    check_call(found, block, where, given=1, strict=True)  # those of pytorch_optimizer take any keyword
    return found


def _usable(items: Iterable[Any]) -> dict[str, Any]:
    """The optimisers among some objects by name, but LBFGS, which wants to compute the loss itself."""
    kinds = [item for item in items if isinstance(item, type) and issubclass(item, Optimizer) and item is not Optimizer]
    return {kind.__name__: kind for kind in kinds if kind.__name__ != 'LBFGS'}


def use_training_weights(optimizers: Sequence[Any]) -> None:
    """Put the weights at which gradients are taken into the network, where an optimiser keeps others to be tested."""
    for optimizer in optimizers:
        if hasattr(optimizer, 'train'):
            optimizer.train()


@contextmanager
def averaged_weights(optimizers: Sequence[Any]) -> Iterator[None]:
    """Put the average of schedule-free optimisers into the network meanwhile (Defazio et al., 2024); others have none.

    A saved state holds it too, so that a run that continues goes the same way as one that was not stopped.
    """
    for optimizer in optimizers:
        if hasattr(optimizer, 'eval'):
            optimizer.eval()
    try:
        yield
    finally:
        use_training_weights(optimizers)


def scheduler_class(block: dict[str, Any], where: str) -> type[LRScheduler]:
    """The schedule that `type` names, BasicSR's own before those of torch.

    Raises:
        OptionError: no such schedule or argument.
    """
    torch_schedulers = {
        name: item
        for name, item in vars(torch.optim.lr_scheduler).items()
        if isinstance(item, type)
        and issubclass(item, torch.optim.lr_scheduler.LRScheduler)
        and name not in UNUSABLE_SCHEDULERS
        and not name.startswith('_')
    }
    found = _by_name({**torch_schedulers, **BASICSR_SCHEDULERS}, block, where)
    check_call(found, block, where, given=1)
    return found


def _by_name(known: dict[str, Any], block: dict[str, Any], where: str) -> Any:
    name = block.get('type')
    if not isinstance(name, str) or name not in known:
        raise OptionError(f'{where}.type', 'a known name', shown(name), nearest(str(name), known))
    return known[name]


def build(kind: Any, first: Any, block: dict[str, Any]) -> Any:
    """Call `kind(first, **block)` without the key `type`."""
    return kind(first, **{key: value for key, value in block.items() if key != 'type'})


def set_learning_rate(schedulers: Sequence[LRScheduler], current_iter: int, warmup_iter: int) -> None:
    """Advance the schedules to an iteration, counted from 1, and apply the warm-up.

    The rate is scheduled(iteration - 1) * min(1, iteration / warmup_iter). The schedule goes on during the warm-up as
    if there were none: it steps from its own last rate, not from the reduced one, so that milestones inside the warm-up
    count and the full rate is reached at its end.
    """
    factor = current_iter / warmup_iter if current_iter < warmup_iter else 1
    for scheduler in schedulers:
        groups = scheduler.optimizer.param_groups
        for group, rate in zip(groups, scheduler.get_last_lr(), strict=True):
            group['lr'] = rate
        if current_iter > 1:
            scheduler.step()
        for group in groups:
            group['lr'] *= factor


def drops(block: dict[str, Any] | None, total_iter: int, where: str) -> list[int]:
    """The first iterations, counted from 1, at each lower rate of a schedule that falls in steps.

    Args:
        block: of the option file.
        total_iter: iterations of the run.
        where: path of what asks for them, named in errors.

    Raises:
        OptionError: another schedule, or none.
    """
    kind = (block or {}).get('type')
    if block is not None and kind in ('MultiStepLR', 'MultiStepRestartLR'):
        steps = {int(step) for step in block['milestones']}
    elif block is not None and kind == 'StepLR' and block['step_size'] > 0:
        steps = set(range(block['step_size'], total_iter, block['step_size']))
    else:
        raise OptionError(
            where,
            'train.scheduler to be MultiStepLR, MultiStepRestartLR or StepLR, whose rate drops',
            kind,
            'Choose one of them or remove the key.',
        )
    return [step + 1 for step in sorted(steps) if 0 < step < total_iter]
