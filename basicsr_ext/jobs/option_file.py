"""The option file of a job: what it may hold, how it is read, checked and completed, the same way for every job."""

import argparse
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Generic, Literal, TypeVar

from annotated_types import Ge

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.jobs import checks
from basicsr_ext.networks.trained import require_weights
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import Options
from basicsr_ext.runtime import distributed, interrupt

S = TypeVar('S')

STOPPED = 'Stopped. What is done is saved; the same command continues.'


@dataclass(frozen=True)
class CommonOptions:
    """Keys at the top of the option file of every job.

    Attributes:
        name: of the folder of the result, `results/NAME`.
        num_gpu: 1 computes on a GPU, 0 on the CPU, `auto` on a GPU if there is one.
        manual_seed: of everything random; None takes 0, since a result with another seed could not be continued.
        scale: factor by which the ground truth is larger than the input; passed to the datasets.
        dist_params: arguments of the process group under a launcher, such as `{backend: nccl, timeout: 3600}`: seconds
            that a process waits for the others.
        imports: modules to import first, as those that register your own classes: `[hat.archs, hat.models]`.
    """

    name: str
    num_gpu: Annotated[int, Ge(0)] | Literal['auto'] = 'auto'
    manual_seed: int | None = None
    scale: Annotated[int, Ge(1)] = 1
    dist_params: dict[str, Any] | None = None
    imports: list[str] | None = None


COMMON_KEYS = tuple(each.name for each in fields(CommonOptions))


def no_networks(settings: Any) -> Mapping[str, bool]:
    """For a job that needs none."""
    return {}


@dataclass(frozen=True)
class JobFile(Generic[S]):
    """What the option file of a job holds beside the keys that all have.

    Attributes:
        job: its name, which is also the key of the block with its settings.
        settings: the dataclass of this block.
        datasets: keys below `datasets` -> what the dataset is for; empty for any keys.
        optional: further keys below `datasets` that may be there -> what the dataset is for; `check` says when.
        needs_datasets: whether it has datasets at all.
        networks: ends of the keys `network_...` -> what the network is for.
        used: which of the networks these settings use, and whether each needs trained weights. The others may stand in
            the file, and are left out, so that one file serves all settings.
        defaults: values of keys at the top that are missing.
        phase: that the datasets are built with; None leaves the one that their key says. `val` and `test` give whole
            images whose noise belongs to their names.
        check: what the options mean to each other, asked before anything is built.
    """

    job: str
    settings: type[S]
    datasets: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    needs_datasets: bool = True
    networks: Mapping[str, str] = field(default_factory=dict)
    used: Callable[[S], Mapping[str, bool]] = no_networks
    defaults: Mapping[str, Any] = field(default_factory=dict)
    phase: str | None = 'val'
    check: Callable[[Options, S], None] | None = None


def read_job(
    file: JobFile[S], root_path: str | os.PathLike[str], argv: Sequence[str] | None = None
) -> tuple[Options, S, argparse.Namespace]:
    """Read the command line and the option file of a job; start the process group if a launcher is named.

    Args:
        file: what the file holds.
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The completed options without the block of the job; this block; the command line.

    Raises:
        OptionError, DataError: an option is wrong, a file is missing.
    """
    opt, args = read_options(file.job, argv)
    return opt, complete_job(file, opt, root_path, args.launcher), args


def complete_job(file: JobFile[S], opt: Options, root_path: str | os.PathLike[str], launcher: str = 'none') -> S:
    """Check options as they stand in a file, complete them in place, and take out the block of the job.

    Raises:
        OptionError, DataError: as `read_job`.
    """
    require(opt, ('name', 'datasets', file.job))
    refuse_unknown(opt, (*COMMON_KEYS, 'datasets', 'path', file.job, *(f'network_{name}' for name in file.networks)))
    read_block(CommonOptions, {key: opt[key] for key in COMMON_KEYS if key in opt}, '')
    # BasicSR keeps the number of the process under the key `rank`.
    settings = read_block(file.settings, opt.pop(file.job), file.job)
    used = file.used(settings)
    for key, value in file.defaults.items():
        opt.setdefault(key, value)
    _keep_networks(opt, file, used)
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = 0
    complete(opt, root_path, is_train=False, launcher=launcher)
    _complete_datasets(opt, file)
    for name, needs_weights in used.items():
        if needs_weights:
            require_weights(opt, name)
    if file.check is not None:
        file.check(opt, settings)
    checks.check_parts(opt)
    return settings


def run_job(
    file: JobFile[S],
    work: Callable[[Options, S, bool], None],
    root_path: str | os.PathLike[str],
    argv: Sequence[str] | None,
    stopped: str = STOPPED,
) -> int:
    """Read the option file of a job and do its work.

    Args:
        file: what the file holds.
        work: takes the options, the settings and whether everything is only checked.
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.
        stopped: logged after a stop.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, before work starts where possible.
    """
    try:
        opt, settings, args = read_job(file, root_path, argv)
        return interrupt.run(lambda: work(opt, settings, args.check), stopped)
    finally:
        distributed.stop()


def _keep_networks(opt: Options, file: JobFile[Any], used: Collection[str]) -> None:
    """Leave out the networks that are not used, and their paths."""
    path = opt.get('path') or {}
    if not isinstance(path, dict):
        raise OptionError('path', 'a block of options', shown(path), 'Indent its keys below it.')
    keys = {name: [f'{key}_{name}' for key in checks.NETWORK_PATH_KEYS] for name in file.networks}
    refuse_unknown(path, sum(keys.values(), []), 'path')
    for name in used:
        if f'network_{name}' not in opt:
            there = [key for key in opt if key.startswith('network')]
            advice = nearest(f'network_{name}', there) if there else 'Add it.'
            raise OptionError(f'network_{name}', f'a network ({file.networks[name]})', 'none', advice)
    for name in file.networks:
        if name not in used:
            opt.pop(f'network_{name}', None)
            path = {key: value for key, value in path.items() if key not in keys[name]}
    opt['path'] = path
    if not used:
        opt['num_gpu'] = 0


def _complete_datasets(opt: Options, file: JobFile[Any]) -> None:
    given, needed = set(opt['datasets']), set(file.datasets)
    if needed and not needed <= given <= needed | set(file.optional):
        expected = ' and '.join(file.datasets) + ''.join(f', optionally {name}' for name in file.optional)
        raise OptionError('datasets', expected, ', '.join(opt['datasets']), 'Name the blocks so.')
    for block in opt['datasets'].values():
        if file.phase is not None:
            block['phase'] = file.phase
        block.setdefault('scale', 1)
        if not isinstance(block['scale'], int) or block['scale'] < 1:
            raise OptionError('scale', 'an integer of at least 1', shown(block['scale']), 'Correct the value.')
