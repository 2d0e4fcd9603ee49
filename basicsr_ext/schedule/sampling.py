"""Which sample is used when: the scheduled index, the sampler that yields it, and the randomness that depends on it.

A training sample is a pure function of (options, seed, iteration, position). The sampler writes the last three into the
index; whoever draws a random number for the sample asks `sample_rng` for a generator seeded by them. Batches are
therefore the same for any number of workers, and those of a resumed run are those of one that was never interrupted.
"""

import math
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler, get_worker_info


class ScheduledIndex(int):
    """An index into a dataset that knows when it will be used; stock datasets see a plain int.

    Attributes:
        seed: `manual_seed` of the run.
        iteration: optimiser step that will use the sample, counted from 1.
        position: place in the batch over all ranks and accumulation steps, counted from 0.
        warmup: whether the iteration belongs to a pixel-shuffled warm-up; None where nobody has planned one.
        epoch: in which the sample stands, counted from 0.
        epochs: of the whole run, not rounded; 0 outside of one.
    """

    seed: int
    iteration: int
    position: int
    warmup: bool | None
    epoch: int
    epochs: float

    def __new__(
        cls,
        value: int,
        seed: int,
        iteration: int,
        position: int,
        warmup: bool | None = None,
        epoch: int = 0,
        epochs: float = 0.0,
    ) -> 'ScheduledIndex':
        index = super().__new__(cls, value)
        index.seed, index.iteration, index.position, index.warmup = seed, iteration, position, warmup
        index.epoch, index.epochs = epoch, epochs
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (int(self), *self._moment())

    def moved(self, places: int) -> 'ScheduledIndex':
        """The same item and moment at another place of the batch, whose random numbers are others."""
        seed, iteration, position, warmup, epoch, epochs = self._moment()
        return type(self)(int(self), seed, iteration, position + places, warmup, epoch, epochs)

    def at(self, value: int) -> 'ScheduledIndex':
        """The same moment for another item: what a wrapper that selects items passes on."""
        return type(self)(value, *self._moment())

    def _moment(self) -> tuple[int, int, int, bool | None, int, float]:
        return self.seed, self.iteration, self.position, self.warmup, self.epoch, self.epochs


def samples_of_epoch(size: int, ratio: float) -> int:
    """The samples of an epoch in which each item of a dataset stands `dataset_enlarge_ratio` times, rounded up."""
    return math.ceil(size * ratio)


class ScheduledSampler(Sampler[ScheduledIndex]):
    """The samples of one rank for the iterations `start + 1` to `stop`.

    The stream of samples is a sequence of epochs, each a permutation drawn from (seed, epoch); iteration i takes the
    next `batch_size * world_size` of it. No sample is dropped: a batch may reach over the end of an epoch, so a dataset
    smaller than a batch works too. Ranks take consecutive parts of the batch, so that several processes see together
    exactly what one process sees with the whole batch.

    Args:
        size: length of the dataset.
        batch_size: samples a rank uses in one iteration, accumulation steps included.
        seed: `manual_seed`.
        start: iterations already done.
        stop: `total_iter`.
        rank: this process.
        world_size: number of processes.
        enlarge: `dataset_enlarge_ratio`, see `samples_of_epoch`.
        in_warmup: whether an iteration belongs to a warm-up, asked once an iteration, when its first sample is drawn;
            None where none is planned.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        start: int,
        stop: int,
        rank: int = 0,
        world_size: int = 1,
        enlarge: float = 1,
        in_warmup: Callable[[int], bool] | None = None,
    ) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.start, self.stop, self.rank, self.world_size = start, stop, rank, world_size
        self.epoch_size, self.in_warmup = samples_of_epoch(size, enlarge), in_warmup

    def __len__(self) -> int:
        return max(0, self.stop - self.start) * self.batch_size

    def __iter__(self) -> Iterator[ScheduledIndex]:
        permuted_epoch, order = -1, np.empty(0, dtype=np.int64)
        for iteration in range(self.start + 1, self.stop + 1):
            warmup = None if self.in_warmup is None else self.in_warmup(iteration)
            for place in range(self.batch_size):
                position = self.rank * self.batch_size + place
                sample = (iteration - 1) * self.batch_size * self.world_size + position
                epoch, offset = divmod(sample, self.epoch_size)
                if epoch != permuted_epoch:
                    permuted_epoch, order = epoch, self._permutation(epoch)
                yield ScheduledIndex(int(order[offset]), self.seed, iteration, position, warmup, epoch, self.epochs)

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(self.epoch_size) % self.size

    @property
    def epochs(self) -> float:
        """All epochs of the run, not rounded."""
        return self.stop * self.batch_size * self.world_size / self.epoch_size

    def items_until(self, iteration: int) -> tuple[int, np.ndarray]:
        """The items that the first iterations use, over all ranks: whole epochs, and those taken from the next one."""
        epoch, taken = divmod(iteration * self.batch_size * self.world_size, self.epoch_size)
        return epoch, np.unique(self._permutation(epoch)[:taken])

    def iteration_of(self, epoch: int) -> int:
        """The first iteration that uses a sample of an epoch."""
        return epoch * self.epoch_size // (self.batch_size * self.world_size) + 1

    def epoch_of(self, iteration: int) -> int:
        """The epoch, counted from 0, in which an iteration ends."""
        return max(0, iteration * self.batch_size * self.world_size - 1) // self.epoch_size


def sample_rng(index: int, purpose: str) -> np.random.Generator:
    """The random generator of one sample for one purpose (`'crop'`, `'noise'`, ...).

    Purposes have independent streams, so that adding a wrapper that draws numbers changes nothing else. For a plain
    int, as BasicSR's own loop gives, the generator is seeded from the global `random`, which BasicSR seeds in each
    worker.
    """
    if isinstance(index, ScheduledIndex):
        key = (index.seed, index.iteration, index.position, zlib.crc32(purpose.encode()))
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
    return np.random.Generator(np.random.PCG64(random.getrandbits(64)))


def name_rng(name: str, purpose: str) -> np.random.Generator:
    """The generator that belongs to a name: the noise of a validation image is the same in every run."""
    return np.random.default_rng((zlib.crc32(name.encode()), zlib.crc32(purpose.encode())))


@contextmanager
def seeded_globals(index: int) -> Iterator[None]:
    """Seed `random`, `numpy.random` and `torch` for one sample, and give back their states afterwards.

    Stock datasets draw from these globals. Their states are given back because with 0 workers the globals are also
    those of the training process; in a worker nobody else needs them. A plain int, as BasicSR's own loop gives, changes
    nothing.
    """
    if not isinstance(index, ScheduledIndex):
        yield
        return
    states = None
    if get_worker_info() is None:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    # A hash instead of `sample_rng`: building a NumPy generator takes longer than all of the rest.
    moment = f'{index.seed},{index.iteration},{index.position}'.encode()
    python_seed, numpy_seed, torch_seed = struct.unpack('<QIQ', blake2b(moment, digest_size=20).digest())
    random.seed(python_seed)
    np.random.seed(numpy_seed)
    torch.default_generator.manual_seed(torch_seed)
    try:
        yield
    finally:
        if states is not None:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])
