"""Decoded images in shared memory: one copy for all workers of a process."""

import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from basicsr_ext.errors import DataError
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.runtime.progress import with_progress

SHARED_MEMORY = '/dev/shm'


class ImageCache:
    """All images of `files`, decoded once and kept as uint8 in one block of shared memory.

    The block is shared with worker processes, whether they are forked or spawned. Each rank of a distributed run has
    its own.

    Args:
        files: the images.

    Raises:
        DataError: an image is damaged, or shared memory is too small (in containers it often is 64 MB).
    """

    def __init__(self, files: ImageFiles) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self.shapes = [(*size, files.channels) for size in pool.map(files.size, range(len(files)))]
            ends = np.cumsum([math.prod(shape) for shape in self.shapes])
            self.starts = [0, *ends[:-1].tolist()]
            self.block = _allocate(int(ends[-1]))
            decoded = pool.map(files.decode, range(len(files)))
            for index, image in enumerate(with_progress(decoded, 'Decoding into shared memory', len(files))):
                if image.shape != self.shapes[index]:  # a rotation in the EXIF header swaps the sides
                    self.shapes[index] = image.shape
                self[index][...] = image

    def __getitem__(self, index: int) -> np.ndarray:
        """The image as a view of the shared block: H x W x C, uint8; do not write to it."""
        shape = self.shapes[index]
        start = self.starts[index]
        return self.block[start : start + math.prod(shape)].numpy().reshape(shape)


def _allocate(size: int) -> torch.Tensor:
    free = shutil.disk_usage(SHARED_MEMORY).free if os.path.isdir(SHARED_MEMORY) else None
    if free is not None and size > free:
        raise DataError(
            'cache',
            f'{size / 2**20:.0f} MB of free shared memory',
            f'{free / 2**20:.0f} MB in {SHARED_MEMORY}',
            'Set cache: false or give the container more (docker run --shm-size).',
        )
    return torch.empty(size, dtype=torch.uint8).share_memory_()
