"""What a row changes: keys of the training file, or of the job that chooses its images."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.options.command_line import override
from basicsr_ext.options.load import Options, read_yaml

COMMON = ('name', 'manual_seed', 'scale', 'num_gpu', 'dist_params', 'imports', 'val', 'logger')  # to all rows


def changed_options(opt: Options, changes: Sequence[str], flag: str) -> Options:
    """The options of a training file with some keys changed.

    Args:
        opt: as they stand in the file.
        changes: `train.warmup_iter=80`: keys that exist.
        flag: what messages call the place of the changes.

    Raises:
        OptionError: no such key, or one that all rows have to share.
    """
    changed = deepcopy(opt)
    for change in changes:
        key = change.partition('=')[0].strip()
        first, second = [*key.split('.'), ''][:2]
        if first in COMMON or (first == 'datasets' and second != 'train'):
            raise OptionError(
                flag,
                'a key of the training, as in train, network_g or datasets.train',
                f'{shown(key)}, which all rows share',
                'Change it for all of them: --set.',
            )
        override(changed, change, flag)
    return changed


def choosing_of(texts: Sequence[str], flag: str) -> dict[str, dict[str, Any]]:
    """The keys of jobs that choose, from `KIND.KEY=VALUE` each.

    Returns:
        Kind of choice -> key -> value; a key that holds dots leads into blocks.

    Raises:
        OptionError: a text of another form.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        key, separator, value = text.partition('=')
        kind, _, name = key.partition('.')
        if not separator or not kind or not name:
            raise OptionError(flag, 'SET.KEY=VALUE, as influence.iterations=12', shown(text), 'Correct it.')
        found.setdefault(kind, {})[name] = read_yaml(value)
    return found


def merged(settings: Mapping[str, Any], asked: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A block of settings with some keys changed, those with dots inside the blocks that it has.

    Raises:
        OptionError: a block that there is not.
    """
    changed = deepcopy(dict(settings))
    for name, value in asked.items():
        *blocks, last = name.split('.')
        block = changed
        for step in blocks:
            if not isinstance(block.get(step), dict):
                raise OptionError(f'{where}.{name}', 'an existing block', shown(step), nearest(step, block))
            block = block[step]
        block[last] = value
    return changed
