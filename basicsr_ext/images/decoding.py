"""The decoding of image files and of keys of LMDBs to pixels."""

import io
import os

import cv2
import numpy as np
from PIL import Image

from basicsr_ext.errors import ImageError
from basicsr_ext.images.jpeg import has_end, is_jpeg, is_whole
from basicsr_ext.images.lmdb_env import open_lmdb
from basicsr_ext.images.pixels import bgr_to_grey

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.jfif', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')


def is_lmdb(root: str) -> bool:
    """Whether a root is an LMDB, by the ending that BasicSR demands of one."""
    return root.rstrip('/').endswith('.lmdb')


def lmdb_content(root: str) -> str:
    """The one file that holds the images of an LMDB."""
    return os.path.join(root, 'data.mdb')


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
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    except cv2.error as error:  # too many pixels, for one
        raise ImageError(f'{path}: expected an image, got one that OpenCV refuses ({error.err}). Remove it.') from error
    if is_jpeg(content) and not (has_end(content) if image is None else is_whole(content, image)):
        raise ImageError(f'{path}: expected a whole JPEG, got one that ends early. Replace or remove it.')
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
    image = decode_image(content, cv2.IMREAD_GRAYSCALE if is_jpeg(content) else cv2.IMREAD_ANYCOLOR, path)
    return bgr_to_grey(image)


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
