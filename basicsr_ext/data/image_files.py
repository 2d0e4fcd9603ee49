"""The image files of a dataset: which there are, their bytes, their pixels."""

import io
import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr
from PIL import Image

from basicsr_ext.data.lmdb_env import open_lmdb
from basicsr_ext.errors import DataError, ImageError, first_few

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')
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


def is_lmdb(root: str) -> bool:
    """By the name, which BasicSR demands of an LMDB."""
    return root.rstrip('/').endswith('.lmdb')


def read_image(root: str, path: str) -> bytes:
    """The encoded image of a file, or of a key of the LMDB `root`.

    Raises:
        ImageError: it cannot be read.
    """
    if is_lmdb(root):
        with open_lmdb(root).begin() as transaction:
            content = transaction.get(path.encode())
        if content is None:
            raise ImageError(f'{root}: expected an image under the key {path!r}, got none.')
        return bytes(content)
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        raise ImageError(f'{path}: expected an image file, got {error.strerror}.') from error


def decode_image(content: bytes, flag: int, path: str) -> np.ndarray:
    """Decode by OpenCV, uint8 in [0, 255].

    Args:
        content: the encoded image.
        flag: `cv2.IMREAD_...`.
        path: named in errors.

    Raises:
        ImageError: it is no image or is damaged; a JPEG that ends early, which OpenCV would fill with grey.
    """
    if content.startswith(b'\xff\xd8') and b'\xff\xd9' not in content[-1024:]:
        raise ImageError(f'{path}: expected a whole JPEG, got one that ends early. Replace or remove it.')
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    if image is None:
        raise ImageError(f'{path}: expected an image, got a damaged or foreign file. Replace or remove it.')
    return image


def decode_grey(content: bytes, path: str) -> np.ndarray:
    """Decode to what is measured of an image as a whole, (H, W) uint8.

    It is OpenCV's conversion of the decoded colours, but of a JPEG the luma as it is stored, before it is turned to
    colours and back: the original values, in two thirds of the time.

    Raises:
        ImageError: as `decode_image`.
    """
    is_jpeg = content.startswith(b'\xff\xd8')
    image = decode_image(content, cv2.IMREAD_GRAYSCALE if is_jpeg else cv2.IMREAD_ANYCOLOR, path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image


def header_size(source: str | io.BytesIO, path: str) -> tuple[int, int]:
    """Height and width of an image file, from its header alone.

    Args:
        source: the file, or its content.
        path: named in errors.

    Raises:
        ImageError: the header is not that of an image.
    """
    try:
        with Image.open(source) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f'{path}: expected an image, got a damaged or foreign file. Replace or remove it.') from error


def refuse_if_any(bad: list[str], expected: str, advice: str, where: str) -> None:
    """Raise DataError that names up to five bad items, if there are any."""
    if bad:
        raise DataError(f'{where}: expected {expected}, got {first_few(bad, "; ")}. {advice}')
