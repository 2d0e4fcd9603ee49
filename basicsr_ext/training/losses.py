"""The losses of an option file as one module."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from basicsr_ext.errors import OptionError


class WeightedLosses(nn.Module):
    """Named losses, each already weighted by its own `loss_weight`; their sum is minimised.

    Args:
        blocks: names in the log and option blocks.
        build_loss: makes a loss from its block, as BasicSR's `build_loss`.

    Raises:
        OptionError: two losses of one name.
    """

    def __init__(
        self, blocks: Iterable[tuple[str, dict[str, Any]]], build_loss: Callable[[dict[str, Any]], nn.Module]
    ) -> None:
        super().__init__()
        self.terms = nn.ModuleDict()
        for name, block in blocks:
            if name in self.terms:
                raise OptionError(
                    f'train.losses: expected each name once, got {name[2:]!r} twice. Add name: ... to one.'
                )
            self.terms[name] = build_loss({key: value for key, value in block.items() if key != 'name'})

    def forward(self, output: Tensor, gt: Tensor) -> OrderedDict[str, Tensor]:
        """The value of each loss by its name in the log.

        Args:
            output, gt: N x C x H x W.
        """
        values: OrderedDict[str, Tensor] = OrderedDict()
        for name, loss in self.terms.items():
            value = loss(output) if _regularises(loss) else loss(output, gt)
            if isinstance(value, tuple):  # PerceptualLoss gives its perceptual and its style part, or None
                parts = zip((name, 'l_style'), value, strict=True)
                values.update({part: item for part, item in parts if item is not None})
            else:
                values[name] = value
        return values


def _regularises(loss: nn.Module) -> bool:
    """Whether the loss looks at the output alone: its second argument is then a weight (WeightedTVLoss)."""
    parameters = list(inspect.signature(loss.forward).parameters)
    return len(parameters) < 2 or parameters[1] == 'weight'
