"""Processes that decode images beside the one that computes."""

import os
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from basicsr_ext.runtime import interrupt

_threads: list[int] = []


def _give_up_pool() -> None:
    _threads.append(cv2.getNumThreads())
    cv2.setNumThreads(1)


def _take_pool_again() -> None:
    cv2.setNumThreads(_threads.pop())


# A forked worker inherits OpenCV's pool without its threads, and would wait for them for ever.
os.register_at_fork(before=_give_up_pool, after_in_parent=_take_pool_again)


def prepare_worker(worker: int) -> None:
    """What every process that decodes images does first: one thread, and no signals but its own."""
    cv2.setNumThreads(1)  # workers are processes already; OpenCV's own threads would compete with them
    interrupt.detach()


def loader(dataset: Any, workers: int, **options: Any) -> DataLoader[Any]:
    """A DataLoader whose workers are prepared, and whose start draws no number that something else would have drawn.

    Args:
        dataset: map-style, whatever its class.
        workers: processes; 0 reads in this one.
        options: further arguments of `DataLoader`.
    """
    generator = torch.Generator()  # not the one that dropout uses
    return DataLoader(dataset, num_workers=workers, worker_init_fn=prepare_worker, generator=generator, **options)
