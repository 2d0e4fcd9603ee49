"""The network of an option file as it is used after training, whole or cut at a pointer."""

import inspect
from typing import Any

from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.checking import check_call, registered
from basicsr_ext.errors import OptionError
from basicsr_ext.options import Options, require

CHANNEL_KEYS = ('num_in_ch', 'in_chans', 'inp_channels')  # how networks name the channels of their input
# BasicSR's own layers count and export as the papers describe them; scores of channels serve training alone.
OF_FLEXIR = {'channel_scoring': False, 'plain': True, 'use_checkpoint': False}


def deployed_network(opt: Options) -> nn.Module:
    """`network_g` in evaluation mode on the CPU, without training-only parts; its weights are random.

    Raises:
        OptionError: the block is missing, or the network does not take it.
    """
    require(opt, ('network_g',))
    block = opt['network_g']
    require(block, ('type',), 'network_g')
    kind = registered(ARCH_REGISTRY, block['type'], 'network_g.type')
    check_call(kind, block, 'network_g')
    net: nn.Module = build_network({**block, **(OF_FLEXIR if kind is FlexIR else {})})
    return net.eval()


def input_channels(block: dict[str, Any]) -> int:
    """Channels that a checked block `network_g` asks for, or the default of its network.

    Raises:
        OptionError: the network names them in a way of its own.
    """
    parameters = inspect.signature(registered(ARCH_REGISTRY, block['type'], 'network_g.type')).parameters
    for key in CHANNEL_KEYS:
        if key in parameters:
            channels: int = block.get(key, parameters[key].default)
            return channels
    raise OptionError(
        f'network_g.type: expected a network with an argument {" or ".join(CHANNEL_KEYS)}, got {block["type"]}, whose '
        'input is unknown. Name another network.'
    )


def stored_up_to(pointer: int | None, name: str) -> bool:
    """Whether a FlexIR that ends at its branch `pointer` has the weight of this name; None is the last branch.

    Cut so, the network is a FlexIR of `pointer` branches, with the exits before the last.
    """
    part, _, rest = name.partition('.')
    number = rest.partition('.')[0]
    return pointer is None or part not in ('layers', 'tails') or int(number) < pointer
