"""The image files of a dataset: which there are, their bytes, their pixels."""

import io
import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr

from basicsr_ext.errors import DataError
from basicsr_ext.images.decoding import (
    IMAGE_SUFFIXES,
    decode_grey,
    decode_image,
    header_size,
    lmdb_content,
    read_image,
)

Color = Literal['gray', 'y', 'rgb']
Kind = Literal['gt', 'lq']  # of the images of an item: clean, and the input where it is a file too


class ImageFiles:
    """The images of a folder or of a BasicSR LMDB, sorted by name.

    Args:
        root: a folder, or a folder whose name ends in `.lmdb`.
        backend: `disk` or `lmdb`.
        meta_info_file: names relative to `root`, one a line, anything after a blank ignored, used in their order; None
            takes every image of the folder (not of folders below it, as BasicSR). Not for an LMDB.
        where: path of the block in the option file, named in errors.
        color: `rgb` for colours; `gray` for OpenCV's conversion of colour files; `y` for the BT.601 Y of a colour file
            as BasicSR computes it, and grey files as they are.

    Attributes:
        kinds: `gt` alone.
        channels: of decoded images, 1 or 3.
        exact: whether samples hold these pixels unless a wrapper changes them, and errors name the file.

    Raises:
        DataError: the folder is missing or empty, a listed file is missing or lies outside the folder.
    """

    kinds: tuple[Kind, ...] = ('gt',)
    exact = True

    def __init__(self, root: str, backend: str, meta_info_file: str | None, where: str, color: Color = 'rgb') -> None:
        self.root, self.backend, self.color = os.path.expanduser(root), backend, color
        self.channels = 3 if color == 'rgb' else 1
        if not os.path.isdir(self.root):
            raise DataError(f'{where}.dataroot_gt: expected a folder, got {root!r}. Correct the path.')
        if backend == 'lmdb':
            self.names = self._names_in_lmdb(where)
        elif meta_info_file is not None:
            self.names = self._names_in_meta_info(meta_info_file, where)
        else:
            entries = (e for e in os.scandir(self.root) if e.is_file() and not e.name.startswith('.'))
            names = (e.name for e in entries if e.name.lower().endswith(IMAGE_SUFFIXES))
            self.names = sorted(names, key=os.path.splitext)  # the order of the keys in an LMDB, which have no ending
        if not self.names:
            raise DataError(
                f'{where}.dataroot_gt: expected images ({" ".join(IMAGE_SUFFIXES)}), got none in {root!r}. '
                'Correct the path; folders below it are not searched.'
            )

    def _names_in_lmdb(self, where: str) -> list[str]:
        index = Path(self.root, 'meta_info.txt')
        if not index.is_file():
            raise DataError(f'{where}.dataroot_gt: expected a BasicSR LMDB with meta_info.txt, got {self.root!r}.')
        return sorted(os.path.splitext(line.split()[0])[0] for line in index.read_text().splitlines() if line.strip())

    def _names_in_meta_info(self, meta_info_file: str, where: str) -> list[str]:
        if not os.path.isfile(meta_info_file):
            raise DataError(f'{where}.meta_info_file: expected a file, got {meta_info_file!r}. Correct the path.')
        names = [line.split()[0] for line in Path(meta_info_file).read_text().splitlines() if line.strip()]
        root = Path(self.root).resolve()
        outside = [name for name in names if root not in Path(root, name).resolve().parents]
        missing = [name for name in names if name not in outside and not Path(root, name).is_file()]
        for problem, found in (('inside', outside), ('that exist in', missing)):
            if found:
                raise DataError(
                    f'{where}.meta_info_file: expected files {problem} {self.root!r}, got {len(found)} that are not: '
                    f'{", ".join(found[:5])}. Correct {meta_info_file}.'
                )
        return names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The name without its ending: the same on disk and in an LMDB."""
        return self.names[index] if self.backend == 'lmdb' else os.path.splitext(self.names[index])[0]

    def path(self, index: int) -> str:
        """The file of an image, or its key in the LMDB."""
        return self.names[index] if self.backend == 'lmdb' else os.path.join(self.root, self.names[index])

    def relative(self, index: int, kind: Kind = 'gt') -> str:
        """The path below the folder, with `/`; the key in an LMDB."""
        return self.names[index].replace(os.sep, '/')

    def listed(self, index: int) -> dict[Kind, str]:
        """The images of an item as `path` gives them, by kind."""
        return {'gt': self.path(index)}

    def sources(self) -> list[str]:
        """The files that hold all images."""
        if self.backend == 'lmdb':
            return [lmdb_content(self.root)]
        return [self.path(index) for index in range(len(self))]

    def read(self, index: int) -> bytes:
        """The encoded image.

        Raises:
            DataError: it cannot be read.
        """
        return read_image(self.root, self.path(index))

    def decode(self, index: int) -> np.ndarray:
        """The pixels of an image in `color`.

        Returns:
            (H, W, C) in OpenCV's order B, G, R or grey, uint8 in [0, 255].

        Raises:
            DataError: the file is not an image or is damaged.
        """
        flag = {'gray': cv2.IMREAD_GRAYSCALE, 'rgb': cv2.IMREAD_COLOR, 'y': cv2.IMREAD_ANYCOLOR}[self.color]
        image = decode_image(self.read(index), flag, self.path(index))
        if self.color == 'y' and image.ndim == 3:
            image = bgr2ycbcr(image, y_only=True)
        return image if image.ndim == 3 else image[..., None]

    def original(self, index: int, kind: Kind = 'gt') -> np.ndarray:
        """The pixels of an image as they are written anew, which are those of `decode`."""
        return self.decode(index)

    def grey(self, index: int) -> np.ndarray:
        """An image in grey, (H, W) uint8; see `decode_grey`.

        Raises:
            DataError: the file is not an image or is damaged.
        """
        return decode_grey(self.read(index), self.path(index))

    def size(self, index: int) -> tuple[int, int]:
        """Height and width, read from the file's header alone.

        Raises:
            DataError: the header is not that of an image.
        """
        source = self.path(index) if self.backend == 'disk' else io.BytesIO(self.read(index))
        return header_size(source, self.path(index))

    def sizes(self, index: int) -> dict[Kind, tuple[int, int]]:
        """The `size` of the images of an item, by kind."""
        return {'gt': self.size(index)}
