"""A JPEG is whole by what it decodes to, not by where an end mark stands."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from basicsr_ext.errors import ImageError
from basicsr_ext.images.decoding import decode_image
from basicsr_ext.images.jpeg import has_end, is_whole

KINDS: dict[str, dict[str, Any]] = {
    'plain': {},
    'chroma as large as luma': {'subsampling': 0},
    'optimised': {'optimize': True},
    'restart marks': {'restart_marker_rows': 1},
    'progressive': {'progressive': True},
}


def encode(mode: str, size: tuple[int, int] = (97, 131), exif: int | None = None, **how: Any) -> bytes:
    """A photograph-like image as a JPEG; its last rows are white under `white end`."""
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.random((13, 17, 4)), size[::-1]) * 255 + rng.normal(0, 8, (*size, 4))
    pixels = pixels.clip(0, 255).astype(np.uint8)
    if mode == 'white end':
        pixels[-40:] = 255
    taken = {'L': pixels[..., 0], 'CMYK': pixels}.get(mode, pixels[..., :3])
    image = Image.fromarray(np.ascontiguousarray(taken), mode if mode == 'CMYK' else None)
    if exif is not None:
        note = Image.Exif()
        note[0x112] = exif
        how['exif'] = note
    file = io.BytesIO()
    image.save(file, 'jpeg', quality=90, **how)
    return file.getvalue()


def decode(content: bytes) -> np.ndarray:
    return decode_image(content, cv2.IMREAD_COLOR, 'x.jpg')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK', 'white end'])
def test_whole_and_cut(kind: str, mode: str) -> None:
    whole = encode(mode, **KINDS[kind])
    shape = decode(whole).shape
    thumbnail = b'\xff\xe1' + (len(whole) + 2).to_bytes(2, 'big') + whole
    for content in (whole + b'SEFT' * 2000, whole + whole[: len(whole) // 2], whole[:2] + thumbnail + whole[2:]):
        assert decode(content).shape == shape
    for share in (0.4, 0.6, 0.85):
        cut = whole[: int(len(whole) * share)]
        # The last refinement of a progressive JPEG may be cut.
        endings = [b''] if kind == 'progressive' and share > 0.5 else [b'', b'\xff\xd9', b'\xff\xd9' + b'SEFT' * 999]
        for end in endings:
            with pytest.raises(ImageError, match=r'x\.jpg: expected .* (ends early|damaged)'):
                decode(cut + end)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_images_that_are_turned(orientation: int) -> None:
    whole = encode('RGB', exif=orientation)
    assert decode(whole).shape[:2] == ((97, 131) if orientation < 5 else (131, 97))
    with pytest.raises(ImageError, match='ends early'):
        decode(whole[: int(len(whole) * 0.7)] + b'\xff\xd9')


def test_a_thumbnail_has_an_end_mark_of_its_own() -> None:
    whole, thumbnail = encode('RGB'), encode('L', (16, 16))
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    with pytest.raises(ImageError):
        decode((whole[:2] + segment + whole[2:])[:-700])


def test_marks_that_fill_or_end_before_the_data() -> None:
    whole = encode('RGB')
    filled = whole[:2] + b'\xff\xff\xff\x01' + whole[2:]  # fill bytes, and a mark without a segment
    assert has_end(filled) and is_whole(filled, decode(whole))
    assert not has_end(whole[:2] + b'\xff\xd9' + whole[2:])
    assert not is_whole(whole[:-2], decode(whole))


def test_the_flat_corner_of_an_image_that_pillow_takes_for_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode('white end')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    assert is_whole(whole, decode(whole))
