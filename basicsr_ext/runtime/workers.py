"""Processes that decode images beside the one that computes."""

import ctypes
import os
import sys
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from basicsr_ext.runtime import interrupt

# Parameters of glibc's mallopt and what workers set them to, in bytes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**27
LARGEST = 2**25  # the most that glibc takes

_threads: list[int] = []


def _give_up_pool() -> None:
    _threads.append(cv2.getNumThreads())
    cv2.setNumThreads(1)


def _take_pool_again() -> None:
    cv2.setNumThreads(_threads.pop())


# A forked worker inherits OpenCV's pool without its threads, and would wait for them for ever.
os.register_at_fork(before=_give_up_pool, after_in_parent=_take_pool_again)


def prepare_worker(worker: int) -> None:
    """What every process that decodes images does first: one thread, memory of its own, no signals but its own."""
    cv2.setNumThreads(1)  # workers are processes already; OpenCV's own threads would compete with them
    _keep_memory()
    interrupt.detach()


def _keep_memory() -> None:
    """Keep what images leave behind for the next ones, up to 128 MiB.

    glibc gives it back to the system, and getting it again, page by page, takes as long as decoding does.
    """
    if sys.platform == 'linux':
        mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # other libraries of C than glibc have none
        if mallopt is not None:
            mallopt(M_TRIM_THRESHOLD, KEPT)
            mallopt(M_MMAP_THRESHOLD, LARGEST)


def loader(dataset: Any, workers: int, **options: Any) -> DataLoader[Any]:
    """A DataLoader whose workers are prepared, and whose start draws no number that something else would have drawn.

    Args:
        dataset: map-style, whatever its class.
        workers: processes; 0 reads in this one.
        options: further arguments of `DataLoader`.
    """
    generator = torch.Generator()  # not the one that dropout uses
    return DataLoader(dataset, num_workers=workers, worker_init_fn=prepare_worker, generator=generator, **options)
