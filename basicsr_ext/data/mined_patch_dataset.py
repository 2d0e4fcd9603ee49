"""The patches that a scan found informative, as a dataset."""

import copy
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.data.augmentation import draw_flips
from basicsr_ext.data.fit_images import places_of, suspect_images
from basicsr_ext.data.nesting import layers, readers, source
from basicsr_ext.data.reader_base import ReaderDataset
from basicsr_ext.data.stock_files import files_of
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock, registered
from basicsr_ext.options.dataset_blocks import LOADER_KEYS, reader_blocks
from basicsr_ext.schedule.sample import Sample
from basicsr_ext.selection.manifest import Manifest, read_manifest
from basicsr_ext.selection.patches.choice import check_keep, criterion_of, keep_patches

FEW = 30_000  # below that many patches the paper's networks overfit


@dataclass(frozen=True)
class MinedPatchOptions:
    """The choice of patches from a scan.

    Attributes:
        manifest: the file that `basicsr-ext mine` wrote.
        dataset: the block of the dataset that was mined, or of a part of it.
        keep: a ratio (0.5), a number of patches (80000), or a band of quantiles ([0.45, 0.95]) of the criterion.
        criterion: a column of the manifest; None takes its only criterion.
        per_image: choose in every image on its own instead of in all together.
        exclude: the file that `basicsr-ext audit` wrote of these images; patches of suspect ones are left out first.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    manifest: str
    dataset: DatasetBlock
    keep: float | int | list[float] = 0.5
    criterion: str | None = None
    per_image: bool = False
    exclude: str | None = None
    phase: str = 'train'
    scale: int = 1

    def __post_init__(self) -> None:
        check_keep(self.keep)


@DATASET_REGISTRY.register()
class MinedPatchDataset(WrapperDataset):
    """Train on the patches where a criterion is large: Soh and Cho (2021, Sec. VI), who discard half of all patches.

    An item is one kept patch, cut where it was mined, then flipped and degraded as the dataset inside does with its
    random crops; `use_hflip`, `use_vflip` and `use_rot` stand there. Of one of BasicSR's datasets the patch is cut from
    the pair that it gives outside training. The side of the patches replaces `gt_size` of the dataset inside.

    The manifest may list more images than the dataset inside has if a wrapper inside chooses them; then `keep` is a
    part of the patches of the chosen images.

    Args:
        opt: the block of the option file.

    Raises:
        OptionError: `keep` or `criterion` does not fit.
        DataError: the manifest cannot be read, or was made from other images; names them.

    Example:

    .. code-block:: yaml

        datasets:
          train:
            name: BSD400-mined
            type: MinedPatchDataset
            manifest: results/mine_BSD400/patches.parquet
            keep: 0.5
            dataset:
              type: GaussianDenoisingDataset
              dataroot_gt: datasets/BSD400
              sigma: 25
    """

    Options = MinedPatchOptions
    gives_patches = True

    def __init__(self, opt: dict[str, Any]) -> None:
        where = f'dataset {opt.get("name")}'
        options = read_block(MinedPatchOptions, opt, where, ignore=LOADER_KEYS)
        try:
            manifest = read_manifest(os.path.expanduser(options.manifest))
            if not manifest.holds_patches:
                raise DataError(
                    f'manifest {manifest.source}',
                    'patches',
                    'a ranking of images',
                    'Name a file that `basicsr-ext mine` wrote, or use InfluenceSubsetDataset.',
                )
            size = int(manifest.array('size')[0])
            super().__init__({**opt, 'dataset': _inner_block(options, size, where)})
            self.opt = opt
            if any(isinstance(layer, MinedPatchDataset) for layer in layers(self.dataset)):
                raise OptionError(
                    'dataset',
                    'whole images inside a MinedPatchDataset',
                    'another MinedPatchDataset',
                    'Remove one of the two.',
                )
            places = places_of(self.dataset, manifest, f'{where}.manifest')
            if options.exclude is not None:
                places[suspect_images(self.dataset, options.exclude, where)] = -1
            self.images, self.corners = _kept(manifest, options, places)
            for reader in readers(self.dataset):
                if 'lq' in files_of(reader).kinds:
                    _check_scale(self.corners, size, reader, manifest)
        except (DataError, OptionError) as error:
            text = str(error)
            raise type(error)(text if text.startswith(where) else f'{where}.{text}') from error
        self.is_train = options.phase == 'train'
        if len(self) < FEW:
            get_root_logger().warning(
                f'{where}: {len(self)} patches are kept; Soh and Cho (2021) saw EDSR overfit below {FEW:,}, and '
                'recommend 80,000 of DIV2K.'
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        inner = self.inner_index(index)
        top, left = self.corners[index].tolist()
        sample: Sample = self.dataset.patch(inner, (top, left))  # type: ignore[attr-defined]
        reader, _ = source(self.dataset, int(inner))
        if self.is_train and reader.opt.get('phase', 'train') != 'train':  # cut from a whole pair, see `_inner_block`
            flips = draw_flips(index, reader.opt.get('use_hflip', True), reader.opt.get('use_rot', True))
            sample.update({key: flips.of_tensor(sample[key]) for key in ('lq', 'gt')})
        return sample

    def indices(self) -> Sequence[int]:
        """The image of each patch, an index of the dataset inside."""
        return self.images


def _inner_block(options: MinedPatchOptions, size: int, where: str) -> dict[str, Any]:
    """The block of the dataset inside, so that it gives patches of this size."""
    block = copy.deepcopy(options.dataset)
    for reader, path in reader_blocks(block, f'{where}.dataset'):
        if reader.get('gt_size', size) != size:
            get_root_logger().warning(f'{where}: gt_size is {size}, as mined, instead of {reader["gt_size"]}.')
        reader['gt_size'] = size
        kind = registered(DATASET_REGISTRY, reader.get('type'), f'{path}.type')
        if options.phase == 'train' and not issubclass(kind, ReaderDataset):
            reader['phase'] = 'val'  # whole pairs, from which the patch is cut
    return block


def _kept(manifest: Manifest, options: MinedPatchOptions, places: np.ndarray) -> tuple['array[int]', np.ndarray]:
    """Image (an index of the dataset inside) and corner, (rows, 2), of each kept patch, without an object a row."""
    index_of = np.full(len(manifest.items()), -1)
    listed = places >= 0
    index_of[places[listed]] = np.flatnonzero(listed)
    images = index_of[manifest.image_of_rows()]
    rows = np.flatnonzero(images >= 0)
    scores = manifest.array(criterion_of(manifest, options.criterion))[rows]
    rows = rows[keep_patches(scores, images[rows], options.keep, options.per_image)]
    corners = np.stack([manifest.array(side)[rows] for side in ('y', 'x')], axis=1)
    return array('q', images[rows].astype(np.int64).tobytes()), corners.astype(np.int32)


def _check_scale(corners: np.ndarray, size: int, reader: Any, manifest: Manifest) -> None:
    """A patch of a pair has to have its part in the input."""
    scale = reader.opt.get('scale', 1)
    if size % scale or (corners % scale).any():
        raise DataError(
            'manifest',
            f'patches whose sides and positions scale {scale} divides, because {type(reader).__name__} reads pairs',
            f'others in {manifest.source}',
            'Mine this dataset with its scale.',
        )
