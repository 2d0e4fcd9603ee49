"""Linear layers whose weights lie in the order in which oneDNN multiplies them, for a CPU without gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear

PACKED_TYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class PackedLinear:
    """A linear layer, and the GELU after it if there is one, as one operation where torch has it.

    Attributes:
        weight: out x in.
        bias: of `out` numbers, or None.
        activated: GELU follows, the exact one.
        packed: the weight as oneDNN has packed it, or None.
    """

    weight: Tensor
    bias: Tensor | None
    activated: bool
    packed: Tensor | None

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows x out of rows x in."""
        if self.packed is None or torch.is_autocast_enabled('cpu'):
            out = linear(rows, self.weight, self.bias)
            return gelu(out) if self.activated else out
        activation = 'gelu' if self.activated else 'none'
        out = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, activation, [], 'none')
        return out


def pack_linear(weight: Tensor, bias: Tensor | None, activated: bool = False) -> PackedLinear:
    """Pack a layer for rows of its own type; what oneDNN does not take stays as it is."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous()) if _packs(weight) else None
    return PackedLinear(weight, bias, activated, packed)


def _packs(weight: Tensor) -> bool:
    """Whether torch's compiler, whose operations these are, would pack such a weight on this machine."""
    if weight.device.type != 'cpu' or weight.dtype not in PACKED_TYPES or torch.compiler.is_compiling():
        return False
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    operations = torch.ops.mkldnn
    if not all(hasattr(operations, name) for name in ('_linear_pointwise', '_reorder_linear_weight')):
        return False
    return weight.dtype == torch.float32 or bool(operations._is_mkldnn_bf16_supported())
