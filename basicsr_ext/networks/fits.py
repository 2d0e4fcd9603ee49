"""Does a network take these images, and give others of the right shape? Tried on the first ones before work starts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import nn

from basicsr_ext.errors import BasicsrExtError, OptionError, first_few, first_line
from basicsr_ext.runtime.distributed import rank_and_world

BY_BATCH = nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd  # whose output depends on the whole batch

T = TypeVar('T')


def try_network(run: Callable[[], T], name: str, given: str, where: str, advice: str) -> T:
    """Run a network on its first input.

    Args:
        run: does so.
        name: of the network.
        given: the input in words, with its shape.
        where: the option that is to be corrected, named in errors.
        advice: how.

    Returns:
        What `run` gave.

    Raises:
        OptionError: the network does not take the input.
    """
    try:
        return run()
    except BasicsrExtError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise OptionError(where, f'input that {name} takes', f'{given} and {first_line(error)}', advice) from error


def refuse_other_shape(shape: Sequence[int], expected: Sequence[int], name: str, where: str, advice: str) -> None:
    """Raise OptionError unless the output of a network has the shape of the ground truth.

    Args:
        shape: of the output.
        expected: of the ground truth.
        name: of the network.
        where: the option that is to be corrected, named in errors.
        advice: how.
    """
    if tuple(shape) != tuple(expected):
        raise OptionError(where, f'output of {name} of the shape of gt {tuple(expected)}', tuple(shape), advice)


def refuse_by_batch(net: nn.Module, where: str) -> None:
    """Raise OptionError if several processes are to train a network on parts of a batch that it does not treat alike.

    Args:
        net: to be trained.
        where: its option, named in errors.
    """
    found = sorted({type(module).__name__ for module in net.modules() if isinstance(module, BY_BATCH)})
    world = rank_and_world()[1]
    if found and world > 1:
        expected = f'a network that treats each image for itself, as {world} processes share a batch out'
        raise OptionError(where, expected, first_few(found), 'Choose another one, or start one process.')
