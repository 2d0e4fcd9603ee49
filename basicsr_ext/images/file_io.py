"""Image files of 8 and 16 bits, read and written as they are: grey or colour, with or without alpha."""

import os
from pathlib import Path

import cv2
import numpy as np

from basicsr_ext.errors import ImageError, shown
from basicsr_ext.images.decoding import decode_image, read_image
from basicsr_ext.images.embedding import embed
from basicsr_ext.images.jpeg import is_jpeg
from basicsr_ext.images.metadata import Metadata
from basicsr_ext.runtime.files import atomic_open

LEVELS = {'uint8': 255, 'uint16': 65535}  # the largest value of each type of pixels
TIFF = ('.tif', '.tiff')
PLAIN = ('.ppm', '.pgm')
DEEP = ('.png', *TIFF, *PLAIN)  # formats of 16 bits
WITH_ALPHA = ('.png', *TIFF, '.webp')
JPEG = ('.jpg', '.jpeg', '.jfif')
SUFFIXES = (*WITH_ALPHA, *JPEG, '.bmp', *PLAIN)
QUALITY = dict.fromkeys(JPEG, [cv2.IMWRITE_JPEG_QUALITY, 95])
QUALITY['.webp'] = [cv2.IMWRITE_WEBP_QUALITY, 101]  # more than 100: without loss


def read_image_file(path: str | os.PathLike[str]) -> np.ndarray:
    """Read PNG, JPEG, TIFF, WebP and what else OpenCV decodes.

    A palette becomes colour; grey with alpha becomes colour with alpha; the orientation that a camera noted is carried
    out.

    Returns:
        H x W grey, H x W x 3 RGB or H x W x 4 RGB and alpha; uint8 or uint16.

    Raises:
        ImageError: the file is missing, damaged or of another type of pixels.
    """
    return decode_image_file(read_image('', os.fspath(path)), os.fspath(path))


def decode_image_file(content: bytes, path: str) -> np.ndarray:
    """The image in the content of a file; see `read_image_file`, and `path` is named in errors."""
    # OpenCV turns only what has no alpha upright.
    flag = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH if is_jpeg(content) else cv2.IMREAD_UNCHANGED
    image = decode_image(content, flag, path)
    if image.dtype.name not in LEVELS:
        raise ImageError(path, '8- or 16-bit pixels', image.dtype, 'Convert the file.')
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def check_target(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Refuse a format that cannot hold such an image, before it is computed.

    Args:
        path: of the file to write.
        image: as `read_image_file` returns it.

    Raises:
        ImageError: the ending is unknown, or the format has no 16-bit pixels or no alpha.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(path, f'one of the endings {" ".join(SUFFIXES)}', shown(suffix), 'Correct the name.')
    if image.dtype == np.uint16 and suffix not in DEEP:
        raise ImageError(path, 'a format for 16-bit pixels', suffix, 'Write .png or .tif.')
    if image.ndim == 3 and image.shape[2] == 4 and suffix not in WITH_ALPHA:
        raise ImageError(path, 'a format with alpha', suffix, 'Write .png, .tif or .webp.')


def write_image_file(path: str | os.PathLike[str], image: np.ndarray, metadata: Metadata | None = None) -> None:
    """Write an image atomically; JPEG with quality 95, WebP without loss.

    Args:
        path: its ending names the format.
        image: as `read_image_file` returns it.
        metadata: see `encode_image_file`.

    Raises:
        ImageError: the format cannot hold it, or the file cannot be written.
    """
    content = encode_image_file(path, image, metadata)
    try:
        with atomic_open(path) as file:
            file.write(content)
    except OSError as error:
        raise ImageError(path, 'to write it', error.strerror, 'Change the folder.') from error


def encode_image_file(path: str | os.PathLike[str], image: np.ndarray, metadata: Metadata | None = None) -> bytes:
    """The content of an image file; JPEG with quality 95, WebP without loss.

    Args:
        path: its ending names the format.
        image: as `read_image_file` returns it.
        metadata: of the file that it was made from, which goes with it.

    Raises:
        ImageError: the format cannot hold it.
    """
    check_target(path, image)
    suffix, has_alpha = Path(path).suffix.lower(), image.shape[2:] == (4,)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if has_alpha else cv2.COLOR_RGB2BGR)
    if suffix in PLAIN and (suffix == '.ppm') != (image.ndim == 3):
        kind = 'grey' if image.ndim == 2 else 'colours'
        raise ImageError(path, f'a format with {kind}', suffix, 'Write .png, or the other one of .pgm and .ppm.')
    try:
        encoder = '.jpg' if suffix == '.jfif' else suffix
        encoded, content = cv2.imencode(encoder, image, QUALITY.get(suffix, []))
    except cv2.error as error:
        raise ImageError(
            path, f'an image that {suffix} holds', f'{image.shape} ({error.err})', 'Choose another format.'
        ) from error
    if not encoded:
        raise ImageError(path, f'an image for {suffix}', image.shape, 'Choose another format.')
    if metadata is None and not (has_alpha and suffix in TIFF):
        return content.tobytes()
    channels = 1 if image.ndim == 2 and suffix != '.webp' else 3  # WebP holds grey as colours
    kept = (metadata or Metadata({}, {})).fitted(image.shape[0], image.shape[1], channels)
    return embed(content.tobytes(), suffix, kept, has_alpha)
