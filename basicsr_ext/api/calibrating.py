"""Find the exits that meet a budget from Python."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from torch import Tensor

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.budget import choose
from basicsr_ext.inference.exit_costs import known_costs
from basicsr_ext.inference.exit_rules import judge
from basicsr_ext.inference.observation import observe
from basicsr_ext.inference.settings import InferenceSettings, check_budget, read_settings
from basicsr_ext.networks.tiling import evaluating


def calibrate(net: ExitNetwork, images: Iterable[Tensor], budget: float, **inference: Any) -> InferenceSettings:
    """Find the pointer, or the rule of early exits, that makes most of a budget.

    Args:
        net: with exits, as FlexIR, and its weights, on its device.
        images: degraded ones as those that will be restored, C x H x W, [0, 1]; no ground truth is needed.
        budget: what restoring may cost, in parts of the multiply-accumulates of the full network on whole images, at
            most 1.
        **inference: keys of the block `val.inference` of an option file, such as `regions=4, overlap=16`, and
            `adaptive={'score': 'mean_gradient'}`, where not the best of all scores is wanted.

    Returns:
        The settings, which `Restorer(net, settings)` takes.

    Raises:
        OptionError: the network has no exits, a setting is wrong, or the budget is below the first exit or above 1.
        DataError: there is no image.

    Example:
        >>> import torch
        >>> import basicsr_ext as bx
        >>> from basicsr_ext.archs.flexir_arch import FlexIR
        >>> net = FlexIR(upscale=1, window_size=4, depths=[1, 1], embed_dim=12, num_heads=[2, 2], img_size=8)
        >>> settings = bx.calibrate(net, [torch.rand(3, 16, 16)], budget=1.0, regions=2)
        >>> settings.pointer
        2
    """
    if not isinstance(net, ExitNetwork):
        raise OptionError('net', 'a network with exits, as FlexIR', type(net).__name__, 'Give another one.')
    check_budget(budget, 'budget')
    adaptive = inference.pop('adaptive', None) or {}
    observed = read_settings({**inference, 'adaptive': {**adaptive, 'threshold': 0}}, 'inference')
    queue = iter(images)
    first = next(queue, None)
    if first is None:
        raise DataError('images', 'at least one', 'none', 'Give images like those to be restored.')
    with evaluating(net):  # type: ignore[arg-type]
        costs = known_costs(net, first.shape[0], observed.grid(first.shape[1], first.shape[2]).region_size)
        observations = observe(net, chain([first], queue), observed, costs)
    judged = judge(observations, budget, adaptive.get('score'), adaptive.get('leave'))
    return choose(observations, observed, judged, observations.macs, budget, 'budget').inference
