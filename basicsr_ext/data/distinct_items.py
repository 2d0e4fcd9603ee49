"""How many different items a training with a dynamic selection uses, and what it plans."""

from collections.abc import Iterator

import numpy as np

from basicsr_ext.data.all_in_one_dataset import AllInOneDataset
from basicsr_ext.data.dynamic_subset_dataset import DynamicSubsetDataset
from basicsr_ext.data.nesting import layers
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.schedule.sampling import ScheduledSampler


def dynamic_selections(dataset: SampleDataset) -> list[DynamicSubsetDataset]:
    """The wrappers of a training set that select anew in each epoch."""
    return [layer for layer in layers(dataset) if isinstance(layer, DynamicSubsetDataset)]


def distinct_items(dataset: SampleDataset, sampler: ScheduledSampler, iteration: int) -> int:
    """How many different items the first iterations use, over all ranks.

    It follows from the schedule alone, so that a resumed run counts what an uninterrupted one does.
    """
    epoch, begun = sampler.items_until(iteration)
    return _count(dataset, epoch, begun, sampler.epochs)


def _count(dataset: SampleDataset, epoch: int, begun: np.ndarray, epochs: float) -> int:
    """Of all epochs before one, and of some of its indices."""
    if isinstance(dataset, AllInOneDataset):
        bounds = zip(dataset.parts, [0, *dataset.ends], dataset.ends, strict=False)
        own = ((part, begun[(begun >= first) & (begun < end)] - first) for part, first, end in bounds)
        return sum(_count(part, epoch, indices, epochs) for part, indices in own)
    if isinstance(dataset, DynamicSubsetDataset):
        before = dataset.items_until(epoch, epochs)
        now = np.asarray(dataset.items_of(epoch, epochs))[begun]
        return len(np.union1d(before, now))
    if isinstance(dataset, WrapperDataset) and dynamic_selections(dataset):
        return _count(dataset.dataset, epoch, begun, epochs)  # none around a selection that changes chooses itself
    return len(dataset) if epoch else len(begun)


def plan(dataset: SampleDataset, sampler: ScheduledSampler) -> Iterator[str]:
    """A sentence about every dynamic selection: how many items, from where, and when it is at the top."""
    for selecting in dynamic_selections(dataset):
        selection = selecting.selection
        first = sampler.iteration_of(selection.top_epoch(sampler.epochs))
        reached = f'reached in iteration {first}' if first <= sampler.stop else 'not reached in this run'
        yield (
            f'Dynamic selection: {selection.size} of {len(selecting.dataset)} images an epoch, '
            f'{sampler.epochs:.2f} epochs, from quantile {selection.start:g} to the top, {reached}.'
        )
