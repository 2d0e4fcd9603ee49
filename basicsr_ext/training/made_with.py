"""What a training state was made with, and what changed since: applied from there on, or refused."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from basicsr.utils import get_root_logger
from basicsr.utils.registry import ARCH_REGISTRY

from basicsr_ext.data.nesting import layers
from basicsr_ext.data.wrapper_base import ComposedDataset
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.schedule.sampling import samples_of_epoch
from basicsr_ext.training.loader import samples_per_rank

NEW_RUN = 'Change it back, or begin a new run of another name with path.pretrain_network_g.'
# They decide where a run reads and writes, what it prints and how fast it is, but not what it computes.
LEFT_OUT = ('name', 'path', 'logger', 'val', 'dist_params', 'num_gpu', 'complexity', 'calibrate', 'manual_seed',
            'imports', 'dist', 'rank', 'root_path', 'auto_resume', 'is_train')  # fmt: skip
NO_RESULT = ('use_checkpoint',)  # arguments of networks that trade time for memory

Change = tuple[str, Any, Any]  # path of the option, its value before and now


def made_with(opt: Mapping[str, Any], images: int) -> dict[str, Any]:
    """The options that decide what a run computes, as plain values.

    Args:
        opt: completed options, before a model is built, as BasicSR's models take keys out of them.
        images: length of the training set.
    """
    block = opt['datasets']['train']
    kept = {key: value for key, value in opt.items() if key not in (*LEFT_OUT, 'datasets', 'scale')}
    kept.update({key: _with_defaults(value) for key, value in kept.items() if key.startswith('network_')})
    return _plain(
        {
            **kept,
            'scale': opt.get('scale', 1),
            'datasets': {'train': {key: value for key, value in block.items() if key not in LOADER_KEYS}},
            'images_per_epoch': samples_of_epoch(images, block.get('dataset_enlarge_ratio', 1)),
            'samples_per_iteration': samples_per_rank(dict(opt)) * opt['world_size'],
        }
    )


def _with_defaults(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block of a network with the arguments that it leaves out."""
    known = dict(iter(ARCH_REGISTRY))
    kind = known.get(block['type'], known.get(f'{block["type"]}_basicsr'))
    parameters = inspect.signature(kind).parameters if kind is not None else {}
    defaults = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
    return {key: value for key, value in {**defaults, **block}.items() if key not in NO_RESULT}


def _plain(value: Any) -> Any:
    """A value that a state may hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], where: str = '') -> Iterator[Change]:
    """The options that differ between two records, None for one that is not there."""
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        path = f'{where}{key}'
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from changes(old, new, f'{path}.')
        elif old != new:
            yield path, old, new


def refuse_changes(found: list[Change], iteration: int) -> None:
    """Raise OptionError for a change under which the run could not go on as if nothing had happened."""
    for path, old, new in found:
        reason = _reason(path, old, new)
        if reason:
            raise OptionError(
                path,
                f'{shown(old)}, with which the state of iteration {iteration} was made',
                f'{shown(new)}: {reason}',
                NEW_RUN,
            )


def _reason(path: str, old: Any, new: Any) -> str:
    steps = path.split('.')
    top, key = steps[0], steps[-1]
    if top.startswith('network_') or top in ('model_type', 'scale'):
        return 'its weights are those of another network'
    if top in ('images_per_epoch', 'samples_per_iteration'):
        return (
            'the place in the data would be another one (number of images, dataset_enlarge_ratio, batch_size_per_gpu, '
            'accum_iter, number of processes)'
        )
    if path.startswith('train.optim_') and not (_is_number(old) and _is_number(new)):
        return 'the state of the optimiser is that of another one'
    if path.startswith('train.optim_') and key == 'momentum' and (old == 0) != (new == 0):
        return 'the state of the optimiser holds no momentum, or one that is not used'
    return ''


def _is_number(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(isinstance(item, int | float) and not isinstance(item, bool) for item in numbers)


def follows_new_rates(found: list[Change]) -> bool:
    """Whether optimisers or schedules have other options, so that those in the state are not the ones to go on with."""
    return any(path.startswith(('train.optim_', 'train.scheduler')) for path, _, _ in found)


def say_changes(found: list[Change], iteration: int) -> None:
    """Log what is other from the next iteration on."""
    for path, old, new in found:
        before = 'none' if old is None else shown(old)
        after = 'none' if new is None else shown(new)
        get_root_logger().info(f'From iteration {iteration + 1} on: {path} is {after} instead of {before}.')


def refuse_seed(state: Mapping[str, Any], seed: int | None) -> None:
    """Raise OptionError if a seed is asked for that is not that of the state."""
    there = state.get('manual_seed')
    if None not in (there, seed) and there != seed:
        raise OptionError(
            'manual_seed',
            f'{there}, with which the state of iteration {state["iter"]} was made',
            f'{seed}: the place in the data would be another one',
            NEW_RUN,
        )


def refuse_end(state: Mapping[str, Any], total_iter: int) -> None:
    """Raise OptionError if a run is to end before the state from which it continues."""
    if total_iter < state['iter']:
        raise OptionError(
            'train.total_iter',
            f'at least {state["iter"]}, the iteration of the state to continue from',
            total_iter,
            'Raise it, or name an earlier state with path.resume_state.',
        )


def refuse_other_plan(state: Mapping[str, Any], total_iter: int, train_set: SampleDataset) -> None:
    """Raise OptionError if a selection, which rises with the epochs of the whole run, is of a run of another length."""
    planned = state.get('total_iter', total_iter)
    rises = any(isinstance(layer, ComposedDataset) and layer.rises for layer in layers(train_set))
    if planned != total_iter and rises:
        raise OptionError(
            'train.total_iter',
            f'{planned}, for which the dynamic selection of this run was planned',
            total_iter,
            'Change it back, or begin a new run with path.pretrain_network_g.',
        )
