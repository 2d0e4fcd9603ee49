"""What is chosen for the images that were found."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from basicsr_ext.errors import ImageError
from basicsr_ext.images.headers import header_size
from basicsr_ext.images.image_cache import SHARED_MEMORY
from basicsr_ext.jobs.init.parts import VALIDATION, Part, split
from basicsr_ext.jobs.init.photos import Folder, Photo, look, too_small
from basicsr_ext.jobs.init.request import Request
from basicsr_ext.jobs.init.tasks import NETS

MULTIPLE, LEAST = 8, 32  # of the sides of patches of the input, and the least side of a clean image, in pixels
SMALL = 20  # one image in so many may be smaller than a patch, and is left out
LARGE = 500_000  # pixels of an input that is restored in tiles
TILE = 256  # side of these, in pixels
CACHED = 2**30  # bytes of decoded images that are kept


@dataclass(frozen=True)
class Plan:
    """The images of each part, and how they are read.

    Attributes:
        request: what was asked for.
        parts: `train` and the keys of `VALIDATION` -> images.
        color: how the datasets read them.
        patch: side of the training patches in the clean images, in pixels.
        has_large: whether images are so large that they are restored in tiles.
        is_cached: whether the decoded images stay in memory.
        found: what there is, in lines.
    """

    request: Request
    parts: Mapping[str, Part]
    color: str
    patch: int
    has_large: bool
    is_cached: bool
    found: Sequence[str]

    @property
    def batch(self) -> int:
        """Samples of a step: a quarter where no GPU is visible, and more steps in the same time."""
        size = NETS[self.request.net].batch
        return size if torch.cuda.is_available() else size // 4

    @property
    def channels(self) -> int:
        """Of the images."""
        return 1 if self.color == 'gray' else 3

    def told(self) -> list[str]:
        """What was found and chosen, in lines."""
        numbers = ', '.join(f'{len(self.parts[key].photos)} {key}' for key in ('train', *VALIDATION))
        net, scale = self.request.net, f' x{self.request.scale}' if self.request.scale > 1 else ''
        level = f' ({self.request.task.level} {self.request.level})' if self.request.task.level else ''
        color = 'grey' if self.color == 'gray' else 'colour'
        return [
            *self.found,
            f'{self.request.task.name}{scale}{level} by {net} in {color}, patches of {self.patch} x {self.patch}, '
            f'batches of {self.batch}{"" if torch.cuda.is_available() else ", as no GPU is visible"}.',
            f'Images: {numbers}; no two of these share a file.',
        ]


def make_plan(request: Request) -> Plan:
    """Look at the folders and choose.

    Raises:
        DataError: too few images that can be used.
    """
    train = _look(request.folder, request.lq, request.scale, 'FOLDER')
    val = _look(request.val, request.val_lq, request.scale, '--val') if request.val else None
    target = _look(request.target, request.target_lq, request.scale, '--target') if request.target else None
    patch = _patch(train.photos, request)
    train = train.without(too_small(train.photos, patch))
    lqs = {'train': request.lq, 'val': request.val_lq, 'target': request.target_lq}
    parts = split(train, val, target, lqs)
    photos = parts['train'].photos
    is_grey = all(photo.is_grey for photo in photos) and not request.task.is_pairs
    color = 'gray' if is_grey and not NETS[request.net].only_color else 'rgb'
    every = [photo for part in parts.values() for photo in part.photos]
    found = [line for folder in (train, val, target) if folder is not None for line in folder.told()]
    unused = len(train.photos) - sum(len(part.photos) for part in parts.values() if part.root == train.root)
    if unused:
        found.append(f'{unused} of {train.root} are the same files as in --val or --target, and are not trained on.')
    return Plan(
        request,
        parts,
        color,
        patch,
        has_large=max(photo.height * photo.width for photo in every) > LARGE * request.scale**2,
        is_cached=not request.task.is_pairs and _fits_in_memory(photos, 1 if color == 'gray' else 3),
        found=found,
    )


def _look(root: str, lq: str | None, scale: int, where: str) -> Folder:
    folder = look(root, where)
    least = _multiple(LEAST, scale)
    unfit = too_small(folder.photos, least)
    if lq is not None:
        partners = {photo.path: _misfit(photo, lq, scale) for photo in folder.photos}
        unfit = {**{path: why for path, why in partners.items() if why}, **unfit}
    return folder.without(unfit)


def _misfit(photo: Photo, lq: str, scale: int) -> str:
    """Why BasicSR's PairedImageDataset would not find, or not take, the degraded image of a clean one; '' if it does.

    It looks for the name without folders directly in the folder, and ends names of a list at the first blank.
    """
    if '/' in photo.path:
        return 'in a folder below, where PairedImageDataset looks for no pairs'
    if len(photo.path.split(' ')) > 1:
        return 'a blank in the name, where PairedImageDataset ends it'
    path = os.path.join(lq, photo.path)
    if not os.path.isfile(path):
        return 'no degraded image of this name'
    try:
        height, width = header_size(path, path)
    except ImageError:
        return 'its degraded image is damaged'
    if (height * scale, width * scale) != (photo.height, photo.width):
        return f'{photo.height} x {photo.width} for a degraded {height} x {width}'
    return ''


def _patch(photos: Sequence[Photo], request: Request) -> int:
    """The side that the network is trained on at best, or what nearly all images have."""
    wanted = NETS[request.net].patch * request.scale
    sides = sorted(photo.side for photo in photos) or [wanted]
    step = MULTIPLE * request.scale
    return max(min(wanted, sides[len(sides) // SMALL]) // step * step, _multiple(LEAST, request.scale))


def _multiple(least: int, scale: int) -> int:
    """The least side that patches may have: so many pixels, and two steps of the input."""
    step = MULTIPLE * scale
    return max(-(-least // step), 2) * step


def _fits_in_memory(photos: Sequence[Photo], channels: int) -> bool:
    memory = shutil.disk_usage(SHARED_MEMORY).total // 2 if os.path.isdir(SHARED_MEMORY) else CACHED
    return sum(photo.height * photo.width * channels for photo in photos) <= min(CACHED, memory)


def as_option(path: str | os.PathLike[str], root: Path) -> str:
    """A path as an option file has it: relative to the current folder if it lies in it, else absolute."""
    absolute, start = os.path.abspath(root / path), os.path.abspath(root)
    if os.path.commonpath([absolute, start]) != start:
        return absolute
    inside = os.path.relpath(absolute, start).replace(os.sep, '/')
    return f'./{inside}' if inside.startswith('~') else inside
