"""Datasets around datasets: `dataset:` in an option block, over ours and over stock ones."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from basicsr.data import build_dataset
from torch.utils.data import Dataset

from basicsr_ext.data.degradation_base import Filter
from basicsr_ext.data.read_item import read_item
from basicsr_ext.data.reader_base import ReaderDataset
from basicsr_ext.errors import DataError
from basicsr_ext.options.dataset_blocks import inner_blocks
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.schedule.sampling import ScheduledIndex, ScheduledSampler, seeded_globals
from basicsr_ext.schedule.warmup import WarmupRule
from basicsr_ext.selection.manifest import Item


class ComposedDataset(Dataset[Sample], ABC):
    """Base of datasets whose items are those of datasets inside.

    Attributes:
        selects_anew: whether an item is another one of the datasets inside from epoch to epoch.
        rises: whether which one it is depends on the length of the run too.
    """

    opt: dict[str, Any]
    selects_anew: ClassVar[bool] = False
    rises: bool = False

    @property
    @abstractmethod
    def parts(self) -> Sequence[SampleDataset]:
        """The datasets inside."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def place(self, index: int) -> tuple[int, int]:
        """The part that an item is of, and its index there."""

    def reached(self, indices: Iterable[int]) -> list[tuple[SampleDataset, set[int]]]:
        """Every part with the indices of its items that some items are, at whatever time."""
        places = [self.place(index) for index in indices]
        return [(part, {own for which, own in places if which == number}) for number, part in enumerate(self.parts)]

    def inventory(self, inside: Sequence[Sequence[Item]]) -> list[Item]:
        """The images of the items, from those of each part; see `basicsr_ext.data.inventory`."""
        places = (self.place(index) for index in range(len(self)))
        return [inside[part][own] for part, own in places]

    def distinct_items(self, epoch: int, begun: np.ndarray, epochs: float, seed: int) -> int:
        """The number of different images that the epochs before one, and some items of that one, use.

        Args:
            epoch: the one that has begun, from 0.
            begun: the items that it has used.
            epochs: of the whole run, not rounded.
            seed: `manual_seed` of the run.
        """
        return len(self) if epoch else len(begun)

    def plan(self, sampler: ScheduledSampler) -> Sequence[str]:
        """The lines of the log, before training, about items that change."""
        return ()


class StockDataset(ComposedDataset):
    """Gives a dataset that is not ours its place in the schedule: its random numbers depend on the scheduled index."""

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset = dataset
        self.opt = getattr(dataset, 'opt', {})

    @property
    def parts(self) -> Sequence[SampleDataset]:
        """The one dataset."""
        return (self.dataset,)

    def place(self, index: int) -> tuple[int, int]:
        """See `ComposedDataset`."""
        return 0, index

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        with seeded_globals(index):
            sample: Sample = read_item(self.dataset, index)
            return sample

    def patch(self, index: int, corner: tuple[int, int]) -> Sample:
        """A patch of `gt_size` x `gt_size` pixels, y and x of which are given, cut from a pair of whole images.

        Raises:
            DataError: the sample has no clean image, or one that is too small.
        """
        sample = dict(self[index])
        where, size, scale = (
            sample.get('gt_path', f'sample {int(index)}'),
            self.opt['gt_size'],
            self.opt.get('scale', 1),
        )
        if sample.get('gt') is None:
            raise DataError(where, 'ground truth', 'none', 'Choose a dataset that gives gt.')
        for key, factor in (('lq', scale), ('gt', 1)):
            top, left, side = corner[0] // factor, corner[1] // factor, size // factor
            part = sample[key][:, top : top + side, left : left + side]
            if part.shape[1:] != (side, side):
                raise DataError(
                    where,
                    f'{side} x {side} pixels from ({top}, {left}) on in {key}',
                    f'an image of {tuple(sample[key].shape)}',
                    'Mine the dataset again.',
                )
            sample[key] = part
        return sample


class WrapperDataset(ComposedDataset):
    """Base of datasets that change what another dataset gives.

    The inner dataset is built from `opt['dataset']`; name, phase and scale pass down to it.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: `dataset` is missing, or holds keys that the loader reads.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        (block,) = inner_blocks(opt, f'dataset {opt.get("name", opt.get("type"))}').values()
        self.dataset = scheduled(build_dataset(block))

    changes_pixels: ClassVar[bool] = False  # whether `change` or a filter makes other images of the whole ones
    gives_patches: ClassVar[bool] = False  # whether items are parts of images, several of one image perhaps
    warmup: WarmupRule | None = None  # the iterations that `change` is for, if there are such

    @property
    def parts(self) -> Sequence[SampleDataset]:
        """The one dataset inside."""
        return (self.dataset,)

    def place(self, index: int) -> tuple[int, int]:
        """See `ComposedDataset`."""
        return 0, self.indices()[index]

    def reached(self, indices: Iterable[int]) -> list[tuple[SampleDataset, set[int]]]:
        """See `ComposedDataset`."""
        own = self.indices()
        return [(self.dataset, {own[index] for index in indices})]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.change(self.dataset[self.inner_index(index)], index)

    def patch(self, index: int, corner: tuple[int, int]) -> Sample:
        """The sample of a given patch; see `ReaderDataset.patch`."""
        sample = self.dataset.patch(self.inner_index(index), corner)  # type: ignore[attr-defined]
        return self.change(sample, index)

    def distinct_items(self, epoch: int, begun: np.ndarray, epochs: float, seed: int) -> int:
        """See `ComposedDataset`; around a selection that changes there is none that chooses itself."""
        if is_dynamic(self.dataset):
            return count_distinct(self.dataset, epoch, begun, epochs, seed)
        return super().distinct_items(epoch, begun, epochs, seed)

    def change(self, sample: Sample, index: int) -> Sample:
        """Change a sample of the inner dataset; a wrapper that changes something overrides this."""
        return sample

    def indices(self) -> Sequence[int]:
        """The items of the inner dataset that the items of this one are; a wrapper that selects overrides this."""
        return range(len(self.dataset))

    def inner_index(self, index: int) -> int:
        """The index of an item in the inner dataset, at the same moment of the training."""
        inner = self.indices()[index]
        return index.at(inner) if isinstance(index, ScheduledIndex) else inner

    def add_gt_filter(self, gt_filter: Filter) -> None:
        """Pass a filter of the clean images on to the dataset that reads them."""
        self.dataset.add_gt_filter(gt_filter)  # type: ignore[attr-defined]


def scheduled(dataset: SampleDataset) -> SampleDataset:
    """The dataset itself if it reads the scheduled index, else wrapped so that its randomness does."""
    return dataset if isinstance(dataset, ReaderDataset | ComposedDataset) else StockDataset(dataset)


def is_dynamic(dataset: SampleDataset) -> bool:
    """Whether a dataset, or one inside, selects anew in each epoch."""
    return isinstance(dataset, ComposedDataset) and (dataset.selects_anew or any(map(is_dynamic, dataset.parts)))


def count_distinct(dataset: SampleDataset, epoch: int, begun: np.ndarray, epochs: float, seed: int) -> int:
    """`ComposedDataset.distinct_items` of any dataset."""
    if isinstance(dataset, ComposedDataset):
        return dataset.distinct_items(epoch, begun, epochs, seed)
    return len(dataset) if epoch else len(begun)
