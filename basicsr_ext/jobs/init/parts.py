"""Which images train, which choose checkpoints, which selections aim at, and which are reported."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from basicsr_ext.errors import DataError
from basicsr_ext.jobs.init.photos import Folder, Photo

VALIDATION = ('val', 'val_target', 'val_report')  # in this order: the first one chooses checkpoints
SHARE, LEAST, MOST = 5, 3, 60  # one image in so many is set aside, and how many at least and at most
FEWEST = 4  # images that are left to train on


@dataclass(frozen=True)
class Part:
    """The images of a dataset.

    Attributes:
        root, lq: the folders with the clean images, and with the degraded ones where these are files.
        photos: the clean ones.
    """

    root: str
    lq: str | None
    photos: Sequence[Photo]


def split(train: Folder, val: Folder | None, target: Folder | None, lqs: Mapping[str, str | None]) -> dict[str, Part]:
    """Part the images, so that no two parts share a file.

    Images are dealt in the order of their digests, those of equal content together, so that the parts do not depend on
    names. Of images that several folders hold, the target keeps its own, then the validation.

    Args:
        train: the images to train on.
        val: those to validate on; None sets a part of `train` aside.
        target: those that selections aim at; None takes a third of the validation.
        lqs: `train`, `val`, `target` -> the folder with the degraded images.

    Returns:
        `train` and the keys of `VALIDATION` -> part.

    Raises:
        DataError: too few images are left for one of them.
    """
    aimed = _digests(target.photos) if target is not None else set()
    keys = VALIDATION if target is None else [key for key in VALIDATION if key != 'val_target']
    pool = [photo for photo in train.photos if photo.digest not in aimed]
    if val is None:
        number = min(max(len(pool) // SHARE, LEAST), MOST)
        groups = _first(_by_content(pool), number)
        root, lq, where = train.root, lqs['train'], 'FOLDER'
    else:
        groups = _by_content(photo for photo in val.photos if photo.digest not in aimed)
        root, lq, where = val.root, lqs['val'], '--val'
    if len(groups) < len(keys):
        raise DataError(
            where,
            f'at least {len(keys)} images of different content to validate on, which {" and ".join(keys)} share',
            f'{len(groups)}',
            'Add images.' if val is not None else 'Add images, or name others by --val.',
        )
    parts = {key: Part(root, lq, _flat(groups[place :: len(keys)])) for place, key in enumerate(keys)}
    if target is not None:
        parts['val_target'] = Part(target.root, lqs['target'], target.photos)
    held_out = {digest for part in parts.values() for digest in _digests(part.photos)}
    left = [photo for photo in train.photos if photo.digest not in held_out]
    if len(left) < FEWEST:
        raise DataError(
            'FOLDER',
            f'at least {FEWEST} images to train on that are not validated on',
            len(left),
            'Add images.',
        )
    return {'train': Part(train.root, lqs['train'], left), **{key: parts[key] for key in VALIDATION}}


def _digests(photos: Iterable[Photo]) -> set[str]:
    return {photo.digest for photo in photos}


def _by_content(photos: Iterable[Photo]) -> list[list[Photo]]:
    """The images in the order of their digests, those of equal content together."""
    groups: dict[str, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(photo.digest, []).append(photo)
    return [groups[digest] for digest in sorted(groups)]


def _first(groups: Sequence[list[Photo]], number: int) -> list[list[Photo]]:
    """The first groups, up to a number of images."""
    return list(_up_to(groups, number))


def _up_to(groups: Sequence[list[Photo]], number: int) -> Iterator[list[Photo]]:
    for group in groups:
        if number <= 0:
            return
        number -= len(group)
        yield group


def _flat(groups: Iterable[list[Photo]]) -> list[Photo]:
    """The images of several groups in the order of their paths."""
    return sorted((photo for group in groups for photo in group), key=lambda photo: photo.path)
