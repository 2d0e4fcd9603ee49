"""A part of a ranking of the training images: the subsets of the influence paper, the static selection of TripleD."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.ranked_images import RankedImages
from basicsr_ext.data.subset_base import SubsetDataset, SubsetOptions
from basicsr_ext.selection.subsets.choose import Subset, check_part, choose


@dataclass(frozen=True)
class InfluenceSubsetOptions(SubsetOptions):
    """Options beyond those of `SubsetOptions`: the part of the ranking.

    Attributes:
        subset: `top`, `mid`, `bottom` or `random`; None with `range`.
        range: first and last rank, both included, from 1; in place of `size` and `ratio`.
        seed: of `random`.
    """

    subset: Subset | None = None
    range: list[int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_part(self.subset, self.size, self.ratio, self.range, self.seed, self.per_group)

    def choose(self, ranks: Sequence[int], groups: Sequence[str] | None) -> list[int]:
        """The rows of a ranking that these options ask for."""
        part = {'size': self.size, 'ratio': self.ratio, 'range': self.range}
        return choose(ranks, self.subset, **part, seed=self.seed, groups=groups)  # type: ignore[arg-type]


@DATASET_REGISTRY.register()
class InfluenceSubsetDataset(SubsetDataset):
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

    def choose(self, options: InfluenceSubsetOptions, ranked: RankedImages) -> None:
        """See `SubsetDataset`."""
        self.chosen = array('q', ranked.indices(options.choose(ranked.ranks, ranked.groups)))

    def __len__(self) -> int:
        return len(self.chosen)

    def indices(self) -> Sequence[int]:
        """The items of the dataset inside that are kept, in ascending order."""
        return self.chosen
