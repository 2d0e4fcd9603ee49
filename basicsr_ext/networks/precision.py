"""Whether this machine computes faster in bfloat16."""

import time
from functools import cache

import torch
from torch import nn

WORTH = 0.7  # of the time in float32
TIMES = 3


@cache
def is_fast_in_bfloat16() -> bool:
    """Whether convolutions as in restoration networks take at most 0.7 of the time in bfloat16, here and now.

    Processors with AMX or AVX512-BF16 and GPUs of NVIDIA from Ampere on do; others emulate it, and are slower.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    layers = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1, device=device) for _ in range(4)))
    images = torch.rand(4, 64, 48, 48, device=device)
    seconds = {}
    for enabled in (False, True):
        with torch.autocast(device, torch.bfloat16, enabled):
            seconds[enabled] = min(_seconds(layers, images) for _ in range(TIMES))
    return seconds[True] < WORTH * seconds[False]


def _seconds(layers: nn.Module, images: torch.Tensor) -> float:
    began = time.perf_counter()
    layers(images).sum().backward()
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began
