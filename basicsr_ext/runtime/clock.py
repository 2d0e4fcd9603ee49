"""Measuring how long work takes, on a GPU too."""

from time import perf_counter

import torch


def seconds() -> float:
    """The time when all work that was given to a GPU is done; differences of it count."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return perf_counter()
