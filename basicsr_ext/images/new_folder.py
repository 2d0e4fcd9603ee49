"""A result that is a plain folder of images as BasicSR reads it: `gt/`, `lq/` beside it, `meta_info.txt`."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from basicsr_ext.errors import refuse_if_any
from basicsr_ext.images.writers import FolderWriter
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.files import atomic_open, write_json

WRITTEN = ('gt', 'lq', 'meta_info.txt')
PLACED = 'placed.json'  # that these are of this result


class ImageFolder:
    """Writes the images, each by one of the ranks.

    Args:
        parts: where `gt/` and `lq/` are kept until all images are there.
        kinds: `gt`, and `lq`, `lq_2`, ... where there are such.

    Attributes:
        lines: of `meta_info.txt`; the first rank has to add those of all images, in their order.
    """

    def __init__(self, parts: Path, kinds: Sequence[str]) -> None:
        self.writers = {kind: FolderWriter(parts / kind) for kind in kinds}
        self.lines: list[str] = []

    def put(self, name: str, **images: np.ndarray) -> str:
        """Write the images of a name, (H, W, C) in OpenCV's order, `gt` among them; returns their line of the list."""
        for kind, image in images.items():
            self.writers[kind].put(name, image)
        return f'{name}.png ({",".join(map(str, images["gt"].shape))})\n'


def refuse_foreign(folder: Path, unfinished: Path, result: Path) -> None:
    """Check that the images will replace nothing but what a killed run of the same result has put there.

    Args:
        folder: of the result.
        unfinished: of its parts.
        result: the file that is written last; if it is there, nothing will be written.

    Raises:
        DataError: images or folders that something else has made.
    """
    if not result.is_file():
        _refuse_images(folder, unfinished)


def _refuse_images(folder: Path, unfinished: Path, kinds: Sequence[str] = ()) -> None:
    if not (unfinished / PLACED).is_file():
        names = list(dict.fromkeys([*WRITTEN, *kinds]))
        found = [name for name in names if os.path.lexists(folder / name)]
        refuse_if_any(found, f'none of {", ".join(names)}', 'Move them away, or give another name.', str(folder))


@contextmanager
def new_image_folder(folder: Path, unfinished: Path, kinds: Sequence[str]) -> Iterator[ImageFolder]:
    """A writer whose images appear in `folder` when the block ends without an error.

    What a run left there that was killed before it wrote its result is replaced; see `refuse_foreign`. Every rank has
    to come here, and to leave the block when all images are written.

    Args:
        folder: of the result.
        unfinished: of its parts.
        kinds: as in `ImageFolder`.

    Raises:
        DataError: images or folders that something else has made.
    """
    parts, is_first = unfinished / 'written', distributed.rank_and_world()[0] == 0
    if is_first:
        shutil.rmtree(parts, ignore_errors=True)
        for kind in kinds:
            (parts / kind).mkdir(parents=True)
    distributed.barrier()
    writer = ImageFolder(parts, kinds)
    yield writer
    if is_first:
        _place(writer, folder, unfinished, kinds)


def _place(writer: ImageFolder, folder: Path, unfinished: Path, kinds: Sequence[str]) -> None:
    _refuse_images(folder, unfinished, kinds)
    write_json(unfinished / PLACED, kinds)
    for kind in kinds:
        shutil.rmtree(folder / kind, ignore_errors=True)
        writer.writers[kind].path.rename(folder / kind)
    with atomic_open(folder / 'meta_info.txt', 'w') as file:
        file.writelines(writer.lines)
