"""Units of work whose results are files: shared out between processes, stopped and continued at will."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch.utils.data import Dataset
from tqdm import tqdm

from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.runtime.workers import loader

T = TypeVar('T')


class UnitFiles:
    """The results of units of images, a file each.

    A unit's file must not depend on who computes it or when, so that any number of processes, stopped and started at
    will, leave the same files.

    Args:
        folder: for the files.
        units: the images of each, by their index.
    """

    def __init__(self, folder: Path, units: Sequence[Sequence[int]]) -> None:
        self.folder, self.units = folder, units

    def compute(self, reader: Dataset[T], finish: Callable[[T], np.ndarray], workers: int, title: str) -> None:
        """Compute what is missing of this rank's part; when it returns on all ranks, all files are there.

        Args:
            reader: gives what is known of a unit by its number.
            finish: makes the unit's result of this, in this process.
            workers: processes that read; 0 reads in this one.
            title: of the progress bar.

        Raises:
            Interrupted: a stop was asked for; what is finished is written down.
        """
        rank, world = distributed.rank_and_world()
        own = range(rank, len(self.units), world)
        missing = [unit for unit in own if not self._file(unit).is_file()]
        total, left = (sum(len(self.units[unit]) for unit in units) for units in (own, missing))
        shown = None if rank == 0 else True
        with tqdm(total=total, initial=total - left, desc=title, unit='image', disable=shown) as bar:
            for unit, found in zip(missing, _read(reader, missing, workers), strict=True):
                self._write(unit, finish(found))
                bar.update(len(self.units[unit]))
                if interrupt.requested():
                    break
        if distributed.any_rank(interrupt.requested()):
            raise interrupt.Interrupted

    def read(self, unit: int) -> np.ndarray:
        """The result of a unit that is computed."""
        result: np.ndarray = np.load(self._file(unit))
        return result

    def _file(self, unit: int) -> Path:
        return self.folder / f'{unit:06d}.npy'

    def _write(self, unit: int, result: np.ndarray) -> None:
        with atomic_open(self._file(unit)) as file:
            file.write(content(result))


def content(array: np.ndarray) -> bytes:
    """An array as the bytes of a file in NumPy's format, whose own writing does not tell why it failed."""
    memory = io.BytesIO()
    np.save(memory, array, allow_pickle=False)
    return memory.getvalue()


def _read(reader: Dataset[T], units: Sequence[int], workers: int) -> Iterable[T]:
    if not workers or not units:
        return (reader[unit] for unit in units)
    return loader(reader, min(workers, len(units)), batch_size=None, sampler=units)
