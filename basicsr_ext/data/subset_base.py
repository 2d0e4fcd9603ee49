"""The base of datasets that choose images of another one by a ranking."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from basicsr_ext.data.fit_images import suspect_images
from basicsr_ext.data.ranked_images import RankedImages
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import under
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.selection.subsets.quotas import Ratio, Size


@dataclass(frozen=True)
class SubsetOptions:
    """The ranking, and how much of it is taken.

    Attributes:
        manifest: the file that `basicsr-ext rank` wrote.
        dataset: the block of the dataset that was ranked.
        size: number of images.
        ratio: the same as a part of all images, rounded up.
        column: the ranks; `rank_<level>` for one level of a combined ranking.
        exclude: the file that `basicsr-ext audit` wrote of these images; suspect ones are left out before choosing, and
            the ranks of the rest close up.
        per_group: choose in every group of the ranking on its own, with equal quotas (see `quotas`).
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    manifest: str
    dataset: DatasetBlock
    size: Size | None = None
    ratio: Ratio | None = None
    column: str = 'rank'
    per_group: bool = False
    exclude: str | None = None
    phase: str = 'train'
    scale: int = 1


class SubsetDataset(WrapperDataset):
    """Choose from a ranking of the images of the dataset inside.

    Subclasses say with `Options` what they read from the option file and in `choose` what they do.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: more images asked for than there are, or a column that holds no ranks.
        DataError: the manifest cannot be read, has no groups, or was made from other images; names them.
    """

    Options: ClassVar[type[SubsetOptions]] = SubsetOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.where = f'dataset {opt.get("name")}'
        options = read_block(self.Options, opt, self.where, ignore=LOADER_KEYS)
        super().__init__(opt)
        kind = type(self).__name__
        ranked = RankedImages(self.dataset, options.manifest, options.column, options.per_group, kind, self.where)
        if options.exclude is not None:
            ranked.leave_out(suspect_images(self.dataset, options.exclude, self.where))
        with under(self.where):
            self.choose(options, ranked)

    @abstractmethod
    def choose(self, options: Any, ranked: RankedImages) -> None:
        """Choose.

        Args:
            options: as `Options`.
            ranked: the images of the dataset inside.

        Raises:
            OptionError: more images asked for than there are; the message starts with the key.
        """
