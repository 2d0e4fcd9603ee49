"""The network of an option file as it is used after training, whole or cut at a pointer, and what it says of itself."""

from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from basicsr_ext.options.blocks import require
from basicsr_ext.options.calls import building, check_call, registered
from basicsr_ext.options.load import Options


def deployed_network(opt: Options) -> nn.Module:
    """`network_g` in evaluation mode on the CPU, without training-only parts; its weights are random.

    A class says by its attribute `deployed_options` which values of its block leave these out.

    Raises:
        OptionError: the block is missing, or the network does not take it.
    """
    require(opt, ('network_g',))
    block = opt['network_g']
    require(block, ('type',), 'network_g')
    kind = registered(ARCH_REGISTRY, block['type'], 'network_g.type')
    check_call(kind, block, 'network_g')
    with building('network_g', block['type']):
        net: nn.Module = build_network({**block, **getattr(kind, 'deployed_options', {})})
    return net.eval()
