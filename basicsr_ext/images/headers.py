"""What headers of image files say, read by Pillow without its limit of pixels, and without decoding any."""

import io
import os
from dataclasses import dataclass
from typing import IO, cast

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from basicsr_ext.errors import ImageError
from basicsr_ext.images.png_size import START, png_size

# orientation -> quarter turns to the left, and whether the result is mirrored left-right
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
FLOAT, CMYK = 3, 5  # SampleFormat, PhotometricInterpretation


def open_header(source: str | io.BytesIO) -> Image.Image:
    """An image of Pillow's whose pixels are not read yet, however many they are."""
    try:
        return Image.open(source)
    except Image.DecompressionBombError:
        return _open_large(source)


def _open_large(source: str | io.BytesIO) -> Image.Image:
    """What `Image.open` does, but for the limit that keeps servers from decoding bombs."""
    if isinstance(source, io.BytesIO):
        start = source.getvalue()[:16]
        source.seek(0)
    else:
        with open(source, 'rb') as file:
            start = file.read(16)
    for factory, accepts in Image.OPEN.values():  # `Image.open` has filled it
        if accepts is not None and accepts(start) is True:
            return factory(cast(IO[bytes], source), '')
    raise UnidentifiedImageError(f'no image: {start!r}')


def header_size(source: str | io.BytesIO, path: str) -> tuple[int, int]:
    """Height and width of an image file as they are stored, from its header alone.

    Args:
        source: the file, or its content.
        path: named in errors.

    Raises:
        ImageError: the file is missing or cannot be read, or the header is not that of an image.
    """
    try:
        size = png_size(_start(source))
        if size is not None:
            return size
        with open_header(source) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(path, 'an image file', os.strerror(error.errno), 'Correct the path.') from error
        raise ImageError(path, 'an image', 'a damaged or foreign file', 'Replace or remove it.') from error


def _start(source: str | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return bytes(source.getbuffer()[:START])
    with open(source, 'rb', buffering=0) as file:
        return file.read(START)


def upright(image: np.ndarray, content: bytes) -> np.ndarray:
    """Turn decoded pixels as the camera noted in the EXIF header, those of formats that OpenCV leaves lying.

    Args:
        image: (H, W) or (H, W, C).
        content: of the file.
    """
    if content.find(b'eXIf') < 0 and content.find(b'EXIF') < 0:  # the chunks of PNG and WebP
        return image
    try:
        with open_header(io.BytesIO(content)) as header:
            orientation = header.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError):
        return image
    turns, is_mirrored = TURNS.get(orientation, (0, False))
    turned = np.rot90(image, turns)
    return np.ascontiguousarray(turned[:, ::-1] if is_mirrored else turned)


@dataclass(frozen=True)
class TiffTags:
    """How a TIFF holds its pixels.

    Attributes:
        samples: of a pixel.
        bits: of a sample.
        is_float, is_cmyk: what the samples are.
        has_alpha: whether one of them is opacity, beside grey or colours that may be multiplied by it.
    """

    samples: int
    bits: int
    is_float: bool
    is_cmyk: bool
    has_alpha: bool


def tiff_tags(content: bytes) -> TiffTags | None:
    """The tags of the first image of a TIFF; None of other formats, and of tags that are damaged."""
    if not content.startswith(TIFF):
        return None
    is_big = content[2:3] == b'+' or content[3:4] == b'+'
    file = io.BytesIO(content)
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if is_big else 8))
        file.seek(tags.next)
        tags.load(file)
        return TiffTags(
            samples=tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1),
            bits=max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))),
            is_float=FLOAT in tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)),
            is_cmyk=tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == CMYK,
            has_alpha=bool({1, 2} & set(tags.get(TiffImagePlugin.EXTRASAMPLES, ()))),
        )
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        return None
