"""Units of work whose results are files: shared out between processes, stopped and continued at will."""

import io
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch.utils.data import Dataset

from basicsr_ext.errors import DataError
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.workers import loader

T = TypeVar('T')

DIGEST = 16  # bytes at the end of a file, behind those that NumPy reads


def in_units(number: int, size: int) -> list[range]:
    """The indices of so many images, in order, in units of a size, of which the last one may be smaller."""
    return [range(start, min(start + size, number)) for start in range(0, number, size)]


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
        missing = [unit for unit in own if self._known(unit) is None]
        total, left = (sum(len(self.units[unit]) for unit in units) for units in (own, missing))
        with Progress(title, total, total - left, hidden=rank > 0) as progress:
            for unit, found in zip(missing, _read(reader, missing, workers), strict=True):
                self._write(unit, finish(found))
                progress.update(len(self.units[unit]))
                if interrupt.requested():
                    break
        if distributed.any_rank(interrupt.requested()):
            raise interrupt.Interrupted

    def read(self, unit: int) -> np.ndarray:
        """The result of a unit that is computed.

        Raises:
            DataError: the file was changed since.
        """
        result = self._known(unit)
        if result is None:
            raise DataError(self._file(unit), 'what was written', 'another file', 'Run the job again.')
        return result

    def _known(self, unit: int) -> np.ndarray | None:
        """The result of a unit; None for one that is not there, or is damaged and has to be computed anew."""
        try:
            content = self._file(unit).read_bytes()
        except FileNotFoundError:
            return None
        written, digest = content[:-DIGEST], content[-DIGEST:]
        return np.load(io.BytesIO(written), allow_pickle=False) if digest == _digest(unit, written) else None

    def _file(self, unit: int) -> Path:
        return self.folder / f'{unit:06d}.npy'

    def _write(self, unit: int, result: np.ndarray) -> None:
        memory = io.BytesIO()
        np.save(memory, result, allow_pickle=False)
        written = memory.getvalue()
        with atomic_open(self._file(unit)) as file:
            file.write(written + _digest(unit, written))


def _digest(unit: int, content: bytes) -> bytes:
    return blake2b(content, digest_size=DIGEST, key=str(unit).encode()).digest()


def _read(reader: Dataset[T], units: Sequence[int], workers: int) -> Iterable[T]:
    if not workers or not units:
        return (reader[unit] for unit in units)
    return loader(reader, min(workers, len(units)), batch_size=None, sampler=units)
