"""Metadata put into encoded images: PNG, JPEG, WebP and TIFF."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

from basicsr.utils import get_root_logger
from PIL import TiffImagePlugin

from basicsr_ext.images.metadata import RESOLUTION, Metadata

INCH = 0.0254  # metres
LONGEST = 65533  # bytes of a segment of a JPEG
ICC = b'ICC_PROFILE\0'
EXTRA_SAMPLES, PROFILE = 338, 34675  # tags of TIFF
STRIPS = 273


def embed(content: bytes, suffix: str, metadata: Metadata, has_alpha: bool) -> bytes:
    """An encoded image with metadata.

    Args:
        content: as OpenCV encodes it.
        suffix: of the format, in small letters; a format that holds no metadata stays as it is.
        metadata: fitted to the image.
        has_alpha: whether the image has alpha.
    """
    put: Callable[[bytes, Metadata, bool], bytes] | None = FORMATS.get(suffix)
    return content if put is None else put(content, metadata, has_alpha)


def _png(content: bytes, metadata: Metadata, has_alpha: bool) -> bytes:
    chunks = []
    if metadata.profile is not None:
        chunks.append((b'iCCP', b'ICC Profile\0\0' + zlib.compress(metadata.profile)))
    if metadata.dpi is not None:
        across, down = (round(value / INCH) for value in metadata.dpi)
        chunks.append((b'pHYs', struct.pack('>IIB', across, down, 1)))
    if exif := metadata.exif():
        chunks.append((b'eXIf', exif))
    packed = b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks
    )
    return content[:33] + packed + content[33:]  # behind the signature and IHDR


def _jpeg(content: bytes, metadata: Metadata, has_alpha: bool) -> bytes:
    end = 4 + struct.unpack('>H', content[4:6])[0]  # of the segment JFIF, behind the start mark
    start = bytearray(content[:end])
    if metadata.dpi is not None:
        across, down = (min(round(value), 65535) for value in metadata.dpi)
        start[13:18] = struct.pack('>BHH', 1, across, down)
    segments = b''
    exif = metadata.exif()
    if len(exif) + 6 > LONGEST:
        get_root_logger().warning(f'EXIF of {len(exif)} bytes is left out: a JPEG holds {LONGEST - 6}.')
    elif exif:
        segments += _segment(0xE1, b'Exif\0\0' + exif)
    if metadata.profile is not None:
        size = LONGEST - len(ICC) - 2
        parts = [metadata.profile[at : at + size] for at in range(0, len(metadata.profile), size)]
        for number, part in enumerate(parts, 1):
            segments += _segment(0xE2, ICC + bytes([number, len(parts)]) + part)
    return bytes(start) + segments + content[end:]


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack('>BBH', 0xFF, marker, len(data) + 2) + data


def _webp(content: bytes, metadata: Metadata, has_alpha: bool) -> bytes:
    pixels = dict(_riff_chunks(content))[b'VP8L']  # as OpenCV writes without loss
    exif, size = metadata.exif(), struct.unpack('<I', pixels[1:5])[0]
    flags = (0x20 if metadata.profile is not None else 0) | (0x10 if has_alpha else 0) | (0x08 if exif else 0)
    sides = b''.join(struct.pack('<I', side)[:3] for side in (size & 0x3FFF, size >> 14 & 0x3FFF))
    chunks = [(b'VP8X', struct.pack('<I', flags) + sides)]
    if metadata.profile is not None:
        chunks.append((b'ICCP', metadata.profile))
    chunks.append((b'VP8L', pixels))
    if exif:
        chunks.append((b'EXIF', exif))
    body = b'WEBP' + b''.join(
        kind + struct.pack('<I', len(data)) + data + b'\0' * (len(data) % 2) for kind, data in chunks
    )
    return b'RIFF' + struct.pack('<I', len(body)) + body


def _riff_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(content):
        kind, length = content[at : at + 4], struct.unpack('<I', content[at + 4 : at + 8])[0]
        yield kind, content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _tiff(content: bytes, metadata: Metadata, has_alpha: bool) -> bytes:
    """A directory with more tags stands before all that the file had behind its head."""
    file = io.BytesIO(content)
    found = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(found.next)
    found.load(file)
    directory = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
    for tag, value in found.items():
        directory.tagtype[tag] = found.tagtype[tag]
        directory[tag] = value
    metadata.added_to(directory)
    if has_alpha:
        directory[EXTRA_SAMPLES] = 2  # by which colours are not multiplied
    if metadata.profile is not None:
        directory[PROFILE] = metadata.profile
    if metadata.dpi is not None:
        for tag, value in zip(RESOLUTION, (*metadata.dpi, 2), strict=True):
            directory[tag] = value
    directory[STRIPS] = tuple(start - 8 for start in found[STRIPS])  # Pillow adds where the directory ends
    head = content[:4] + struct.pack('<I', 8)
    return head + directory.tobytes(8) + content[8:]


FORMATS = {
    **dict.fromkeys(('.png',), _png),
    **dict.fromkeys(('.jpg', '.jpeg', '.jfif'), _jpeg),
    **dict.fromkeys(('.webp',), _webp),
    **dict.fromkeys(('.tif', '.tiff'), _tiff),
}
