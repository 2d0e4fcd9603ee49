"""The cost that settings really have."""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import cast

import torch
from torch import Tensor, nn

from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.restore import restore
from basicsr_ext.inference.settings import InferenceSettings


def realised_time(
    net: ExitNetwork,
    images: Iterable[Tensor],
    settings: InferenceSettings,
    clock: Callable[[], float] = perf_counter,
) -> float:
    """Restore images; returns milliseconds per megapixel of the input, reading them not included.

    Args:
        net: in evaluation mode.
        images: C x H x W, [0, 1].
        settings: how.
        clock: gives seconds.
    """
    module, seconds, pixels = cast(nn.Module, net), 0.0, 0
    for number, image in enumerate(images):
        for _ in range(2 if number == 0 else 1):  # the first image warms up
            start = clock()
            restore(module, image[None], settings)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken = clock() - start
        seconds, pixels = seconds + taken, pixels + image.shape[1] * image.shape[2]
    return seconds * 1e9 / pixels
