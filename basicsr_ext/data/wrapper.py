"""Datasets around datasets: `dataset:` in an option block, over ours and over stock ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from basicsr.data import build_dataset
from torch.utils.data import Dataset

from basicsr_ext.data.degradation import LOADER_KEYS, DegradationDataset, Filter
from basicsr_ext.data.sample import Sample, SampleDataset
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.training.schedule import ScheduledIndex, seeded_globals
from basicsr_ext.training.warmup import WarmupRule

INHERITED_KEYS = ('name', 'phase', 'scale')


class StockDataset(Dataset[Sample]):
    """Gives a dataset that is not ours its place in the schedule: its random numbers hang on the scheduled index."""

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset = dataset
        self.opt = getattr(dataset, 'opt', {})

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


class WrapperDataset(Dataset[Sample]):
    """Base of datasets that change what another dataset gives.

    The inner dataset is built from `opt['dataset']`; name, phase and scale pass down to it.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: `dataset` is missing, or holds keys that the loader reads.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        self.dataset = scheduled(build_dataset(inner_block(opt, f'dataset {opt.get("name", opt.get("type"))}')))

    changes_pixels: ClassVar[bool] = False  # whether `change` or a filter makes other images of the whole ones
    warmup: WarmupRule | None = None  # the iterations that `change` is for, if there are such

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


def inner_block(opt: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The block of the inner dataset with what it inherits.

    Raises:
        OptionError: it is missing or holds loader keys, which have to stand at the outermost level.
    """
    block = opt.get('dataset')
    if not isinstance(block, Mapping) or 'type' not in block:
        raise OptionError(f'{where}.dataset: expected a dataset block with a type, got {block!r}. Add it.')
    misplaced = [key for key in LOADER_KEYS if key in block]
    if misplaced:
        raise OptionError(
            f'{where}.dataset.{misplaced[0]}: expected only keys of the dataset, got one that the loader reads. '
            'Move it to the outermost level.'
        )
    return {**{key: opt[key] for key in INHERITED_KEYS if key in opt}, **block}


def scheduled(dataset: SampleDataset) -> SampleDataset:
    """The dataset itself if it reads the scheduled index, else wrapped so that its randomness does."""
    return dataset if isinstance(dataset, DegradationDataset | WrapperDataset | StockDataset) else StockDataset(dataset)


def layers(dataset: SampleDataset) -> Iterator[SampleDataset]:
    """The dataset, the one inside it, and so on to the one that reads the files."""
    yield dataset
    while isinstance(dataset, WrapperDataset | StockDataset):
        dataset = dataset.dataset
        yield dataset


def innermost(dataset: SampleDataset) -> SampleDataset:
    """The dataset that reads the files."""
    *_, reader = layers(dataset)
    return reader


def pixels_are_changed(dataset: SampleDataset) -> bool:
    """Whether a wrapper does more to whole images than to choose them."""
    return any(isinstance(layer, WrapperDataset) and layer.changes_pixels for layer in layers(dataset))


def warmup_rule(dataset: SampleDataset) -> WarmupRule | None:
    """The rule of the wrapper that warms up, if there is one."""
    rules = (layer.warmup for layer in layers(dataset) if isinstance(layer, WrapperDataset))
    return next((rule for rule in rules if rule is not None), None)


def innermost_index(dataset: SampleDataset, index: int) -> int:
    """The index, in the dataset that reads the files, of an item."""
    for layer in layers(dataset):
        index = layer.indices()[index] if isinstance(layer, WrapperDataset) else index
    return index


def used_indices(dataset: SampleDataset) -> list[int]:
    """The indices, in the dataset that reads the files, of the images that are used at all."""
    return sorted({innermost_index(dataset, index) for index in range(len(dataset))})
