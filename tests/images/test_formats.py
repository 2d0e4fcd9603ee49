"""A table of formats: what datasets and the Restorer read is what Pillow or tifffile read."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from basicsr_ext.errors import ImageError
from basicsr_ext.images.decoding import decode_image
from basicsr_ext.images.file_io import read_image_file, write_image_file
from basicsr_ext.images.headers import header_size, upright
from basicsr_ext.images.image_files import ImageFiles

RNG = np.random.default_rng(0)
SIZE = (10, 14)
RGBA, RGBA16 = (RNG.integers(0, high, (*SIZE, 4)).astype(dtype) for high, dtype in ((256, 'u1'), (65536, 'u2')))
RGB, RGB16, GREY, GREY16, LA = RGBA[..., :3], RGBA16[..., :3], RGBA[..., 0], RGBA16[..., 0], RGBA[..., 2:]


def pillow(pixels: np.ndarray, kind: str, mode: str | None = None, exif: int | None = None, **how: Any) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(pixels), mode if mode in ('LA', 'CMYK') else None)
    if mode == 'P':
        image = image.quantize(8)
    elif mode == '1':
        image = image.convert('1')
    if exif is not None:
        note = Image.Exif()
        note[0x112] = exif
        how['exif'] = note
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def opencv(pixels: np.ndarray, ending: str) -> bytes:
    order = {2: None, 3: cv2.COLOR_RGB2BGR}.get(pixels.ndim)
    if order is not None:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else order)
    return cv2.imencode(ending, pixels)[1].tobytes()


def tiff(pixels: np.ndarray, **how: Any) -> bytes:
    tifffile = pytest.importorskip('tifffile')
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **how)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    **{
        f'{kind} {name}': lambda pixels=pixels, kind=kind, mode=mode: pillow(pixels, kind, mode)
        for kind in ('png', 'tiff')
        for name, pixels, mode in (
            ('1 bit', GREY, '1'), ('grey', GREY, None), ('palette', RGB, 'P'), ('RGB', RGB, None),
            ('grey and alpha', LA, 'LA'), ('RGBA', RGBA, None),
        )
    },
    'png palette with alpha': lambda: pillow(RGB, 'png', 'P', transparency=bytes([0, 128, 255])),
    'tiff LZW RGBA': lambda: pillow(RGBA, 'tiff', compression='tiff_lzw'),
    'tiff multiplied RGBA': lambda: tiff(RGBA, photometric='rgb', extrasamples=['assocalpha']),
    'tiff RGB by tifffile': lambda: tiff(RGB, photometric='rgb'),
    'tiff planes': lambda: tiff(RGB.transpose(2, 0, 1), photometric='rgb', planarconfig='separate'),
    'tiff white is 0': lambda: tiff(GREY, photometric='miniswhite'),
    'bigtiff RGBA': lambda: tiff(RGBA, photometric='rgb', extrasamples=['unassalpha'], bigtiff=True),
    'bmp grey': lambda: pillow(GREY, 'bmp'),
    'bmp RGB': lambda: pillow(RGB, 'bmp'),
    'bmp palette': lambda: pillow(RGB, 'bmp', 'P'),
    'webp RGB': lambda: pillow(RGB, 'webp', lossless=True),
    'webp RGBA': lambda: pillow(RGBA, 'webp', lossless=True, exact=True),
    'jpeg RGB': lambda: pillow(RGB, 'jpeg', quality=95),
    'jpeg grey': lambda: pillow(GREY, 'jpeg', quality=95),
    'jpeg progressive': lambda: pillow(RGB, 'jpeg', quality=95, progressive=True),
}  # fmt: skip
for kind, how in (('png', {}), ('webp', {'lossless': True, 'exact': True}), ('jpeg', {'quality': 95}), ('tiff', {})):
    for orientation in range(1, 9):
        for name, pixels in (('RGB', RGB), ('RGBA', RGBA)):
            if (kind, name) != ('jpeg', 'RGBA'):
                FILES[f'{kind} {name} orientation {orientation}'] = (
                    lambda pixels=pixels, kind=kind, exif=orientation, how=how: pillow(pixels, kind, exif=exif, **how)
                )


def by_pillow(content: bytes) -> np.ndarray:
    """As `read_image_file` should give it."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    has_alpha = 'A' in image.mode or 'transparency' in image.info
    mode = 'RGBA' if has_alpha else 'L' if image.mode in ('1', 'L') else 'RGB'
    return np.asarray(image.convert(mode))


@pytest.mark.parametrize('name', FILES)
def test_8_bits(name: str, tmp_path: Path) -> None:
    content = FILES[name]()
    wanted = by_pillow(content)
    path = tmp_path / f'x.{name.partition(" ")[0].removeprefix("big")}'
    path.write_bytes(content)
    np.testing.assert_array_equal(read_image_file(path), wanted)
    colours = wanted[..., :3] if wanted.ndim == 3 else np.dstack([wanted] * 3)
    files = ImageFiles(str(tmp_path), 'disk', None, 'x')
    np.testing.assert_array_equal(files.decode(0), colours[..., ::-1])
    if not name.startswith('jpeg'):
        for grey in (files.grey(0), ImageFiles(str(tmp_path), 'disk', None, 'x', 'gray').decode(0)[..., 0]):
            difference = grey.astype(int) - np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert('L'))
            assert abs(difference).max() <= 1


@pytest.mark.parametrize('pixels', [GREY16, RGB16, RGBA16], ids=['grey', 'RGB', 'RGBA'])
@pytest.mark.parametrize('ending', ['.png', '.tif'])
def test_16_bits(pixels: np.ndarray, ending: str, tmp_path: Path) -> None:
    content = opencv(pixels, ending)
    if ending == '.tif' and pixels.ndim == 3:
        content = tiff(pixels, photometric='rgb', extrasamples=['unassalpha'] if pixels.shape[2] == 4 else [])
    (tmp_path / f'x{ending}').write_bytes(content)
    np.testing.assert_array_equal(read_image_file(tmp_path / f'x{ending}'), pixels)
    colours = pixels[..., :3] if pixels.ndim == 3 else np.dstack([pixels] * 3)
    decoded = ImageFiles(str(tmp_path), 'disk', None, 'x').decode(0)[..., ::-1]
    assert np.abs(decoded - colours / 257).max() < 1


def test_cmyk() -> None:
    """Colours depend on the formula of the reader; none is alpha."""
    for kind in ('jpeg', 'tiff'):
        pixels = cv2.resize(RGBA[:2, :2], SIZE[::-1])
        content = pillow(pixels, kind, 'CMYK')
        wanted = np.asarray(Image.open(io.BytesIO(content)).convert('RGB')).astype(int)
        for flag in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR):
            image = decode_image(content, flag, 'x')
            assert image.shape == (*SIZE, 3)
            assert np.abs(image[..., ::-1] - wanted).max() <= 2


@pytest.mark.parametrize(
    ('content', 'got'),
    [
        (lambda: tiff(RGB / np.float32(255), photometric='rgb'), 'float 32 bits'),
        (lambda: tiff(GREY.astype(np.uint32), photometric='minisblack'), 'whole numbers of 32 bits'),
        (
            lambda: tiff(RGBA16[..., :2], photometric='minisblack', extrasamples=['unassalpha'], planarconfig='contig'),
            '2 samples of 16 bits',
        ),
    ],
)  # fmt: skip
def test_pixels_of_other_types_are_named(content: Callable[[], bytes], got: str) -> None:
    with pytest.raises(ImageError, match=rf'x\.tif: expected .*, got {got}\. Convert'):
        decode_image(content(), cv2.IMREAD_COLOR, 'x.tif')


def test_headers_of_images_larger_than_pillow_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pillow(RGBA[..., :3], 'png')
    (tmp_path / 'x.png').write_bytes(content)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    for source in (str(tmp_path / 'x.png'), io.BytesIO(content)):
        assert header_size(source, 'x.png') == SIZE


def test_more_pixels_than_opencv_takes() -> None:
    header = b'BM' + struct.pack('<IIIIiiHHIIiiII', 0, 0, 54, 40, 60000, 60000, 1, 24, *6 * [0])
    with pytest.raises(ImageError, match=r'x\.bmp: expected an image, got one that OpenCV refuses .*Remove it'):
        decode_image(header, cv2.IMREAD_COLOR, 'x.bmp')


def test_a_damaged_tiff_with_alpha() -> None:
    content = pillow(RGBA, 'tiff', compression='tiff_adobe_deflate')
    with pytest.raises(ImageError, match=r'x\.tif: expected an image, got a damaged'):
        decode_image(content[:8] + bytes(200) + content[208:], cv2.IMREAD_COLOR, 'x.tif')


def test_notes_that_cannot_be_read_turn_nothing() -> None:
    image = RGBA[..., :3]
    assert upright(image, b'eXIf and no image') is image


@pytest.mark.parametrize(
    ('name', 'image', 'got'),
    [
        ('taken/x.png', RGBA, 'Change the folder'),
        ('x.webp', np.zeros((1, 17000, 3), np.uint8), 'Choose another format'),
    ],
)
def test_images_that_cannot_be_written(name: str, image: np.ndarray, got: str, tmp_path: Path) -> None:
    (tmp_path / 'taken').touch()
    with pytest.raises(ImageError, match=got):
        write_image_file(tmp_path / name, image)
    assert os.listdir(tmp_path) == ['taken']
