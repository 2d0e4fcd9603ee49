"""A network of an option file with its weights, for jobs that use it as it is."""

from typing import Any

import torch
from basicsr.archs import build_network
from torch import nn

from basicsr_ext.errors import OptionError
from basicsr_ext.options import Options
from basicsr_ext.tiling import Sides
from basicsr_ext.training.checkpoint import load_network_weights


def trained_network(opt: Options) -> nn.Module:
    """`network_g` with the weights of `path.pretrain_network_g`, if any, on the device that `num_gpu` names.

    Raises:
        CheckpointError: the weights do not fit.
    """
    path = opt['path']
    net: nn.Module = build_network(opt['network_g'])
    if path.get('pretrain_network_g') is not None:
        load_network_weights(
            net, path['pretrain_network_g'], path.get('strict_load_g', True), path.get('param_key_g', 'params')
        )
    return net.to(device_of(opt))


def require_weights(opt: Options) -> None:
    """Raise OptionError unless `path.pretrain_network_g` of completed options names weights."""
    if opt['path'].get('pretrain_network_g') is None:
        raise OptionError('path.pretrain_network_g: expected the weights of a trained network, got none. Add them.')


def device_of(opt: Options) -> torch.device:
    """The GPU of this process, or the CPU."""
    return torch.device('cuda' if opt['num_gpu'] else 'cpu')


def input_sides(net: nn.Module, block: dict[str, Any]) -> Sides:
    """What a network asks of the sides of its input.

    Its attributes `size_multiple`, `size_minimum` and `size_square` say so; without the first of them, `window_size` of
    its option block is the multiple.
    """
    return Sides(
        getattr(net, 'size_multiple', block.get('window_size', 1)),
        getattr(net, 'size_minimum', 1),
        getattr(net, 'size_square', False),
    )
