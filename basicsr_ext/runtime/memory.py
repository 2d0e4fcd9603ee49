"""How much memory a process has held."""

import sys

import torch

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]


def peak_memory() -> int | None:
    """The most bytes that tensors of this process held on the GPU, or the process in main memory where it used none.

    None where the system does not tell.
    """
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    if resource is None:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) if sys.platform == 'darwin' else 1024 * int(most)
