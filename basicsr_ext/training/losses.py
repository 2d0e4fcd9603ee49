"""The losses of an option file as one module."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.options.calls import building


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
        self.with_perceptual = True
        for name, block in blocks:
            if name in self.terms:
                raise OptionError('train.losses', 'each name once', f'{shown(name[2:])} twice', 'Add name: ... to one.')
            with building(f'train, loss {name[2:]}', str(block.get('type'))):
                self.terms[name] = build_loss({key: value for key, value in block.items() if key != 'name'})

    def forward(self, output: Tensor, gt: Tensor) -> OrderedDict[str, Tensor]:
        """The value of each loss by its name in the log.

        Args:
            output, gt: N x C x H x W.
        """
        values: OrderedDict[str, Tensor] = OrderedDict()
        for name, loss in self.terms.items():
            if is_perceptual(name, loss) and not self.with_perceptual:
                continue
            value = loss(output) if _regularises(loss) else loss(output, gt)
            if isinstance(value, tuple):  # PerceptualLoss gives its perceptual and its style part, or None
                parts = zip((name, 'l_style'), value, strict=True)
                values.update({part: item for part, item in parts if item is not None})
            else:
                values[name] = value
        return values


def is_perceptual(name: str, loss: nn.Module) -> bool:
    """Whether a loss compares what a classifier sees, as its place in the options or its class says."""
    return name == 'l_percep' or any(
        'Perceptual' in kind.__name__ or 'LPIPS' in kind.__name__ for kind in type(loss).__mro__
    )


def generator_losses(log: Mapping[str, float]) -> list[float]:
    """The losses among the values that a model logs, those of a discriminator left out."""
    return [value for name, value in log.items() if name.startswith('l_') and not name.startswith('l_d_')]


def has_perceptual(model: Any) -> bool:
    """Whether a model has perceptual losses.

    Args:
        model: holds its losses in `losses`, a `WeightedLosses`, or as BasicSR's models do in `cri_perceptual`.

    Raises:
        OptionError: it has no others, so that nothing would be left during a pixel-shuffled warm-up.
    """
    losses = getattr(model, 'losses', None)
    if isinstance(losses, WeightedLosses):
        kinds = [is_perceptual(name, loss) for name, loss in losses.terms.items()]
        found, others = any(kinds), not all(kinds)
    else:
        found = bool(getattr(model, 'cri_perceptual', None) or getattr(model, 'perceptual_off', None))
        names = [name for name in vars(model) if name.startswith('cri_') and name != 'cri_perceptual']
        others = any(getattr(model, name) is not None for name in names)
    if found and not others:
        raise OptionError(
            'train',
            'a loss beside the perceptual one, which is off during the pixel-shuffled warm-up',
            'none',
            'Add pixel_opt.',
        )
    return found


def switch_perceptual(model: Any, on: bool) -> None:
    """Let the perceptual losses of a model that has some count, or not."""
    losses = getattr(model, 'losses', None)
    if isinstance(losses, WeightedLosses):
        losses.with_perceptual = on
    else:
        held = model.cri_perceptual or model.perceptual_off
        model.cri_perceptual, model.perceptual_off = (held, None) if on else (None, held)


def _regularises(loss: nn.Module) -> bool:
    """Whether the loss looks at the output alone: its second argument is then a weight (WeightedTVLoss)."""
    parameters = list(inspect.signature(loss.forward).parameters)
    return len(parameters) < 2 or parameters[1] == 'weight'
