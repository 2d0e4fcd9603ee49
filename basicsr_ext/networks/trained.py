"""A network of an option file with its weights, for jobs that use it as it is."""

import torch
from basicsr.archs import build_network
from torch import nn

from basicsr_ext.errors import OptionError, first_line, shown
from basicsr_ext.options.calls import building
from basicsr_ext.options.load import Options
from basicsr_ext.runtime.checkpoint import load_network_weights


def trained_network(opt: Options, name: str = 'g') -> nn.Module:
    """`network_<name>` with the weights of `path.pretrain_network_<name>`, if any, on the device that `num_gpu` names.

    Raises:
        CheckpointError: the weights do not fit.
    """
    path = opt['path']
    block = opt[f'network_{name}']
    with building(f'network_{name}', block['type']):
        net: nn.Module = build_network(block)
    weights = path.get(f'pretrain_network_{name}')
    if weights is not None:
        is_strict, key = path.get(f'strict_load_{name}', True), path.get(f'param_key_{name}', 'params')
        load_network_weights(net, weights, is_strict, key)
    return net.to(device_of(opt))


def require_weights(opt: Options, name: str = 'g') -> None:
    """Raise OptionError unless `path.pretrain_network_<name>` of completed options names weights."""
    key = f'pretrain_network_{name}'
    if opt['path'].get(key) is None:
        raise OptionError(f'path.{key}', 'the weights of a trained network', 'none', 'Add them.')


def device_of(opt: Options) -> torch.device:
    """The GPU of this process, or the CPU."""
    return torch.device('cuda' if opt['num_gpu'] else 'cpu')


def device_named(name: str | None) -> torch.device:
    """A device by its name in torch; None for the GPU of this process if there is one.

    Raises:
        OptionError: there is no such device.
    """
    try:
        device = torch.device(name or ('cuda' if torch.cuda.is_available() else 'cpu'))
        torch.zeros(1, device=device)
        return device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch without CUDA asserts
        raise OptionError(
            'device', 'a device that torch finds', f'{shown(name)} ({first_line(error)})', 'Correct it.'
        ) from error
