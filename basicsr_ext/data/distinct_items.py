"""How many different items a training with a dynamic selection uses, and what it plans."""

from collections.abc import Iterator

from basicsr_ext.data.nesting import layers
from basicsr_ext.data.wrapper_base import ComposedDataset, count_distinct
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.schedule.sampling import ScheduledSampler


def distinct_items(dataset: SampleDataset, sampler: ScheduledSampler, iteration: int) -> int:
    """Count the different items that the first iterations use, over all ranks.

    It follows from the schedule alone, so that a resumed run counts what an uninterrupted one does.
    """
    epoch, begun = sampler.items_until(iteration)
    return count_distinct(dataset, epoch, begun, sampler.epochs, sampler.seed)


def plan(dataset: SampleDataset, sampler: ScheduledSampler) -> Iterator[str]:
    """A sentence about every dynamic selection: how many items, from where, and when it is at the top."""
    for layer in layers(dataset):
        if isinstance(layer, ComposedDataset):
            yield from layer.plan(sampler)
