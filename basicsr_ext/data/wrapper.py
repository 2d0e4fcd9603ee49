"""Datasets around datasets: `dataset:` in an option block, over ours and over stock ones."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from basicsr.data import build_dataset
from torch.utils.data import Dataset

from basicsr_ext.data.degradation import LOADER_KEYS, DegradationDataset, Filter
from basicsr_ext.data.sample import Sample, SampleDataset
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.training.schedule import ScheduledIndex, seeded_globals
from basicsr_ext.training.warmup import WarmupRule

INHERITED_KEYS = ('name', 'phase', 'scale')


class ComposedDataset(Dataset[Sample], ABC):
    """Base of datasets whose items are those of datasets inside."""

    opt: dict[str, Any]

    @property
    @abstractmethod
    def parts(self) -> Sequence[SampleDataset]:
        """The datasets inside."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def place(self, index: int) -> tuple[int, int]:
        """Which part an item is of, and its index there."""

    def reached(self, indices: Iterable[int]) -> list[tuple[SampleDataset, set[int]]]:
        """Every part with the indices of its items that some items are, at whatever time."""
        places = [self.place(index) for index in indices]
        return [(part, {own for which, own in places if which == number}) for number, part in enumerate(self.parts)]


class StockDataset(ComposedDataset):
    """Gives a dataset that is not ours its place in the schedule: its random numbers hang on the scheduled index."""

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
            return self.dataset[index]

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
            raise DataError(f'{where}: expected ground truth, got none. Choose a dataset that gives gt.')
        for key, factor in (('lq', scale), ('gt', 1)):
            top, left, side = corner[0] // factor, corner[1] // factor, size // factor
            part = sample[key][:, top : top + side, left : left + side]
            if part.shape[1:] != (side, side):
                raise DataError(
                    f'{where}: expected {side} x {side} pixels from ({top}, {left}) on in {key}, got an image of '
                    f'{tuple(sample[key].shape)}. Mine the dataset again.'
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
    warmup: WarmupRule | None = None  # the iterations that `change` is for, if there are such

    @property
    def parts(self) -> Sequence[SampleDataset]:
        """The one dataset inside."""
        return (self.dataset,)

    def place(self, index: int) -> tuple[int, int]:
        """See `ComposedDataset`."""
        return 0, self.indices()[index]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.change(self.dataset[self.inner_index(index)], index)

    def patch(self, index: int, corner: tuple[int, int]) -> Sample:
        """The sample of a given patch; see `DegradationDataset.patch`."""
        sample = self.dataset.patch(self.inner_index(index), corner)  # type: ignore[attr-defined]
        return self.change(sample, index)

    def change(self, sample: Sample, index: int) -> Sample:
        """What this wrapper does to a sample of the inner dataset: nothing, unless it overrides this."""
        return sample

    def indices(self) -> Sequence[int]:
        """Which items of the inner dataset the items of this one are; one that selects overrides this."""
        return range(len(self.dataset))

    def inner_index(self, index: int) -> int:
        """The index of an item in the inner dataset, at the same moment of the training."""
        inner = self.indices()[index]
        return index.at(inner) if isinstance(index, ScheduledIndex) else inner

    def add_gt_filter(self, gt_filter: Filter) -> None:
        """Pass a filter of the clean images on to the dataset that reads them."""
        self.dataset.add_gt_filter(gt_filter)  # type: ignore[attr-defined]


def inner_blocks(opt: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """The blocks of the datasets inside with what they inherit, by their paths: `dataset`, or `datasets.<group>`.

    Raises:
        OptionError: one is missing or holds loader keys, which have to stand at the outermost level.
    """
    inherited = {key: opt[key] for key in INHERITED_KEYS if key in opt}
    if not isinstance(opt.get('datasets'), Mapping):
        return {'dataset': {**inherited, **_checked_block(opt.get('dataset'), f'{where}.dataset')}}
    blocks = {}
    for group, block in opt['datasets'].items():
        named = {'name': f'{opt["name"]}.{group}'} if 'name' in opt else {}
        blocks[f'datasets.{group}'] = {**inherited, **named, **_checked_block(block, f'{where}.datasets.{group}')}
    return blocks


def _checked_block(block: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(block, Mapping) or 'type' not in block:
        raise OptionError(f'{where}: expected a dataset block with a type, got {block!r}. Add it.')
    misplaced = [key for key in LOADER_KEYS if key in block]
    if misplaced:
        raise OptionError(
            f'{where}.{misplaced[0]}: expected only keys of the dataset, got one that the loader reads. '
            'Move it to the outermost level.'
        )
    return block


def walk_blocks(block: dict[str, Any], where: str) -> Iterator[tuple[dict[str, Any], str]]:
    """A dataset block and all blocks inside it, each with its path."""
    yield block, where
    groups = block.get('datasets')
    inside = {f'datasets.{group}': inner for group, inner in groups.items()} if isinstance(groups, dict) else {}
    for path, inner in {**inside, 'dataset': block.get('dataset')}.items():
        if isinstance(inner, dict):
            yield from walk_blocks(inner, f'{where}.{path}')


def reader_blocks(block: dict[str, Any], where: str) -> list[tuple[dict[str, Any], str]]:
    """Those of the blocks that name files."""
    return [found for found in walk_blocks(block, where) if not {'dataset', 'datasets'} & set(found[0])]


def scheduled(dataset: SampleDataset) -> SampleDataset:
    """The dataset itself if it reads the scheduled index, else wrapped so that its randomness does."""
    return dataset if isinstance(dataset, DegradationDataset | ComposedDataset) else StockDataset(dataset)


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
