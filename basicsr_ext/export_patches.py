"""The patches of a manifest as images: which, under which names, cut from what."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from basicsr.utils import get_root_logger
from torch import Tensor
from tqdm import tqdm

from basicsr_ext.data.degradation import DegradationDataset
from basicsr_ext.data.image_files import decode_image, read_image, refuse_if_any
from basicsr_ext.data.mined_patch_dataset import criterion_of
from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper import readers, source
from basicsr_ext.errors import DataError
from basicsr_ext.export_images import check_names, new_images, output_paths
from basicsr_ext.manifest_data import dataset_of, index_of_places
from basicsr_ext.selection.manifest import Manifest
from basicsr_ext.selection.patch_choice import Keep, keep_patches
from basicsr_ext.training import interrupt

PAIR = {'gt_path', 'lq_path'}  # of an item of a dataset that reads its input from files
Images = dict[str, np.ndarray]  # GT and maybe LQ: (H, W, C), uint8, in OpenCV's order B, G, R or grey


def export_patches(
    manifest: Manifest,
    rows: np.ndarray,
    output: Path,
    dataroot: str | None = None,
    dataroot_lq: str | None = None,
    with_lq: bool = False,
) -> list[Path]:
    """Write patches as PNG images into a new folder or a new LMDB.

    Args:
        manifest: of patches.
        rows: of the patches to write.
        output: a folder, or an LMDB by its ending.
        dataroot, dataroot_lq: where the images are now, if they moved.
        with_lq: write the input too where the dataset makes it itself.

    Returns:
        The folders or LMDBs that were written.

    Raises:
        DataError: the dataset does not hold the images of the manifest, or one of them is damaged.
        OptionError: the output is there or cannot be written, or a folder is none of this dataset's.
        Interrupted: a stop was asked for; nothing is written.
    """
    names = _image_names(manifest)
    check_names(output, names)
    dataset = dataset_of(manifest, dataroot, dataroot_lq)
    index_of = index_of_places(manifest, dataset, '--dataroot' if dataroot else 'datasets.train')
    source = PatchSource(dataset, with_lq)
    images = manifest.image_of_rows()
    numbers = patch_numbers(images)
    columns = (manifest.array(name) for name in ('y', 'x', 'size'))
    y, x, size = (column[rows] for column in columns)
    groups = _groups(images[rows])
    bar = tqdm(groups, 'export', unit='image', leave=False, disable=None)
    with new_images(output, source.kinds, len(rows), int(size.max()) ** 2 * 3) as writers:
        for group in bar:
            if interrupt.requested():
                raise interrupt.Interrupted
            image = images[rows[group[0]]]
            boxes = [(int(y[place]), int(x[place]), int(size[place])) for place in group]
            patches = source.cut(index_of[image], boxes)
            for place, patch in zip(group, patches, strict=True):
                for kind, pixels in patch.items():
                    writers[kind].put(f'{names[image]}_s{numbers[rows[place]]:03d}', pixels)
    return list(output_paths(output, source.kinds).values())


def choose_patches(manifest: Manifest, keep: Keep, criterion: str | None, per_image: bool) -> np.ndarray:
    """The rows that a MinedPatchDataset of these options keeps, in ascending order.

    Raises:
        OptionError: `keep` or `criterion` does not fit; the message starts with its name.
    """
    scores = manifest.array(criterion_of(manifest, criterion))
    return keep_patches(scores, manifest.image_of_rows(), keep, per_image)


def patch_numbers(images: np.ndarray) -> np.ndarray:
    """The place of each patch among those of its image, from 1; `images` is a number for the image of each."""
    numbers = np.empty(len(images), int)
    for group in _groups(images):
        numbers[group] = np.arange(1, len(group) + 1)
    return numbers


def _groups(images: np.ndarray) -> list[np.ndarray]:
    """The places of equal numbers, each group in ascending order."""
    order = np.argsort(images, kind='stable')
    return np.split(order, np.flatnonzero(np.diff(images[order])) + 1)


def _image_names(manifest: Manifest) -> list[str]:
    """Names of the images without folders: BasicSR does not look into folders below."""
    names = [item.name.replace('/', '_') for item in manifest.items()]
    times = Counter(names)
    twice = [item.path for item, name in zip(manifest.items(), names, strict=True) if times[name] > 1]
    refuse_if_any(twice, 'names that differ where / becomes _', 'Rename the images.', f'manifest {manifest.source}')
    return names


class PatchSource:
    """Cuts patches out of the images of a dataset.

    Of BasicSR's datasets these are the pixels of the files. So they are of ours, where no wrapper changes them; else
    what the dataset gives in validation, rounded to 8 bits.

    Args:
        dataset: one that `inventory` accepts.
        with_lq: give the input too where the dataset makes it itself.

    Attributes:
        kinds: GT, and LQ where the dataset, or one of several in it, reads it from files or `with_lq` is set.
    """

    def __init__(self, dataset: SampleDataset, with_lq: bool) -> None:
        self.dataset, self.whole = dataset, WholeImages(dataset)
        self.scale = dataset.opt.get('scale', 1)
        self.kinds = ('GT', 'LQ') if with_lq or any(has_pairs(reader) for reader in readers(dataset)) else ('GT',)
        if any(self.whole.is_changed(index) for index in range(len(dataset))):
            get_root_logger().warning('A wrapper changes the pixels of the images: patches are rounded to 8 bits.')

    def cut(self, index: int, boxes: Sequence[tuple[int, int, int]]) -> Iterator[Images]:
        """The patches of an image, which is read once.

        Args:
            index: of the image.
            boxes: y, x and side of each patch in the ground truth.

        Raises:
            DataError: a damaged image, or one that ends before a patch does.
        """
        images = self.read(index)
        for y, x, size in boxes:
            patch = {}
            for kind, image in images.items():
                factor = self.scale if kind == 'LQ' else 1
                top, left, side = y // factor, x // factor, size // factor
                patch[kind] = image[top : top + side, left : left + side]
                if patch[kind].shape[:2] != (side, side):
                    raise DataError(
                        f'{self._path(index)}: expected {side} x {side} pixels from ({top}, {left}) on in its {kind}, '
                        f'got an image of {image.shape[0]} x {image.shape[1]}. Mine the dataset again.'
                    )
            yield patch

    def read(self, index: int) -> Images:
        """The whole images of an index, by kind.

        Raises:
            DataError: a damaged image, or a pair whose sizes do not belong together.
        """
        reader, place = source(self.dataset, index)
        reads_pairs = has_pairs(reader)
        if self.whole.is_changed(index) or ('LQ' in self.kinds and not reads_pairs):
            lq, gt, _ = self.whole.pair(index)
            return {kind: _as_8bit(image) for kind, image in zip(self.kinds, (gt, lq), strict=False)}
        if isinstance(reader, DegradationDataset):
            return {'GT': self.whole.clean(index)}
        # Also under `color: y`, which those who train on the patches set again.
        root, paths = self.whole.stock[id(reader)]
        images = {'GT': _pixels(root, paths[place])}
        if reads_pairs:
            entry: Any = reader.paths[place]  # type: ignore[attr-defined]
            images['LQ'] = _pixels(os.path.expanduser(reader.opt['dataroot_lq']), entry['lq_path'])
            sizes = [image.shape[:2] for image in images.values()]
            if sizes[0] != tuple(self.scale * side for side in sizes[1]):
                raise DataError(
                    f'{self._path(index)}: expected GT {self.scale} times as large as LQ, got {sizes[0]} and '
                    f'{sizes[1]}. Make the pair again.'
                )
        return images

    def _path(self, index: int) -> str:
        reader, place = source(self.dataset, index)
        if isinstance(reader, DegradationDataset):
            return reader.files.path(place)
        return self.whole.stock[id(reader)][1][place]


def has_pairs(reader: Any) -> bool:
    """Whether a dataset reads its input from files too."""
    entries = getattr(reader, 'paths', [])
    return bool(entries) and isinstance(entries[0], dict) and set(entries[0]) >= PAIR


def _pixels(root: str, path: str) -> np.ndarray:
    """Of a file, or of a key of the LMDB `root`."""
    image = decode_image(read_image(root, path), cv2.IMREAD_ANYCOLOR, path)
    return image if image.ndim == 3 else image[..., None]


def _as_8bit(image: Tensor) -> np.ndarray:
    """(C, H, W), RGB or grey, [0, 1], as (H, W, C) in OpenCV's order."""
    pixels = np.rint(image.numpy() * np.float32(255)).clip(0, 255).astype(np.uint8)
    return pixels.transpose(1, 2, 0)[..., ::-1]
