"""Ways through datasets inside datasets: outermost to the ones that read files."""

from collections.abc import Iterable, Iterator

from basicsr_ext.data.wrapper_base import ComposedDataset, StockDataset, WrapperDataset
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.schedule.warmup import WarmupRule


def layers(dataset: SampleDataset) -> Iterator[SampleDataset]:
    """The dataset, those inside it, and so on to those that read the files."""
    yield dataset
    if isinstance(dataset, ComposedDataset):
        for part in dataset.parts:
            yield from layers(part)


def readers(dataset: SampleDataset) -> list[SampleDataset]:
    """The datasets that read the files."""
    return [layer for layer in layers(dataset) if not isinstance(layer, ComposedDataset)]


def innermost(dataset: SampleDataset) -> SampleDataset:
    """The dataset below all wrappers: the one that reads the files, or the one that puts several together."""
    while isinstance(dataset, WrapperDataset | StockDataset):
        dataset = dataset.dataset
    return dataset


def trace(dataset: SampleDataset, index: int) -> Iterator[tuple[SampleDataset, int]]:
    """An item: the dataset and the index, the one inside and the index there, and so on to where its file is read."""
    yield dataset, index
    while isinstance(dataset, ComposedDataset):
        part, index = dataset.place(index)
        dataset = dataset.parts[part]
        yield dataset, index


def source(dataset: SampleDataset, index: int) -> tuple[SampleDataset, int]:
    """The dataset that reads the file of an item, and the index there."""
    *_, (reader, place) = trace(dataset, index)
    return reader, place


def pixels_are_changed(dataset: SampleDataset, index: int) -> bool:
    """Whether a wrapper does more to a whole image than to choose it."""
    return any(isinstance(layer, WrapperDataset) and layer.changes_pixels for layer, _ in trace(dataset, index))


def warmup_rule(dataset: SampleDataset) -> WarmupRule | None:
    """The rule of the wrapper that warms up, if there is one."""
    rules = (layer.warmup for layer in layers(dataset) if isinstance(layer, WrapperDataset))
    return next((rule for rule in rules if rule is not None), None)


def innermost_index(dataset: SampleDataset, index: int) -> int:
    """The index, in the dataset that `innermost` gives, of an item."""
    while isinstance(dataset, WrapperDataset | StockDataset):
        _, index = dataset.place(index)
        dataset = dataset.dataset
    return index


def used_items(
    dataset: SampleDataset, indices: Iterable[int] | None = None
) -> Iterator[tuple[SampleDataset, list[int]]]:
    """Every dataset that reads files, with the indices there of the images that are used at any time.

    Args:
        dataset: the outermost one.
        indices: the items to look at; None takes all.
    """
    indices = range(len(dataset)) if indices is None else indices
    if not isinstance(dataset, ComposedDataset):
        yield dataset, sorted(indices)
        return
    for part, own in dataset.reached(indices):
        yield from used_items(part, own)
