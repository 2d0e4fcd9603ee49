"""The same numbers whenever the same is computed, as far as the libraries of a GPU offer that."""

import os

import torch


def compute_repeatably(asked: bool, on_gpu: bool) -> None:
    """Choose algorithms whose results do not depend on the order in which threads of a GPU come to an end.

    Convolutions are deterministic by a setting of their own. The other operations, as the gradient of an interpolation,
    follow that of torch, with which those that have no such algorithm warn. On a CPU the number of threads decides.

    Args:
        asked: whether that is wanted; otherwise the fastest convolution is searched for each shape.
        on_gpu: whether the work is done on a GPU.
    """
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = asked, not asked
    if on_gpu:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # read when the first matrix product runs
        torch.use_deterministic_algorithms(asked, warn_only=True)
        setattr(torch.utils.deterministic, 'fill_uninitialized_memory', False)  # noqa: B010  finds errors, slowly
