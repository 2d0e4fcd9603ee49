"""The data of the job `distill`: which real images are kept, from which the synthetic ones start, the real batches."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from torch import Tensor

from basicsr_ext.data.degradation_base import DegradationDataset
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.nesting import source
from basicsr_ext.data.patch_source import PatchSource
from basicsr_ext.data.ranked_images import RankedImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.distillation.composition import by_shares, distilled_number, kept_number
from basicsr_ext.distillation.degradation import Degrade
from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.errors import DataError, OptionError, under
from basicsr_ext.options.load import Options
from basicsr_ext.runtime.workers import loader
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.schedule.sampling import ScheduledIndex, ScheduledSampler
from basicsr_ext.training.building import build_dataset


class DistillData:
    """The training set in the two ways in which it is looked at: as training patches, and as whole images.

    Args:
        opt: completed options.
        settings: the block `distill`.

    Attributes:
        train: the dataset as training sees it.
        whole: its images as they are kept.
        items: its images, with the groups of the ranking.
        kept, started: indices of the images that are kept, and of those from which synthetic ones start.
        degrades: make the input of clean images, one an image; None with a learned degradation.

    Raises:
        OptionError: more images asked for than there are, or fewer than groups; a column that holds no ranks; a
            degradation that is not known.
        DataError: the ranking is of other images, or lacks a column.
    """

    def __init__(self, opt: Options, settings: DistillSettings) -> None:
        block = opt['datasets']['train']
        self.seed, self.settings, self.workers = opt['manual_seed'], settings, block.get('num_worker_per_gpu', 0)
        self.train = scheduled(build_dataset(block, 'datasets.train'))
        self.items = inventory(self.train)
        self.degrades = _known_degradations(self.train) if settings.degradation == 'known' else None
        self.whole = PatchSource(
            scheduled(build_dataset({**block, 'phase': 'val'}, 'datasets.train')), with_lq=self.degrades is None
        )
        order, groups = self._order()
        number = _numbered(len(order), settings, groups)
        kept = kept_number(number, settings.kept)
        self.kept, self.started = order[:kept], order[kept:number]

    def _order(self) -> tuple[list[int], int]:
        """Indices of the images, the first to take first, and how many groups get equal shares."""
        settings = self.settings
        if settings.manifest is None:
            return np.random.default_rng(self.seed).permutation(len(self.items)).tolist(), 1
        ranked = RankedImages(
            self.train, settings.manifest, settings.column, settings.per_group, 'selection', 'distill', 'datasets.train'
        )
        for item, index in zip(ranked.items, ranked.index_of, strict=True):
            self.items[index] = replace(self.items[index], group=item.group)
        groups = ranked.groups or [''] * len(ranked.ranks)
        return ranked.index_of[by_shares(ranked.ranks, groups)].tolist(), len(set(groups))

    def patches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A random training patch, input and clean, of each image from which a synthetic one starts."""
        for place, index in enumerate(self.started):
            yield self._pair(self.train[ScheduledIndex(index, self.seed, 0, place)])

    def batches(self, steps: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """The real batches, input and clean, of some matching steps, which are counted from 1."""
        for batch in loader(self.train, self.workers, batch_sampler=map(self._samples, steps)):
            yield self._pair(batch)

    def _samples(self, step: int) -> list[ScheduledIndex]:
        size = self.settings.real_batch_size or self.settings.batch_size
        sampler = ScheduledSampler(len(self.train), size, self.seed, step - 1, self.settings.steps)
        return list(islice(sampler, size))

    def _pair(self, sample: Sample) -> tuple[Tensor, Tensor]:
        if sample.get('gt') is None:
            raise DataError('datasets.train', 'samples with lq and gt', 'no gt', 'Choose a dataset with pairs.')
        return sample['lq'], sample['gt']


def _numbered(count: int, settings: DistillSettings, groups: int) -> int:
    with under('distill'):
        return distilled_number(count, settings.size, settings.ratio, groups)


def _known_degradations(dataset: SampleDataset) -> list[Degrade]:
    degrades: list[Degrade] = []
    for index in range(len(dataset)):
        reader, _ = source(dataset, index)
        if not isinstance(reader, DegradationDataset):
            raise OptionError(
                'distill.degradation',
                f'learned for {type(reader).__name__}, of which only the input is known, not how it is made',
                'known',
                'Change it, or name datasets that degrade clean images.',
            )
        degrades.append(reader.degrade)
    return degrades
