"""The subsets of the influence paper: a part of a ranking of the training images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.checking import read_block
from basicsr_ext.data.degradation import LOADER_KEYS
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.mined_patch_dataset import MinedPatchDataset
from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.wrapper import WrapperDataset, layers
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.selection.manifest import Manifest, read_manifest
from basicsr_ext.selection.subsets import Subset, check_part, choose


@dataclass(frozen=True)
class InfluenceSubsetOptions:
    """What is chosen from a ranking.

    Attributes:
        manifest: the file that `basicsr-ext rank` wrote.
        dataset: the block of the dataset that was ranked.
        subset: `top`, `mid`, `bottom` or `random`; None with `range`.
        size: number of images.
        ratio: the same as a part of all images.
        range: first and last rank, both included, from 1.
        column: the ranks; `rank_<level>` for one level of a combined ranking.
        seed: of `random`.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    manifest: str
    dataset: dict[str, Any]
    subset: Subset | None = None
    size: int | None = None
    ratio: float | None = None
    range: list[int] | None = None
    column: str = 'rank'
    seed: int = 0
    phase: str = 'train'
    scale: int = 1

    def __post_init__(self) -> None:
        check_part(self.subset, self.size, self.ratio, self.range, self.seed)

    def choose(self, ranks: Sequence[int]) -> list[int]:
        """The rows of a ranking that these options ask for."""
        return choose(ranks, self.subset, size=self.size, ratio=self.ratio, range=self.range, seed=self.seed)


@DATASET_REGISTRY.register()
class InfluenceSubsetDataset(WrapperDataset):
    """Keep a part of a ranking: the top, middle or bottom K images of the influence paper (Sec. 4.2.1, Fig. 3).

    Items keep the order of the dataset inside, which has to hold exactly the images that were ranked, in a folder or an
    LMDB. An item is the sample that the dataset inside gives for the same image at the same moment of the training.

    Args:
        opt: the block of the option file: `manifest`, `dataset` and exactly one of `size`, `ratio` and `range`.

    Raises:
        OptionError: more images asked for than there are, or a column that holds no ranks.
        DataError: the manifest cannot be read, or was made from other images; names them.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400-mid20
            type: InfluenceSubsetDataset
            manifest: results/rank_IRCNN_BSD400/ranking.parquet
            subset: mid
            size: 20
            dataset:
              type: GaussianDenoisingDataset
              dataroot_gt: datasets/BSD400_gray
              color: gray
              sigma: 25
              gt_size: 128
    """

    Options = InfluenceSubsetOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        where = f'dataset {opt.get("name")}'
        options = read_block(InfluenceSubsetOptions, opt, where, ignore=LOADER_KEYS)
        super().__init__(opt)
        try:
            manifest = read_manifest(os.path.expanduser(options.manifest))
            chosen = set(options.choose(manifest.column(options.column)))
        except (DataError, OptionError) as error:
            raise type(error)(f'{where}.{error}') from error
        rows = _rows_of(self.dataset, manifest, where)
        self.chosen = [index for index, row in enumerate(rows) if row in chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def indices(self) -> Sequence[int]:
        """Which items of the dataset inside are kept, in ascending order."""
        return self.chosen


def _rows_of(dataset: SampleDataset, manifest: Manifest, where: str) -> list[int]:
    """The row of each image; explains itself when the items are not the images that were ranked."""
    if any(isinstance(layer, MinedPatchDataset) for layer in layers(dataset)):
        raise DataError(
            f'{where}.dataset: expected images, got the patches of a MinedPatchDataset. Put the InfluenceSubsetDataset '
            'inside the MinedPatchDataset.'
        )
    try:
        return manifest.rows_of(inventory(dataset), f'{where}.manifest')
    except DataError as error:
        if not any(isinstance(layer, InfluenceSubsetDataset) for layer in layers(dataset)):
            raise
        raise DataError(
            f'{where}.dataset: expected all images that were ranked, got those an InfluenceSubsetDataset inside has '
            f'chosen. Remove one of the two, or rank the chosen ones. ({error})'
        ) from error
