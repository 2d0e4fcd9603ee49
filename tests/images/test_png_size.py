"""The size of a PNG by its first bytes is Pillow's, and what is not sound is left to Pillow."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from basicsr_ext.errors import ImageError
from basicsr_ext.images.headers import header_size
from basicsr_ext.images.png_size import START, png_size


def png(mode: str = 'L', width: int = 7, height: int = 5, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, 'PNG', **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def with_chunk(content: bytes, extra: bytes) -> bytes:
    """The chunk behind the header of a PNG."""
    return content[:33] + extra + content[33:]


def by_pillow(content: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError):
        return None


def by_us(content: bytes) -> tuple[int, int] | None:
    try:
        return header_size(io.BytesIO(content), 'x.png')
    except ImageError:
        return None


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'])
def test_sizes_are_pillows(mode: str, tmp_path: Path) -> None:
    for width, height in ((1, 1), (7, 5), (300, 2)):
        content = png(mode, width, height)
        assert by_us(content) == by_pillow(content) == (height, width)
        (tmp_path / 'a.png').write_bytes(content)
        assert header_size(str(tmp_path / 'a.png'), 'a.png') == (height, width)


def test_plain_files_do_without_pillow() -> None:
    plain = png(dpi=(300, 300))
    assert png_size(plain[:START]) == (5, 7)
    assert png_size(with_chunk(plain, chunk(b'gAMA', bytes(4)) + chunk(b'sRGB', b'\0'))) == (5, 7)


def test_what_would_have_to_be_read_is_left_to_pillow() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text('Title', 'x' * 2 * START)
    for content in (png(pnginfo=text), png(icc_profile=bytes(9)), b'', b'GIF89a', png()[:40]):
        assert png_size(content[:START]) is None
        assert by_us(content) == by_pillow(content)


def test_damage_is_seen_where_pillow_sees_it() -> None:
    """One byte after the other of the header is changed, and the file is cut after each."""
    content = with_chunk(png(dpi=(300, 300)), chunk(b'gAMA', bytes(4)))
    rng = np.random.default_rng(0)
    for place in range(content.index(b'IDAT') + 4):
        changed = bytearray(content)
        changed[place] ^= int(rng.integers(1, 256))
        assert by_us(bytes(changed)) == by_pillow(bytes(changed))
        assert by_us(content[:place]) == by_pillow(content[:place])


def test_headers_with_right_checksums_and_wrong_values() -> None:
    rest = png()[33:]
    for depth in range(18):
        for colours in range(8):
            for filtering in (0, 1):
                header = struct.pack('>IIBBBBB', 7, 5, depth, colours, 0, filtering, 0)
                content = png()[:8] + chunk(b'IHDR', header) + rest
                assert by_us(content) == by_pillow(content)
    empty = png()[:8] + chunk(b'IHDR', struct.pack('>IIBBBBB', 0, 5, 8, 0, 0, 0, 0)) + rest
    assert by_us(empty) == by_pillow(empty) is None
