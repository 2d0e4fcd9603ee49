"""Sets of many small image files and of a few large ones, and rankings and patches of them, all made up."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from basicsr_ext.selection.manifest import Item, write_manifest, write_patch_manifest

CONTENTS = 300  # different small images, which many names share
SMALL = (40, 40)
LARGE = {'large': (1356, 2040), 'pairs': (2160, 3840)}  # height and width
PATCH, PER_IMAGE = 16, 4


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth grey image, (height, width) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image; what cannot be written is an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image):
        raise OSError(f'{path} cannot be written')


def small_name(number: int) -> str:
    """The file of a small image."""
    return f'{number:07d}.png'


def small_set(folder: Path, number: int) -> Path:
    """So many small images, hard links to a few hundred; made where they are not there yet."""
    images = folder / f'small_{number}'
    if images.is_dir():
        return images
    contents = [folder / 'contents' / f'{seed:03d}.png' for seed in range(CONTENTS)]
    for seed, path in enumerate(contents):
        if not path.is_file():
            write_png(path, picture(seed, *SMALL))
    unfinished = folder / f'.small_{number}'
    unfinished.mkdir(exist_ok=True)
    for place in range(len(os.listdir(unfinished)), number):
        os.link(contents[place % CONTENTS], unfinished / small_name(place))
    return unfinished.rename(images)


def large_set(folder: Path, kind: str, number: int) -> Path:
    """So many images of 2040 x 1356 pixels, or pairs of 3840 x 2160 in folders `gt` and `lq`."""
    root = folder / f'{kind}_{number}'
    for place in range(number):
        clean = picture(place, *LARGE[kind]) if not (root / 'gt' / f'{place:03d}.png').is_file() else None
        if clean is None:
            continue
        if kind == 'pairs':
            noise = np.random.default_rng(place).integers(-20, 21, clean.shape, dtype=np.int16)
            write_png(root / 'lq' / f'{place:03d}.png', np.clip(clean + noise, 0, 255).astype(np.uint8))
        write_png(root / 'gt' / f'{place:03d}.png', clean)
    return root


def other_set(folder: Path) -> Path:
    """Eight small images that are in no other set: for validation."""
    for place in range(8):
        path = folder / 'other' / f'{place}.png'
        if not path.is_file():
            write_png(path, picture(CONTENTS + place, *SMALL))
    return folder / 'other'


def items_of(number: int) -> Sequence[Item]:
    """The images of `small_set`, as an inventory has them."""
    return [Item(small_name(place), *SMALL) for place in range(number)]


def write_ranks(path: Path, number: int) -> None:
    """A ranking of a small set in a random order."""
    ranks = np.random.default_rng(0).permutation(number) + 1
    write_manifest(path, items_of(number), {'rank': ranks.tolist()}, {'method': 'made up'})


def write_patches(path: Path, number: int) -> None:
    """Four patches of each image of a small set, with a criterion."""
    corners = np.tile([[0, 0], [0, 24], [24, 0], [24, 24]], (number, 1))
    rows = len(corners)
    part = {
        'image': np.repeat(np.arange(number), PER_IMAGE),
        'y': corners[:, 0],
        'x': corners[:, 1],
        'size': np.full(rows, PATCH),
        'std': np.random.default_rng(0).random(rows),
    }
    write_patch_manifest(path, items_of(number), [part], {'method': 'made up'})
