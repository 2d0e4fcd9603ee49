"""Datasets around datasets: `dataset:` in an option block, over ours and over stock ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from basicsr.data import build_dataset
from torch.utils.data import Dataset

from basicsr_ext.data.degradation import LOADER_KEYS, DegradationDataset, Filter
from basicsr_ext.data.sample import Sample, SampleDataset
from basicsr_ext.errors import OptionError
from basicsr_ext.training.schedule import seeded_globals

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

    def __len__(self) -> int:
        return len(self.dataset)

    def indices(self) -> Sequence[int]:
        """Which items of the inner dataset the items of this one are; one that selects overrides this."""
        return range(len(self.dataset))

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


def innermost(dataset: SampleDataset) -> SampleDataset:
    """The dataset that reads the files."""
    while isinstance(dataset, WrapperDataset | StockDataset):
        dataset = dataset.dataset
    return dataset
