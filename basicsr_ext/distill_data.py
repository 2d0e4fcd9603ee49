"""The data of the job `distill`: which real images are kept, from which the synthetic ones start, the real batches."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from basicsr.data import build_dataset
from torch import Tensor
from torch.utils.data import DataLoader

from basicsr_ext.data.degradation import DegradationDataset
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.sample import Sample, SampleDataset
from basicsr_ext.data.wrapper import innermost, scheduled
from basicsr_ext.distillation.composition import by_shares, distilled_number, kept_number
from basicsr_ext.distillation.degradation import Degrade
from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.export_patches import PatchSource
from basicsr_ext.options import Options
from basicsr_ext.selection.manifest import read_manifest
from basicsr_ext.training.loader import prepare_worker
from basicsr_ext.training.schedule import ScheduledIndex, ScheduledSampler


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
        degrade: makes the input of clean images; None with a learned degradation.

    Raises:
        OptionError: more images asked for than there are, a ranking without such a column, a degradation that is not
            known.
        DataError: the ranking is of other images.
    """

    def __init__(self, opt: Options, settings: DistillSettings) -> None:
        block = opt['datasets']['train']
        self.seed, self.settings, self.workers = opt['manual_seed'], settings, block.get('num_worker_per_gpu', 0)
        self.train = scheduled(build_dataset(block))
        self.items = inventory(self.train)
        self.degrade = _known_degradation(self.train) if settings.degradation == 'known' else None
        self.whole = PatchSource(scheduled(build_dataset({**block, 'phase': 'val'})), with_lq=self.degrade is None)
        number = _numbered(len(self.items), settings)
        kept, order = kept_number(number, settings.kept), self._order()
        self.kept, self.started = order[:kept], order[kept:number]

    def _order(self) -> list[int]:
        """Indices of the images, the first to take first."""
        if self.settings.manifest is None:
            return np.random.default_rng(self.seed).permutation(len(self.items)).tolist()
        try:
            manifest = read_manifest(os.path.expanduser(self.settings.manifest))
            column = manifest.column(self.settings.column)
        except DataError as error:
            raise DataError(f'distill.{error}') from error
        rows = manifest.rows_of(self.items, 'distill.manifest')
        listed = manifest.items()
        self.items = [replace(item, group=listed[row].group) for item, row in zip(self.items, rows, strict=True)]
        ranks, groups = [column[row] for row in rows], [item.group for item in self.items]
        if sorted(column) != list(range(1, len(column) + 1)):
            raise OptionError(
                f'distill.column: expected the ranks 1 to {len(column)}, each once, in {self.settings.column!r}, got '
                'others. Name a column of ranks.'
            )
        if self.settings.per_group and not any(groups):
            raise OptionError(
                f'distill.per_group: expected groups in {self.settings.manifest}, got none. Rank a dataset with '
                'groups, or remove per_group.'
            )
        return by_shares(ranks, groups if self.settings.per_group else [''] * len(ranks))

    def patches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A random training patch, input and clean, of each image from which a synthetic one starts."""
        for place, index in enumerate(self.started):
            yield self._pair(self.train[ScheduledIndex(index, self.seed, 0, place, warmup=False)])

    def batches(self, done: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The real batches, input and clean, of the matching steps after the first `done`."""
        size = self.settings.real_batch_size or self.settings.batch_size
        sampler = ScheduledSampler(
            len(self.train), size, self.seed, done, self.settings.steps, in_warmup=lambda iteration: False
        )
        loader: DataLoader[Sample] = DataLoader(
            self.train,  # type: ignore[arg-type]  # map-style, whatever its class
            batch_size=size,
            sampler=sampler,
            num_workers=self.workers,
            worker_init_fn=prepare_worker,
            generator=torch.Generator(),
        )
        for batch in loader:
            yield self._pair(batch)

    def _pair(self, sample: Sample) -> tuple[Tensor, Tensor]:
        if sample.get('gt') is None:
            raise DataError('datasets.train: expected samples with lq and gt, got no gt. Choose a dataset with pairs.')
        return sample['lq'], sample['gt']


def _numbered(count: int, settings: DistillSettings) -> int:
    try:
        return distilled_number(count, settings.size, settings.ratio)
    except OptionError as error:
        raise OptionError(f'distill.{error}') from error


def _known_degradation(dataset: SampleDataset) -> Degrade:
    reader: Any = innermost(dataset)
    if not isinstance(reader, DegradationDataset):
        raise OptionError(
            f'distill.degradation: expected learned for {type(reader).__name__}, which reads its input from files, got '
            'known. Change it, or name a dataset that degrades clean images.'
        )
    return reader.degrade
