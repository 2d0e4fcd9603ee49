"""The patches of a manifest as images: which, under which names, cut from what."""

from pathlib import Path

import numpy as np

from basicsr_ext.data.from_manifest import dataset_of, index_of_places
from basicsr_ext.data.patch_source import PatchSource
from basicsr_ext.errors import refuse_if_any
from basicsr_ext.images.names import twins
from basicsr_ext.images.writers import check_names, new_images, output_paths
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.selection.manifest import Manifest
from basicsr_ext.selection.patches.choice import Keep, criterion_of, keep_patches


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
    with new_images(output, source.kinds, len(rows), int(size.max()) ** 2 * 3) as writers:
        for group in with_progress(groups, 'Writing', len(groups)):
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
    items = manifest.items()
    names = [item.name.replace('/', '_') for item in items]
    alike = twins(names, [item.path for item in items])
    refuse_if_any(alike, 'names that differ where / becomes _', 'Rename the images.', f'manifest {manifest.source}')
    return names
