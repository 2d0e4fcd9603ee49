"""The image files of a dataset: which there are, their bytes, their pixels."""

import io
import os
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr, get_root_logger

from basicsr_ext.errors import DataError, first_few, refuse_if_any, shown
from basicsr_ext.images.decoding import (
    IMAGE_SUFFIXES,
    decode_grey,
    decode_image,
    lmdb_content,
    read_image,
)
from basicsr_ext.images.headers import header_size
from basicsr_ext.images.listing import is_outside, name_list, not_in_utf8, read_lines, walk_images

Color = Literal['gray', 'y', 'rgb']
Kind = (
    str  # of the images of an item: `gt`, clean, and where it is a file too the input, `lq`, `lq_2` for a second part
)


class ImageFiles:
    """The images of a folder or of a BasicSR LMDB, sorted by name.

    Args:
        root: a folder, several that do not overlap, or a folder whose name ends in `.lmdb`. Paths of images are
            relative to it, of several to the folder around them all.
        backend: `disk` or `lmdb`.
        meta_info_file: names relative to `root` as in `name_list`, used in their order; None takes every image of the
            folder and of folders below it, and names in a warning what else lies there. Not for an LMDB.
        where: path of the block in the option file, named in errors.
        color: `rgb` for colours; `gray` for OpenCV's conversion of colour files; `y` for the BT.601 Y of a colour file
            as BasicSR computes it, and grey files as they are.
        key: of the block that names the root, named in errors.

    Attributes:
        kinds: `gt` alone.
        channels, lq_channels: of decoded images and of the inputs made of them, 1 or 3.
        exact: whether samples hold these pixels unless a wrapper changes them, and errors name the file.

    Raises:
        DataError: the folder is missing or empty, a listed file is missing or lies outside the folder.
    """

    kinds: tuple[Kind, ...] = ('gt',)
    exact = True

    def __init__(
        self,
        root: str | Sequence[str],
        backend: str,
        meta_info_file: str | None,
        where: str,
        color: Color = 'rgb',
        key: str = 'dataroot_gt',
    ) -> None:
        self.folders = [os.path.expanduser(each) for each in ([root] if isinstance(root, str) else root)]
        self.backend, self.color = backend, color
        self.channels = self.lq_channels = 3 if color == 'rgb' else 1
        self.key = key
        for folder in self.folders:
            if not os.path.isdir(folder):
                raise DataError(f'{where}.{self.key}', 'a folder', shown(folder), 'Correct the path.')
        self.root = self._folder_around(where, backend == 'lmdb' or meta_info_file is not None)
        if backend == 'lmdb':
            self.names = self._names_in_lmdb(where)
        elif meta_info_file is not None:
            self.names = self._names_in_meta_info(meta_info_file, where)
        else:
            self.names = self._names_in_folder(where)
        if not self.names:
            raise DataError(
                f'{where}.{self.key}',
                f'images ({" ".join(IMAGE_SUFFIXES)})',
                f'none in {shown(root)}',
                'Correct the path.',
            )
        refuse_if_any(not_in_utf8(self.names), 'names of files in UTF-8', 'Rename the files.', f'{where}.{self.key}')

    def _folder_around(self, where: str, has_list: bool) -> str:
        if len(self.folders) == 1:
            return self.folders[0]
        if has_list or not self.folders:
            expected = 'one folder with an LMDB or a meta_info_file' if has_list else 'a folder'
            raise DataError(f'{where}.{self.key}', expected, len(self.folders), 'Correct the list.')
        self.folders = [os.path.abspath(folder) for folder in self.folders]
        around = os.path.commonpath(self.folders)
        for first, second in permutations(map(os.path.realpath, self.folders), 2):
            if os.path.commonpath([first, second]) == first:
                raise DataError(
                    f'{where}.{self.key}', 'folders that do not overlap', f'{second} in {first}', 'Remove one of them.'
                )
        return around

    def _names_in_folder(self, where: str) -> list[str]:
        names: list[str] = []
        others: list[str] = []
        for folder in self.folders:
            below = '' if folder == self.root else f'{os.path.relpath(folder, self.root)}/'.replace(os.sep, '/')
            for kept, found in zip((names, others), walk_images(folder, where), strict=True):
                kept += [f'{below}{name}' for name in found]
        if others:
            get_root_logger().warning(
                f'{where}: {len(others)} files in {self.root!r} are not used, as they are no images by their ending '
                f'or broken links: {first_few(others)}.'
            )
        folders = sorted({name.rpartition('/')[0] for name in names})
        if folders not in ([], ['']):
            get_root_logger().info(
                f'{where}: {len(names)} images in {len(folders)} folders: '
                f'{first_few([folder or "." for folder in folders])}.'
            )
        return names if len(self.folders) == 1 else sorted(names, key=os.path.splitext)

    def _names_in_lmdb(self, where: str) -> list[str]:
        index = Path(self.root, 'meta_info.txt')
        if not index.is_file():
            raise DataError(
                f'{where}.{self.key}', 'a BasicSR LMDB with meta_info.txt', shown(self.root), 'Correct the path.'
            )
        lines = read_lines(str(index), f'{where}.{self.key}')
        return sorted(os.path.splitext(line.partition(' (')[0].split()[0])[0] for line in lines)

    def _names_in_meta_info(self, meta_info_file: str, where: str) -> list[str]:
        if not os.path.isfile(meta_info_file):
            raise DataError(f'{where}.meta_info_file', 'a file', shown(meta_info_file), 'Correct the path.')
        names = name_list(meta_info_file, self.root, f'{where}.meta_info_file')
        outside = [name for name in names if is_outside(name)]
        inside = names if not outside else []  # what lies outside is refused first
        missing = [name for name in inside if not os.path.isfile(os.path.join(self.root, name))]
        for problem, found in (('inside', outside), ('that exist in', missing)):
            if found:
                raise DataError(
                    f'{where}.meta_info_file',
                    f'files {problem} {shown(self.root)}',
                    f'{len(found)} that are not: {first_few(found)}',
                    f'Correct {meta_info_file}.',
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

    def item(self, index: int) -> str:
        """The path that names an item."""
        return self.relative(index)

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

    def decode(self, index: int, color: Color | None = None) -> np.ndarray:
        """The pixels of an image.

        Args:
            index: which.
            color: instead of that of all images.

        Returns:
            (H, W, C) in OpenCV's order B, G, R or grey, uint8 in [0, 255].

        Raises:
            DataError: the file is not an image or is damaged.
        """
        flag = {'gray': cv2.IMREAD_GRAYSCALE, 'rgb': cv2.IMREAD_COLOR, 'y': cv2.IMREAD_ANYCOLOR}[color or self.color]
        image = decode_image(self.read(index), flag, self.path(index))
        if (color or self.color) == 'y' and image.ndim == 3:
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
        path = self.path(index)
        return header_size(path if self.backend == 'disk' else io.BytesIO(self.read(index)), path)

    def sizes(self, index: int) -> dict[Kind, tuple[int, int]]:
        """The `size` of the images of an item, by kind."""
        return {'gt': self.size(index)}
