"""The decoding of image files and of keys of LMDBs to pixels."""

import io
import os

import cv2
import numpy as np

from basicsr_ext.errors import ImageError, shown
from basicsr_ext.images.headers import TiffTags, open_header, tiff_tags, upright
from basicsr_ext.images.jpeg import has_end, is_jpeg, is_whole
from basicsr_ext.images.lmdb_env import read_key
from basicsr_ext.images.pixels import bgr_to_grey

# What is wrong with a file is said by the errors below, in one line that names it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

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
        content = read_key(root, path)
        if content is None:
            raise ImageError(root, f'an image under the key {shown(path)}', 'none', 'Make the LMDB again.')
        return content
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        raise ImageError(path, 'an image file', error.strerror, 'Correct the path.') from error


def decode_image(content: bytes, flag: int, path: str) -> np.ndarray:
    """Decode an image, turned upright: B, G, R or grey, uint8 in [0, 255].

    Args:
        content: the encoded image.
        flag: `cv2.IMREAD_...`; `IMREAD_UNCHANGED` also gives alpha and 16 bits. Grey with alpha becomes colour with
            alpha then. Otherwise alpha is left out, and colours are never multiplied by it.
        path: named in errors.

    Raises:
        ImageError: it is no image or is damaged; a JPEG that ends early, which OpenCV would fill with grey.
    """
    tags = tiff_tags(content)
    if tags is not None and tags.has_alpha:
        return _tiff_with_alpha(content, tags, flag, path)
    image = _by_opencv(content, flag, path)
    if is_jpeg(content) and not (has_end(content) if image is None else is_whole(content, image)):
        raise ImageError(path, 'a whole JPEG', 'one that ends early', 'Replace or remove it.')
    if image is None and tags is not None and (tags.is_float or tags.bits > 16):
        kind = 'float' if tags.is_float else 'whole numbers of'
        raise ImageError(path, '8- or 16-bit pixels', f'{kind} {tags.bits} bits', 'Convert the file.')
    if image is None:
        raise ImageError(path, 'an image', 'a damaged or foreign file', 'Replace or remove it.')
    if flag != cv2.IMREAD_UNCHANGED:
        return image
    if tags is not None and tags.is_cmyk:  # OpenCV gives it an alpha
        return np.ascontiguousarray(image[..., :3])
    return image if is_jpeg(content) or tags is not None else upright(image, content)


def _by_opencv(content: bytes, flag: int, path: str) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    except cv2.error as error:  # too many pixels, for one
        raise ImageError(path, 'an image', f'one that OpenCV refuses ({error.err})', 'Remove it.') from error


def _tiff_with_alpha(content: bytes, tags: TiffTags, flag: int, path: str) -> np.ndarray:
    """A TIFF with alpha, whose colours OpenCV multiplies by it; of grey ones it loses the alpha."""
    if tags.bits == 16 and tags.samples > 3 and not tags.is_float:
        image = _by_opencv(content, cv2.IMREAD_UNCHANGED, path)
    elif tags.bits == 8:
        image = _by_pillow(content)
    else:
        raise ImageError(
            path,
            'colours of 8 or 16 bits or grey of 8 bits beside alpha',
            f'{tags.samples} samples of {tags.bits} bits',
            'Convert the file.',
        )
    if image is None:
        raise ImageError(path, 'an image', 'a damaged or foreign file', 'Replace or remove it.')
    if flag == cv2.IMREAD_UNCHANGED:
        return image
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    colours = np.ascontiguousarray(image[..., :3])
    is_grey = flag == cv2.IMREAD_GRAYSCALE or (flag == cv2.IMREAD_ANYCOLOR and tags.samples == 2)
    return bgr_to_grey(colours) if is_grey else colours


def _by_pillow(content: bytes) -> np.ndarray | None:
    """An image of 8 bits with alpha, (H, W, 4) in OpenCV's order."""
    try:
        with open_header(io.BytesIO(content)) as image:
            return cv2.cvtColor(np.asarray(image.convert('RGBA')), cv2.COLOR_RGBA2BGRA)
    except (OSError, SyntaxError, ValueError):
        return None


def decode_grey(content: bytes, path: str) -> np.ndarray:
    """Decode to what is measured of an image as a whole, (H, W) uint8.

    It is OpenCV's conversion of the decoded colours, but of a JPEG the luma as it is stored, before it is turned to
    colours and back: the original values, in two thirds of the time.

    Raises:
        ImageError: as `decode_image`.
    """
    image = decode_image(content, cv2.IMREAD_GRAYSCALE if is_jpeg(content) else cv2.IMREAD_ANYCOLOR, path)
    return bgr_to_grey(image)
