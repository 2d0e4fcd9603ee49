"""The network of an option file as it is used after training, whole or cut at a pointer, and what it says of itself."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError
from basicsr_ext.options.blocks import require
from basicsr_ext.options.calls import check_call, registered
from basicsr_ext.options.load import Options

# How networks name the channels of their input.
CHANNEL_KEYS = ('num_in_ch', 'in_chans', 'inp_channels', 'in_channels', 'in_nc')


@runtime_checkable
class CuttableNetwork(Protocol):
    """A network of several branches, as FlexIR, of which one is restored, and which can end there.

    Attributes:
        deployed_options: keys of its option block with the values that leave out what only training needs.
        pointer: the branch that is restored, from 1 to `num_branches`.
    """

    deployed_options: ClassVar[Mapping[str, Any]]
    pointer: int

    @property
    def num_branches(self) -> int:
        """The number of branches."""

    def cut(self, pointer: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The network that ends at a branch: its weights, and the keys of its option block that differ."""

    def equal_part(self, height: int, width: int) -> tuple[tuple[int, int], int]:
        """The size of parts of an image that all cost the same, and how many of them an image of this size has."""

    def sizes_to_try(self) -> Sequence[tuple[int, int]]:
        """Sizes of images that show that it takes any; empty if it takes one size only."""


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
    net: nn.Module = build_network({**block, **getattr(kind, 'deployed_options', {})})
    return net.eval()


def input_channels(net: nn.Module, block: Mapping[str, Any] | None = None) -> int:
    """Channels of the images that a network takes.

    Its attribute `input_channels` says so; without it, the key of its option block that the field uses, or the default
    of that argument; without these, its first convolution.

    Args:
        net: the network.
        block: `network_g` that it was built from; None where there is no option file.

    Raises:
        OptionError: there is none of these.
    """
    own = getattr(net, 'input_channels', None)
    if isinstance(own, int):
        return own
    arguments = {name: value.default for name, value in inspect.signature(type(net)).parameters.items()}
    arguments.update(block or {})
    convolutions = (module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d))
    named = (arguments[key] for key in CHANNEL_KEYS if isinstance(arguments.get(key), int))
    found: int | None = next(named if block is not None else convolutions, None)
    found = next(convolutions, None) if found is None else found
    if found is None:
        raise OptionError(
            f'network_g.type: expected a network with an argument {" or ".join(CHANNEL_KEYS)}, an attribute '
            f'input_channels or a convolution, got {type(net).__name__}. Give its class that attribute.'
        )
    return found
