"""A dataset without the images that an audit found suspect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.fit_images import suspect_images
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS


@dataclass(frozen=True)
class FitImagesOptions:
    """Which images are left out.

    Attributes:
        exclude: the file that `basicsr-ext audit` wrote.
        dataset: the block of the dataset that was audited.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    exclude: str
    dataset: DatasetBlock
    phase: str = 'train'
    scale: int = 1


@DATASET_REGISTRY.register()
class FitImagesDataset(WrapperDataset):
    """Keep the images that an audit did not find suspect, in the order of the dataset inside.

    Args:
        opt: the block of the option file: `exclude` and `dataset`.

    Raises:
        DataError: the audit cannot be read or is one of other images; all images are suspect.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400-fit
            type: FitImagesDataset
            exclude: results/audit_BSD400/audit.parquet
            dataset:
              type: GaussianDenoisingDataset
              dataroot_gt: datasets/BSD400
              sigma: 25
              gt_size: 128
    """

    Options = FitImagesOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        where = f'dataset {opt.get("name")}'
        options = read_block(FitImagesOptions, opt, where, ignore=LOADER_KEYS)
        super().__init__(opt)
        self.kept: list[int] = np.flatnonzero(~suspect_images(self.dataset, options.exclude, where)).tolist()

    def __len__(self) -> int:
        return len(self.kept)

    def indices(self) -> Sequence[int]:
        """The items of the dataset inside that are kept, in ascending order."""
        return self.kept
