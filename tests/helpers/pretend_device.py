"""A second device on a machine that has none: it computes on the CPU, and refuses what a GPU would refuse.

`torch.device('pretend')` is torch's place for other makers' devices, filled with Python: every tensor there wraps one
on the CPU, every operation unwraps and wraps again. Values are those of the CPU, while tensors of both devices in one
operation, arrays of a tensor that is not on the CPU and generators of another device are errors, as on a GPU. What it
cannot show are kernels: their rounding, their order of summation, what they do not support, memory and streams.

Importing this module changes torch for the whole process: `tests/runtime/test_devices.py` does so in one of its own.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = 'pretend'


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


_setup_privateuseone_for_python_backend(NAME, _Module())
DEVICE = torch.device(NAME, 0)
aten = torch.ops.aten

# Between devices; indices may be on the CPU, as with CUDA.
MOVES = {aten._to_copy.default, aten.copy_.default, aten._copy_from.default, aten._copy_from_and_resize.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
REPLACED = {aten._efficientzerotensor.default: aten.zeros.default}  # without memory, which a wrapper cannot have
SCALARS = {aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default}


class Pretended(Tensor):
    """A tensor of the device; `inner` is where its values are."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> 'Pretended':
        """Wrap."""
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See torch."""
        return compute(func, *args, **(kwargs or {}))

    def numpy(self, **kwargs: Any) -> Any:
        """Refuse, as CUDA does."""
        raise TypeError(f'cannot convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() first.')

    def __array__(self, *args: Any) -> Any:
        return self.numpy()

    def data_ptr(self) -> int:
        """That of the values."""
        return self.inner.data_ptr()

    def tolist(self) -> Any:
        """The values, which CUDA gives too."""
        return self.detach().cpu().tolist()

    def new_tensor(self, data: Any, **kwargs: Any) -> Tensor:
        """torch's own wants a kernel in C++."""
        return torch.tensor(data, dtype=kwargs.get('dtype') or self.dtype).to(DEVICE)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """In a file the tensor is that of the CPU, as what is read with `map_location='cpu'`."""
        return self.inner.__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> Any:
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        return torch.nn.Parameter(copied, self.requires_grad) if isinstance(self, torch.nn.Parameter) else copied


def _refuse_both(func: Any, tensors: list[Tensor]) -> None:
    """Raise where tensors of both devices meet; numbers on the CPU, which have no dimension, may."""
    here = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    others = [tensor for tensor in tensors if not isinstance(tensor, Pretended) and tensor.ndim]
    if here and others:
        raise RuntimeError(
            f'{func}: expected all tensors to be on the same device, got {NAME}:0 {tuple(here[0].shape)} and cpu '
            f'{tuple(others[0].shape)}'
        )


def compute(func: Any, *args: Any, **kwargs: Any) -> Any:
    """What the device does for an operation."""
    func = REPLACED.get(func, func)
    leaves = tree_flatten((args, kwargs))[0]
    if func in INDEXED:
        _refuse_both(func, [args[0], *args[2:3]])
    elif func not in MOVES:
        _refuse_both(func, [leaf for leaf in leaves if isinstance(leaf, Tensor)])
    generators = [leaf for leaf in leaves if isinstance(leaf, torch.Generator)]
    target = kwargs.get('device')
    stays = target is None or torch.device(target).type == NAME
    if stays and any(generator.device.type != NAME for generator in generators):
        raise RuntimeError(f'Expected a {NAME!r} device type for generator but found cpu')
    inner_kwargs = tree_map(_inner, kwargs) | ({} if target is None else {'device': torch.device('cpu')})
    inner_kwargs.pop('pin_memory', None)
    result = func(*tree_map(_inner, args), **inner_kwargs)
    if func in SCALARS:
        return result
    if not func._schema.returns:
        return None
    written = _written(func, args, kwargs)
    if written:
        for tensor in written:
            if isinstance(tensor, Pretended) and tensor.shape != tensor.inner.shape:
                raise NotImplementedError(f'{func} changes the shape in place')
        return written[0] if len(written) == 1 and not isinstance(result, tuple) else tuple(written)
    return tree_map(_wrapped, result) if stays and (target is not None or _any_here(leaves)) else result


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, Pretended) else value


def _wrapped(value: Any) -> Any:
    return Pretended(value) if isinstance(value, Tensor) and not isinstance(value, Pretended) else value


def _any_here(leaves: list[Any]) -> bool:
    return any(isinstance(leaf, Pretended) for leaf in leaves)


def _written(func: Any, args: Any, kwargs: Any) -> list[Any]:
    """The arguments that an operation writes into and returns."""
    arguments = func._schema.arguments
    given = {argument.name: kwargs.get(argument.name) for argument in arguments}
    given.update(zip((argument.name for argument in arguments), args, strict=False))
    changed = [given[a.name] for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    return [value for value in changed if isinstance(value, Tensor)]


library = torch.library.Library('_', 'IMPL')  # kept: what it registers lives as long
library.fallback(compute, 'PrivateUse1')
_factories = torch.library.Library('aten', 'IMPL')


def _arange(start: Any, end: Any, step: Any = 1, **kwargs: Any) -> Tensor:
    """torch's own makes an empty tensor that it resizes, which a wrapper cannot be."""
    return Pretended(torch.arange(start, end, step, dtype=kwargs.get('dtype')))


_factories.impl('arange', lambda end, **kwargs: _arange(0, end, **kwargs), 'PrivateUse1')
_factories.impl('arange.start', _arange, 'PrivateUse1')
_factories.impl('arange.start_step', _arange, 'PrivateUse1')
library.fallback(torch.library.fallthrough_kernel, 'AutocastPrivateUse1')
