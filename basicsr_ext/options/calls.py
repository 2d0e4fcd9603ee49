"""Blocks that name something registered: is there such a thing, and does it take these arguments?"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from basicsr.utils.registry import DATASET_REGISTRY, LOSS_REGISTRY, Registry

from basicsr_ext.errors import BasicsrExtError, OptionError, first_line, nearest, shown
from basicsr_ext.options.blocks import require


def registered(registry: Registry, name: Any, where: str) -> Any:
    """The object of that name in one of BasicSR's registries.

    Raises:
        OptionError: nothing of that name is registered; names the nearest.
    """
    known = dict(iter(registry))
    found = known.get(name, known.get(f'{name}_basicsr')) if isinstance(name, str) else None
    if found is None:
        raise OptionError(
            where,
            f'a name in the registry {shown(registry._name)}',
            shown(name),
            f'{nearest(name, known)} If it is your own, name the module that registers it in imports or by --import.',
        )
    return found


def is_known(target: Callable[..., Any]) -> bool:
    """Whether a class or function is BasicSR's or ours, so that we know what it does; others may do anything."""
    return target.__module__.partition('.')[0] in ('basicsr', 'basicsr_ext')


def check_call(
    target: Callable[..., Any], options: Mapping[str, Any], where: str, given: int = 0, strict: bool = False
) -> None:
    """Check that options are arguments that a class or function takes.

    Args:
        target: what will be called with the options as keywords.
        options: the keywords; `type` is left out.
        where: path of the block in the option file.
        given: how many leading arguments the caller passes itself.
        strict: do not let `**kwargs` of the target excuse an unknown key.

    Raises:
        OptionError: an argument the target does not have, or one it needs that is missing.
    """
    parameters = list(inspect.signature(target).parameters.values())[given:]
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = not strict and any(p.kind is p.VAR_KEYWORD for p in parameters)
    name = getattr(target, '__name__', str(target))
    for key in options:
        if key != 'type' and key not in known and not open_ended:
            raise OptionError(f'{where}.{key}', f'an argument of {name}', shown(key), nearest(key, known))
    for parameter in parameters:
        if parameter.name in known and parameter.default is parameter.empty and parameter.name not in options:
            raise OptionError(f'{where}.{parameter.name}', f'a value, which {name} needs', 'none', 'Add it.')


@contextmanager
def building(where: str, what: str) -> Iterator[None]:
    """Say which block of the option file it was whose values a constructor refuses.

    Args:
        where: path of the block.
        what: is built from it.

    Raises:
        OptionError: for whatever error the code inside raises; errors that already say where stay as they are.
    """
    try:
        yield
    except BasicsrExtError:
        raise
    except Exception as error:  # anything may come out of a class of somebody else
        raise OptionError(
            where, f'values that {what} takes', f'{type(error).__name__}: {first_line(error)}', 'Correct the block.'
        ) from error


@dataclass(frozen=True)
class Registered:
    """Marks the annotation of a block that names something registered by `type`, its arguments beside it.

    Attributes:
        registry: one of BasicSR's.
        takes_options: the block is passed as one dict, as to datasets, so that its keys are no arguments to check.
    """

    registry: Registry
    takes_options: bool = False

    def check(self, block: Mapping[str, Any], where: str) -> None:
        """Raise OptionError unless the name is registered and takes the arguments."""
        if not self.takes_options:
            require(block, ('type',), where)
            check_call(registered(self.registry, block['type'], f'{where}.type'), block, where)


LossBlock = Annotated[dict[str, Any], Registered(LOSS_REGISTRY)]
DatasetBlock = Annotated[dict[str, Any], Registered(DATASET_REGISTRY, takes_options=True)]
