"""What network a file of weights is of: said by itself, by an option file, or by spandrel."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger
from basicsr.utils.registry import ARCH_REGISTRY

from basicsr_ext.errors import CheckpointError, OptionError, first_few
from basicsr_ext.inference.settings import InferenceSettings, read_settings
from basicsr_ext.options.blocks import require
from basicsr_ext.options.calls import check_call, registered
from basicsr_ext.options.imports import import_all
from basicsr_ext.options.load import Options, find_file, load_options
from basicsr_ext.runtime.checkpoint import network_in

SPANDREL = 'SpandrelArch'
LATEST = 'net_g_latest.pth'
WAYS = (
    'Name the network by -opt FILE with its network_g; or leave the file in experiments/NAME/models beside its option '
    'file; or save it with this version, which notes the network in .pth and .safetensors; or, for an official '
    'architecture, run pip install "basicsr-ext[archs]", with which spandrel tells it by the names of the weights.'
)


@dataclass(frozen=True)
class NamedNetwork:
    """A file of weights and its network.

    Attributes:
        weights: the file.
        block: `network_g`.
        source: what named it, in words.
        settings: `val.inference` of the option file, if there are any.
        is_guessed: whether only spandrel can tell, when it is built.
    """

    weights: str
    block: dict[str, Any]
    source: str
    settings: InferenceSettings | None
    is_guessed: bool = False


def find_network(
    weights: str | os.PathLike[str],
    opt_file: str | os.PathLike[str] | None = None,
    imports: Sequence[str] | None = None,
) -> NamedNetwork:
    """The network of a file of weights.

    It is named, in this order, by the file itself; by `opt_file`; by the option file of the experiment that the weights
    lie in, `experiments/NAME/models/`; by spandrel, if it is installed.

    Args:
        weights: `.pth` or `.safetensors`.
        opt_file: with `network_g`; its `val.inference` counts whatever names the network.
        imports: modules of the user that were imported.

    Raises:
        CheckpointError: the weights cannot be read, or nothing names their network.
        OptionError: an option file is wrong, or the network is not registered or takes other arguments.
    """
    path = find_file(os.fspath(weights))
    noted = network_in(path)
    file = opt_file if opt_file is not None else experiment_file(path)
    opt: Options = {} if file is None else load_options(file)
    import_all(opt, imports)
    if noted is not None:
        block, source, where = noted, path, f'{path}, network'
    elif file is not None:
        require(opt, ('network_g',))
        block, source, where = opt['network_g'], os.fspath(file), 'network_g'
    elif importlib.util.find_spec('spandrel') is not None:
        block, source, where = {'type': SPANDREL, 'checkpoint': path}, 'spandrel', 'network_g'
    else:
        raise unnamed(path, 'none, and spandrel is not installed')
    require(block, ('type',), where)
    if block['type'] == SPANDREL and block.get('checkpoint') is not None:
        block = {**block, 'checkpoint': path}  # from whose weights it is built as well, wherever the other one is now
    check_call(registered(ARCH_REGISTRY, block['type'], f'{where}.type'), block, where)
    return NamedNetwork(path, block, source, settings_in(opt), is_guessed=noted is None and file is None)


def settings_in(opt: Options) -> InferenceSettings | None:
    """`val.inference` of an option file, if it has any.

    Raises:
        OptionError: it is wrong.
    """
    block = (opt.get('val') or {}).get('inference')
    return None if block is None else read_settings(block, 'val.inference')


def unnamed(path: str, got: str) -> CheckpointError:
    """The error that lists the ways to name the network of a file."""
    return CheckpointError(f'checkpoint {path}', 'something that names its network', got, WAYS)


def experiment_file(weights: str | os.PathLike[str]) -> Path | None:
    """The option file of the experiment that weights lie in; None if they lie elsewhere.

    Of several of one network it is the newest.

    Raises:
        OptionError: there are several of different networks, or one cannot be read.
    """
    folder = Path(os.path.abspath(weights)).parent
    if folder.name != 'models':
        return None
    found = {file: load_options(file) for file in sorted(folder.parent.glob('*.yml'))}
    named = {file: opt['network_g'] for file, opt in found.items() if 'network_g' in opt}
    if any(block != next(iter(named.values())) for block in named.values()):
        raise OptionError(
            f'{folder.parent}',
            'option files of one network',
            first_few([file.name for file in named]),
            'Name the one that made the weights with -opt.',
        )
    return max(named, key=lambda file: file.stat().st_mtime, default=None)


def latest_beside(opt_file: str | os.PathLike[str]) -> str | None:
    """The weights that a training has left beside its option file, `models/net_g_latest.pth`; None where it has not."""
    path = Path(opt_file).parent / 'models' / LATEST
    return str(path) if path.is_file() else None


def warn_of_start(opt_file: str | os.PathLike[str], weights: str) -> None:
    """Say that an option file names the weights that its training began with, where it stands beside its result."""
    latest = latest_beside(opt_file)
    if latest is not None and not os.path.samefile(find_file(weights), latest):
        get_root_logger().warning(
            f'{opt_file}: path.pretrain_network_g, {weights}, is what this training began with; its result is {latest}.'
        )
