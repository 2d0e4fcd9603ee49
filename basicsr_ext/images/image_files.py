"""The image files of a dataset: which there are, their bytes, their pixels."""

import io
import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr

from basicsr_ext.errors import DataError
from basicsr_ext.images.decoding import IMAGE_SUFFIXES, decode_grey, decode_image, header_size, read_image

Color = Literal['gray', 'y', 'rgb']


class ImageFiles:
    """The images of a folder or of a BasicSR LMDB, sorted by name.

    Args:
        root: a folder, or a folder whose name ends in `.lmdb`.
        backend: `disk` or `lmdb`.
        meta_info_file: names relative to `root`, one a line, anything after a blank ignored, used in their order; None
            takes every image of the folder (not of folders below it, as BasicSR). Not for an LMDB.
        where: path of the block in the option file, named in errors.

    Raises:
        DataError: the folder is missing or empty, a listed file is missing or lies outside the folder.
    """

    def __init__(self, root: str, backend: str, meta_info_file: str | None, where: str) -> None:
        self.root, self.backend = os.path.expanduser(root), backend
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

    def read(self, index: int) -> bytes:
        """The encoded image.

        Raises:
            DataError: it cannot be read.
        """
        return read_image(self.root, self.path(index))

    def decode(self, index: int, color: Color) -> np.ndarray:
        """The pixels of an image.

        Args:
            index: which.
            color: `rgb` gives H x W x 3 in OpenCV's order B, G, R; `gray` H x W x 1 (OpenCV's conversion of colour
                files); `y` the BT.601 Y of a colour file as BasicSR computes it, and grey files as they are.

        Returns:
            uint8 in [0, 255].

        Raises:
            DataError: the file is not an image or is damaged.
        """
        flag = {'gray': cv2.IMREAD_GRAYSCALE, 'rgb': cv2.IMREAD_COLOR, 'y': cv2.IMREAD_ANYCOLOR}[color]
        image = decode_image(self.read(index), flag, self.path(index))
        if color == 'y' and image.ndim == 3:
            image = bgr2ycbcr(image, y_only=True)
        return image if image.ndim == 3 else image[..., None]

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
