"""What is made of the weights of a module, kept until they change."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Prepared = TypeVar('Prepared')
_kept: WeakKeyDictionary[nn.Module, tuple[object, Any]] = WeakKeyDictionary()


def prepared(module: nn.Module, sources: Sequence[Tensor | None], prepare: Callable[[], Prepared]) -> Prepared:
    """Prepare something of weights, or take it as it was prepared if they are the same and need no gradient.

    Args:
        module: for which one thing is kept.
        sources: the weights that it is made of.
        prepare: makes it.
    """
    parameters = [source for source in sources if source is not None]
    learning = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)
    plain = all(type(parameter) is nn.Parameter and not parameter.is_inference() for parameter in parameters)
    if learning or not plain or torch.compiler.is_compiling():
        return prepare()
    stamp = [(p.data_ptr(), p.dtype, p.device, p._version) for p in parameters]
    known = _kept.get(module)
    if known is None or known[0] != stamp:
        with torch.inference_mode(False), torch.no_grad():
            known = _kept[module] = stamp, prepare()
    made: Prepared = known[1]
    return made


def forget_prepared(net: nn.Module) -> None:
    """Drop what is kept of a network: writing through `.data` changes weights without leaving a trace."""
    for module in net.modules():
        _kept.pop(module, None)
