"""A part of a ranking of the training images: the subsets of the influence paper, the static selection of TripleD."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.ranked_images import RankedImages
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import OptionError
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.selection.subsets.choose import Subset, check_part, choose


@dataclass(frozen=True)
class InfluenceSubsetOptions:
    """The choice from a ranking.

    Attributes:
        manifest: the file that `basicsr-ext rank` wrote.
        dataset: the block of the dataset that was ranked.
        subset: `top`, `mid`, `bottom` or `random`; None with `range`.
        size: number of images.
        ratio: the same as a part of all images, rounded up.
        range: first and last rank, both included, from 1.
        column: the ranks; `rank_<level>` for one level of a combined ranking.
        seed: of `random`.
        per_group: choose in every group of the ranking on its own, with equal quotas (see `quotas`).
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    manifest: str
    dataset: DatasetBlock
    subset: Subset | None = None
    size: int | None = None
    ratio: float | None = None
    range: list[int] | None = None
    column: str = 'rank'
    seed: int = 0
    per_group: bool = False
    phase: str = 'train'
    scale: int = 1

    def __post_init__(self) -> None:
        check_part(self.subset, self.size, self.ratio, self.range, self.seed, self.per_group)

    def choose(self, ranks: Sequence[int], groups: Sequence[str] | None) -> list[int]:
        """The rows of a ranking that these options ask for."""
        part = {'size': self.size, 'ratio': self.ratio, 'range': self.range}
        return choose(ranks, self.subset, **part, seed=self.seed, groups=groups)  # type: ignore[arg-type]


@DATASET_REGISTRY.register()
class InfluenceSubsetDataset(WrapperDataset):
    """Keep a part of a ranking: the top, middle or bottom K images of the influence paper (Sec. 4.2.1, Fig. 3).

    Any ranking will do; the top of one by complexity is the static selection of TripleD, with `per_group: true` an
    equal share of every degradation.

    Items keep the order of the dataset inside, which has to hold exactly the images that were ranked, in a folder or an
    LMDB. An item is the sample that the dataset inside gives for the same image at the same moment of the training.

    Args:
        opt: the block of the option file: `manifest`, `dataset` and exactly one of `size`, `ratio` and `range`.

    Raises:
        OptionError: more images asked for than there are, or a column that holds no ranks.
        DataError: the manifest cannot be read, has no groups, or was made from other images; names them.

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
        ranked = RankedImages(
            self.dataset, options.manifest, options.column, options.per_group, 'InfluenceSubsetDataset', where
        )
        try:
            self.chosen = ranked.indices(options.choose(ranked.ranks, ranked.groups))
        except OptionError as error:
            raise OptionError(f'{where}.{error}') from error

    def __len__(self) -> int:
        return len(self.chosen)

    def indices(self) -> Sequence[int]:
        """The items of the dataset inside that are kept, in ascending order."""
        return self.chosen
