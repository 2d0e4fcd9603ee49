"""The dynamic selection of TripleD: every epoch another part of a ranking, up to its top; or a random one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.ranked_images import RankedImages
from basicsr_ext.data.subset_base import SubsetDataset, SubsetOptions
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.schedule.sampling import ScheduledIndex, ScheduledSampler
from basicsr_ext.selection.subsets.dynamic import START, UNTIL, DynamicSelection, check_bar
from basicsr_ext.selection.subsets.quotas import size_or_ratio
from basicsr_ext.selection.subsets.random_parts import RandomSelection


@dataclass(frozen=True)
class DynamicSubsetOptions(SubsetOptions):
    """Options beyond those of `SubsetOptions`: how the part rises.

    Attributes:
        size: number of images in each epoch.
        order: `rising` through the ranking to its top, or `random`, another part in each epoch.
        start: quantile of the first epoch; 1 is the most complex image; with `order: rising`.
        until: part of the run after which the quantile is 1; with `order: rising`.
    """

    order: Literal['rising', 'random'] = 'rising'
    start: float = START
    until: float = UNTIL

    def __post_init__(self) -> None:
        size_or_ratio(self.size, self.ratio)
        check_bar(self.start, self.until)
        if self.order == 'random' and (self.start, self.until) != (START, UNTIL):
            raise OptionError('order', 'rising with start and until', 'random', 'Remove them, or change it.')
        if self.phase != 'train':
            raise OptionError(
                'type',
                f'{self.type} in datasets.train of a training',
                f'phase {shown(self.phase)}, which has no epochs',
                'Name the dataset inside, or InfluenceSubsetDataset with subset: top.',
            )


@DATASET_REGISTRY.register()
class DynamicSubsetDataset(SubsetDataset):
    """Train on a part of a ranking that rises to its top from epoch to epoch: TripleD (Sec. 3), dynamic selection.

    An epoch has M images: those ranked just below the quantile q(e) = q0 + (1 - q0) min(1, e / (rho E)) in epoch e of
    E, with q0 = `start` and rho = `until` (see `DynamicSelection`, which also says what `per_group` does). From q = 1
    on they are the images of InfluenceSubsetDataset with `subset: top`. Item i of an epoch is the i-th of its images in
    the order of the dataset inside.

    With `order: random`, the baseline, they are M random ones instead, which depend on `manual_seed` and the epoch
    alone; of the ranking only the groups matter then.

    The training loop of this package says with each index in which epoch its sample stands, so that the images are the
    same for any number of workers, processes and resumes; it logs how many different ones have been used.

    Args:
        opt: the block of the option file: `manifest`, `dataset` and exactly one of `size` and `ratio`.

    Raises:
        OptionError: more images asked for than there are, or a column that holds no ranks.
        DataError: the manifest cannot be read, has no groups, or was made from other images; names them.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400-dynamic2
            type: DynamicSubsetDataset
            manifest: results/rank_complexity_entropy_BSD400/ranking.parquet
            size: 8  # or ratio: 0.02
            start: 0.5
            until: 0.5
            dataset:
              type: GaussianDenoisingDataset
              dataroot_gt: datasets/BSD400
              sigma: 25
              gt_size: 128
    """

    Options = DynamicSubsetOptions
    selects_anew = True

    def choose(self, options: DynamicSubsetOptions, ranked: RankedImages) -> None:
        """See `SubsetDataset`."""
        self.ranked, self.rises = ranked, options.order == 'rising'
        part = ranked.ranks, options.size, options.ratio, ranked.groups
        self.selection: DynamicSelection | RandomSelection = (
            DynamicSelection(*part, options.start, options.until) if self.rises else RandomSelection(*part)
        )
        self._latest: tuple[tuple[int, float, int], list[int]] = (-1, 0.0, 0), []

    def __len__(self) -> int:
        return self.selection.size

    def inner_index(self, index: int) -> int:
        """The item of the dataset inside that an item is in the epoch of the index.

        Raises:
            OptionError: the index does not say its epoch.
        """
        if not isinstance(index, ScheduledIndex):
            raise OptionError(
                self.where,
                'an index that says its epoch',
                'a plain one: only the training loop of basicsr_ext knows it',
                'Run `python -m basicsr_ext train`, or use `from basicsr_ext.jobs.train import train_pipeline`; for '
                'anything but training name the dataset inside, or InfluenceSubsetDataset.',
            )
        return index.at(self.items_of(index.epoch, index.epochs, index.seed)[index])

    def items_of(self, epoch: int, epochs: float, seed: int) -> list[int]:
        """The items of the dataset inside that belong to an epoch of a run with a `manual_seed`, ascending."""
        moment = epoch, epochs, seed
        if self._latest[0] != moment:  # samples ask for the same epoch again and again
            self._latest = moment, self.ranked.indices(self.selection.rows(*moment))
        return self._latest[1]

    def items_until(self, epoch: int, epochs: float, seed: int) -> list[int]:
        """The items of the dataset inside that belong to any epoch before one, ascending."""
        return self.ranked.indices(self.selection.rows_until(epoch, epochs, seed))

    def indices(self) -> Sequence[int]:
        """Refuse: which item is which depends on the epoch.

        Raises:
            DataError: always.
        """
        raise DataError(
            self.where,
            'images that stay the same',
            'those of a DynamicSubsetDataset, which change from epoch to epoch',
            'Put it outside what needs them, or take InfluenceSubsetDataset.',
        )

    def reached(self, indices: Iterable[int]) -> list[tuple[SampleDataset, set[int]]]:
        """See `ComposedDataset`: all that any epoch can choose."""
        return [(self.dataset, set(self.ranked.indices(self.selection.rows_ever())))]

    def distinct_items(self, epoch: int, begun: np.ndarray, epochs: float, seed: int) -> int:
        """See `ComposedDataset`."""
        now = np.asarray(self.items_of(epoch, epochs, seed))[begun]
        return len(np.union1d(self.items_until(epoch, epochs, seed), now))

    def plan(self, sampler: ScheduledSampler) -> Sequence[str]:
        """See `ComposedDataset`."""
        part = f'{len(self)} of {len(self.dataset)} images per epoch, {sampler.epochs:.2f} epochs'
        if isinstance(self.selection, RandomSelection):
            return [f'Random selection: {part}, another part in each.']
        first = sampler.iteration_of(self.selection.top_epoch(sampler.epochs))
        reached = f'reached in iteration {first}' if first <= sampler.stop else 'not reached in this run'
        return [f'Dynamic selection: {part}, from quantile {self.selection.start:g} to the top, {reached}.']
