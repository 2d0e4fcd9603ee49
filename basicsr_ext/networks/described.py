"""What a network says of itself: attributes that are read where they are there, and defaults where they are not."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from basicsr_ext.errors import OptionError
from basicsr_ext.networks.tiling import Sides

# How networks name the channels of their input.
CHANNEL_KEYS = ('num_in_ch', 'in_chans', 'inp_channels', 'in_channels', 'in_nc')


class DescribedNetwork(Protocol):
    """The attributes that a network may have; every one may be missing.

    Attributes:
        size_multiple: what has to divide the sides of its input.
        size_minimum: least side of its input, in pixels.
        size_square: whether the sides have to be equal.
        input_channels: channels of its input.
        output_scale: how many times as large as its input its output is.
        deployed_options: keys of its option block with the values that leave out what only training needs.
    """

    size_multiple: int
    size_minimum: int
    size_square: bool
    input_channels: int
    output_scale: int
    deployed_options: ClassVar[Mapping[str, Any]]


@runtime_checkable
class CuttableNetwork(Protocol):
    """A network of several branches, as FlexIR, of which one is restored, and which can end there.

    Attributes:
        pointer: the branch that is restored, from 1 to `num_branches`.
    """

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


def input_sides(net: nn.Module, block: Mapping[str, Any] | None = None) -> Sides:
    """What a network asks of the sides of its input; see `DescribedNetwork`.

    Args:
        net: the network.
        block: `network_g` that it was built from, whose `window_size` is the multiple of a network that does not say;
            None where there is no option file.
    """
    multiple = getattr(net, 'size_multiple', (block or {}).get('window_size', 1))
    return Sides(multiple, getattr(net, 'size_minimum', 1), getattr(net, 'size_square', False))


def output_scale(net: nn.Module) -> int | None:
    """How many times as large as its input the output of a network is; None where it does not say."""
    return getattr(net, 'output_scale', None)


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
            'network_g.type',
            f'a network with an argument {" or ".join(CHANNEL_KEYS)}, an attribute input_channels or a convolution',
            type(net).__name__,
            'Give its class that attribute.',
        )
    return found
