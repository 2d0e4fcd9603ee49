"""Several datasets as one: all-in-one training over several degradations from one option file."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from basicsr.data import build_dataset
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.degradation_base import Filter
from basicsr_ext.data.nesting import readers, warmup_rule
from basicsr_ext.data.stock_files import files_of
from basicsr_ext.data.wrapper_base import ComposedDataset, count_distinct, scheduled
from basicsr_ext.errors import DataError, OptionError, shown
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.dataset_blocks import LOADER_KEYS, inner_blocks
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import Item

KEYS = ('lq', 'gt', 'lq_path', 'gt_path')  # of every sample: the samples of a batch have to have the same


@dataclass(frozen=True)
class AllInOneOptions:
    """The datasets that are put together.

    Attributes:
        datasets: group -> block of its dataset, ours, one of BasicSR's or a wrapper; with equal `gt_size`, scale and
            channels.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    datasets: dict[str, Any]
    phase: str = 'train'
    scale: int = 1

    def __post_init__(self) -> None:
        if not self.datasets:
            raise OptionError('datasets', 'a block a group', 'none', 'Add them.')
        for group in self.datasets:
            if not isinstance(group, str) or not group or '/' in group or group.startswith('.'):
                raise OptionError(
                    'datasets', 'names of groups, which become folders of paths', shown(group), 'Rename it.'
                )


@DATASET_REGISTRY.register()
class AllInOneDataset(ComposedDataset):
    """The union of several datasets, each a group of its own, such as a degradation.

    Items are those of the first dataset, then those of the second, and so on; a sample is the one that its dataset
    gives at the same moment of the training. In manifests the path of an image is `<group>/<path>` and the group stands
    in a column of its own, so that `per_group` of a selection gives every degradation its share. Name, phase and scale
    pass down.

    A group may be an AllInOneDataset itself: it is one group with one share, whatever it holds, and its images are
    `<group>/<group inside>/<path>`. Three levels of noise in a group `noise` thus count together as much as rain.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: `gt_size`, scale or number of channels differ between the groups, or one of them warms up.
        DataError: a dataset without items.

    Example:

    .. code-block:: yaml

        scale: 1
        datasets:
          train:
            name: rain-and-noise
            type: AllInOneDataset
            datasets:
              rain:
                type: PairedImageDataset
                dataroot_gt: datasets/Rain13K/target
                dataroot_lq: datasets/Rain13K/input
                io_backend:
                  type: disk
                gt_size: 128
                use_hflip: true
                use_rot: true
              noise25:
                type: GaussianDenoisingDataset
                dataroot_gt: datasets/DFWB
                sigma: 25
                gt_size: 128
    """

    Options = AllInOneOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt, self.where = opt, f'dataset {opt.get("name")}'
        options = read_block(AllInOneOptions, opt, self.where, ignore=LOADER_KEYS)
        self.groups = list(options.datasets)
        blocks = inner_blocks(opt, self.where)
        self._parts = [scheduled(build_dataset(block)) for block in blocks.values()]
        self.ends = list(accumulate(len(part) for part in self._parts))
        _refuse_different(dict(zip(self.groups, self._parts, strict=True)), self.where)
        for path, part in zip(blocks, self._parts, strict=True):
            if not len(part):
                raise DataError(f'{self.where}.{path}', 'at least one image', 'none', 'Correct its path.')
            if warmup_rule(part) is not None:
                raise OptionError(
                    f'{self.where}.{path}',
                    'no warm-up of one group, because one is for all samples of an iteration',
                    type(part).__name__,
                    'Put the AllInOneDataset inside the PixelShuffleWarmupDataset.',
                )

    @property
    def parts(self) -> Sequence[SampleDataset]:
        """The dataset of each group."""
        return self._parts

    def place(self, index: int) -> tuple[int, int]:
        """The number of the group of an item, and its index there.

        Raises:
            IndexError: there is no such item.
        """
        inside = range(len(self))[index]
        part = bisect_right(self.ends, inside)
        return part, inside - (self.ends[part - 1] if part else 0)

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Sample:
        part, inside = self._at(index)
        return self._common(part[inside])

    def inventory(self, inside: Sequence[Sequence[Item]]) -> list[Item]:
        """See `ComposedDataset`: paths begin with the group."""
        groups = zip(self.groups, inside, strict=True)
        return [replace(item, path=f'{group}/{item.path}', group=group) for group, items in groups for item in items]

    def distinct_items(self, epoch: int, begun: np.ndarray, epochs: float, seed: int) -> int:
        """See `ComposedDataset`."""
        bounds = zip(self.parts, [0, *self.ends], self.ends, strict=False)
        own = ((part, begun[(begun >= first) & (begun < end)] - first) for part, first, end in bounds)
        return sum(count_distinct(part, epoch, indices, epochs, seed) for part, indices in own)

    def patch(self, index: int, corner: tuple[int, int]) -> Sample:
        """The sample of a given patch; see `ReaderDataset.patch`."""
        part, inside = self._at(index)
        return self._common(part.patch(inside, corner))  # type: ignore[attr-defined]

    def _at(self, index: int) -> tuple[SampleDataset, int]:
        """The dataset of an item, and the index there at the same moment of the training."""
        part, inside = self.place(index)
        return self._parts[part], index.at(inside) if isinstance(index, ScheduledIndex) else inside

    def _common(self, sample: Sample) -> Sample:
        """The keys that the samples of all groups have."""
        missing = [key for key in KEYS if sample.get(key) is None]
        if missing:
            name = sample.get('gt_path', sample.get('lq_path', 'a sample'))
            raise DataError(
                self.where,
                f'{", ".join(KEYS)} in every sample',
                f'no {missing[0]} in {name}',
                'Choose datasets that give pairs.',
            )
        return {key: sample[key] for key in KEYS}

    def add_gt_filter(self, gt_filter: Filter) -> None:
        """Pass a filter of the clean images on to every dataset."""
        for part in self._parts:
            part.add_gt_filter(gt_filter)  # type: ignore[attr-defined]


def _refuse_different(parts: Mapping[str, SampleDataset], where: str) -> None:
    """Refuse parts that differ in what has to be equal for the samples of a batch to be stacked."""
    found: dict[str, dict[Any, str]] = {
        'gt_size': {},
        'scale': {},
        'number of channels': {},
        'number of channels of inputs': {},
    }
    for group, part in parts.items():
        for reader in readers(part):
            found['gt_size'].setdefault(reader.opt.get('gt_size'), group)
            found['scale'].setdefault(reader.opt.get('scale', 1), group)
            found['number of channels'].setdefault(files_of(reader).channels, group)
            found['number of channels of inputs'].setdefault(files_of(reader).lq_channels, group)
    for what, groups in found.items():
        if len(groups) > 1:
            shown = ', '.join(f'{value} in {group}' for value, group in groups.items())
            raise OptionError(f'{where}.datasets', f'the same {what} in all groups', shown, 'Make them equal.')
