"""What goes with the pixels from one file to another, and what does not."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from basicsr_ext.errors import ImageError
from basicsr_ext.images.file_io import encode_image_file, read_image_file
from basicsr_ext.images.metadata import read_metadata

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
MAKE, MODEL, ORIENTATION, EXIF, GPS = 271, 272, 274, 0x8769, 0x8825
TAKEN, WIDTH, HEIGHT, MAKER_NOTE = 0x9003, 0xA002, 0xA003, 0x927C
SIZE = (16, 40)  # as it lies in the file


def camera_exif() -> Image.Exif:
    """EXIF of a camera that was held upright: as a file holds it, so that every format takes it."""
    exif = Image.Exif()
    exif[MAKE], exif[MODEL], exif[ORIENTATION] = 'Maker', 'Model', 6
    exif[EXIF] = {TAKEN: '2020:01:02 03:04:05', WIDTH: SIZE[1], HEIGHT: SIZE[0], MAKER_NOTE: b'note' * 5}
    exif[GPS] = {1: 'N', 2: (50.0, 1.0, 2.5)}
    read = Image.Exif()
    read.load(exif.tobytes())
    return read


def camera_file(folder: Path, suffix: str) -> Path:
    path = folder / f'in{suffix}'
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=camera_exif(), icc_profile=PROFILE, dpi=(300, 150))
    return path


def written(path: Path, source: Path, image: np.ndarray) -> Image.Image:
    """An image written with the metadata of another file, as Pillow reads it."""
    path.write_bytes(encode_image_file(path, image, read_metadata(source.read_bytes(), str(source))))
    Image.open(path).load()  # it is whole
    return Image.open(path)


@pytest.mark.parametrize('given', ['.jpg', '.png', '.webp', '.tif'])
@pytest.mark.parametrize('suffix', ['.jpg', '.jfif', '.png', '.webp', '.tif'])
def test_metadata_goes_from_any_format_to_any(tmp_path: Path, given: str, suffix: str) -> None:
    source = camera_file(tmp_path, given)
    image = read_image_file(source)
    assert image.shape == (40, 16, 3)  # upright
    result = written(tmp_path / f'out{suffix}', source, image.repeat(2, 0).repeat(2, 1))
    exif = result.getexif()
    block: dict[int, Any] = exif.get_ifd(EXIF)
    assert (exif[MAKE], exif[MODEL], exif.get(ORIENTATION, 1)) == ('Maker', 'Model', 1)
    assert block[TAKEN] == '2020:01:02 03:04:05' and block[MAKER_NOTE] == b'note' * 5
    assert (block[WIDTH], block[HEIGHT]) == (32, 80)
    assert exif.get_ifd(GPS) == {1: 'N', 2: (50.0, 1.0, 2.5)}
    assert result.info['icc_profile'] == PROFILE and result.mode == 'RGB'
    if '.webp' not in (given, suffix):  # which knows no resolution; PNG counts by the metre
        assert result.info['dpi'] == pytest.approx((300, 150), abs=0.0254 / 2)


@pytest.mark.parametrize('suffix', ['.png', '.tif', '.webp'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('channels', [(), (3,), (4,)])
def test_pixels_stay_as_they_are_beside_metadata(tmp_path: Path, suffix: str, dtype: type, channels: tuple) -> None:
    source, path = camera_file(tmp_path, '.jpg'), tmp_path / f'out{suffix}'
    image = np.random.default_rng(0).integers(1, np.iinfo(dtype).max, (150, 131, *channels), dtype)  # several strips
    if suffix == '.webp' and (dtype is np.uint16 or not channels):
        return
    path.write_bytes(encode_image_file(path, image, read_metadata(source.read_bytes(), str(source))))
    np.testing.assert_array_equal(read_image_file(path), image)
    as_opencv = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert as_opencv.dtype == dtype and as_opencv.shape == image.shape
    if channels == (4,) and not (dtype is np.uint16 and suffix == '.tif'):  # which Pillow does not read
        assert Image.open(path).mode == 'RGBA'


def test_a_profile_of_colours_does_not_go_with_grey(tmp_path: Path) -> None:
    source = camera_file(tmp_path, '.jpg')
    result = written(tmp_path / 'out.png', source, np.zeros((4, 5), np.uint8))
    assert 'icc_profile' not in result.info and result.getexif()[MAKE] == 'Maker'


def test_a_long_profile_is_cut_into_segments_of_a_jpeg(tmp_path: Path) -> None:
    long = PROFILE + bytes(200_000)
    Image.new('RGB', (8, 8)).save(tmp_path / 'in.png', icc_profile=long)
    result = written(tmp_path / 'out.jpg', tmp_path / 'in.png', np.zeros((8, 8, 3), np.uint8))
    assert result.info['icc_profile'] == long


def test_exif_that_no_jpeg_holds_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exif = Image.Exif()
    exif[EXIF] = {MAKER_NOTE: bytes(70_000)}
    Image.new('RGB', (8, 8)).save(tmp_path / 'in.png', exif=exif)
    result = written(tmp_path / 'out.jpg', tmp_path / 'in.png', np.zeros((8, 8, 3), np.uint8))
    assert not result.getexif() and 'is left out: a JPEG holds 65527' in caplog.text


def test_a_text_beyond_ascii_keeps_its_bytes(tmp_path: Path) -> None:
    class Bytes(str):  # Pillow would write a question mark
        def encode(self, *_: object) -> bytes:
            return str.encode(self, 'utf-8')

    exif = Image.Exif()
    exif[315] = Bytes('Zoë')
    Image.new('RGB', (8, 8)).save(tmp_path / 'in.jpg', exif=exif.tobytes())
    assert 'Zoë'.encode() in (tmp_path / 'in.jpg').read_bytes()
    written(tmp_path / 'out.tif', tmp_path / 'in.jpg', np.zeros((8, 8, 3), np.uint8))
    assert 'Zoë'.encode() in (tmp_path / 'out.tif').read_bytes()


def test_damaged_metadata_is_left_out(tmp_path: Path) -> None:
    content = camera_file(tmp_path, '.jpg').read_bytes()
    start = content.index(b'Exif\0\0')
    broken = content[: start + 10] + b'\xff' * 20 + content[start + 30 :]
    found = read_metadata(broken, 'x.jpg')
    assert not found.tags and found.profile in (None, PROFILE)


@pytest.mark.parametrize('suffix', ['.tif', '.webp', '.png'])
def test_files_of_several_images_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new('RGB', (8, 8), colour) for colour in ('red', 'blue')]
    frames[0].save(tmp_path / f'in{suffix}', save_all=True, append_images=frames[1:])
    content = (tmp_path / f'in{suffix}').read_bytes()
    with pytest.raises(ImageError, match='expected a file of one image, got one of 2'):
        read_metadata(content, 'in')
