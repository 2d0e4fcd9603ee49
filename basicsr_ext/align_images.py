"""The folder that the job `align` writes: tuned images, and the inputs that belong to them."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from torch import Tensor
from tqdm import tqdm

from basicsr_ext.data.image_files import decode_image, read_image, refuse_if_any
from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.wrapper import readers, source
from basicsr_ext.distillation.tuned_images import TunedImages
from basicsr_ext.export_images import FolderWriter
from basicsr_ext.export_patches import has_pairs
from basicsr_ext.files import atomic_open
from basicsr_ext.selection.manifest import Item
from basicsr_ext.training import interrupt


def flat_names(items: Sequence[Item], where: str) -> list[str]:
    """Names without folders, as BasicSR looks for LQ in none, and without blanks, at which it ends a name.

    Args:
        items: the images.
        where: the dataset, named in errors.

    Raises:
        DataError: images that would get one name, or become hidden.
    """
    names = ['_'.join(item.name.replace('/', ' ').split()) for item in items]
    times = Counter(names)
    twice = [item.path for item, name in zip(items, names, strict=True) if times[name] > 1]
    refuse_if_any(twice, 'names that differ where / and blanks become _', 'Rename the images.', where)
    hidden = [item.path for item, name in zip(items, names, strict=True) if name.startswith('.')]
    refuse_if_any(hidden, 'images that are not hidden', 'Rename them.', where)
    return names


def write_aligned(
    tuned: TunedImages, dataset: SampleDataset, names: Sequence[str], folder: Path, unfinished: Path
) -> None:
    """Write `gt/`, `lq/` with the unchanged inputs where these are files, and `meta_info.txt`.

    Args:
        tuned: the images.
        dataset: that they are of.
        names: of the files, without ending.
        folder: of the result.
        unfinished: where the parts are kept until all are there.

    Raises:
        DataError: a damaged image.
        Interrupted: a stop was asked for; none of the folders is there.
    """
    parts, lines = unfinished / 'written', []
    shutil.rmtree(parts, ignore_errors=True)
    kinds = ('gt', 'lq') if any(has_pairs(reader) for reader in readers(dataset)) else ('gt',)
    writers = {kind: FolderWriter(parts / kind) for kind in kinds}
    for index, name in enumerate(tqdm(names, 'Writing', unit='image', leave=False, disable=None)):
        if interrupt.requested():
            raise interrupt.Interrupted
        pixels = _pixels(tuned[index])
        writers['gt'].put(name, pixels[..., ::-1])
        lines.append(f'{name}.png ({",".join(map(str, pixels.shape))})\n')
        reader, place = source(dataset, index)
        if has_pairs(reader):
            writers['lq'].put(name, _input(reader, place))
    for kind in kinds:
        shutil.rmtree(folder / kind, ignore_errors=True)  # of a run killed between here and the statistics
        (parts / kind).rename(folder / kind)
    with atomic_open(folder / 'meta_info.txt', 'w') as file:
        file.writelines(lines)


def _pixels(image: Tensor) -> np.ndarray:
    """(C, H, W), 8 bits in [0, 1], as (H, W, C), uint8."""
    pixels: np.ndarray = (image * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels


def _input(reader: SampleDataset, place: int) -> np.ndarray:
    """The LQ image of a pair of files, as it is."""
    path = cast(Any, reader).paths[place]['lq_path']
    content = read_image(os.path.expanduser(reader.opt['dataroot_lq']), path)
    return decode_image(content, cv2.IMREAD_UNCHANGED, path)
