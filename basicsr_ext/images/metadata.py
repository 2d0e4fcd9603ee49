"""What an image file says beside its pixels: EXIF, colour profile and resolution."""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from basicsr_ext.errors import ImageError
from basicsr_ext.images.headers import open_header

EXIF, GPS = 0x8769, 0x8825  # tags of the blocks inside EXIF
INTEROP, WIDTH, HEIGHT = 0xA005, 0xA002, 0xA003  # in the first one
RESOLUTION = (282, 283, 296)
# Tags of TIFF that tell how its pixels are stored, and with them orientation, XMP and profile.
LAYOUT = {*range(254, 270), *range(273, 282), *range(284, 296), *range(297, 305), *range(317, 348), *range(512, 533)}
LAYOUT |= {700, 34675, EXIF, GPS}
SEVERAL = ('GIF', 'PNG', 'TIFF', 'WEBP')  # formats that hold several images; the second one of a MPO is a small one


class _Text(str):
    """A text of EXIF with its bytes as they stood in the file, which Pillow reads as Latin-1 and writes as ASCII."""

    def encode(self, encoding: str = 'latin-1', errors: str = 'strict') -> bytes:
        """The bytes."""
        return super().encode('latin-1', 'replace')


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file whose image is turned upright and enlarged.

    Attributes:
        tags: of the main block of EXIF, without what tells how pixels are stored.
        blocks: tag -> tags, of the blocks inside it; previews are left out.
        profile: ICC profile, or None.
        dpi: pixels an inch, across and down, or None.
    """

    tags: dict[int, Any]
    blocks: dict[int, dict[int, Any]]
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None

    def fitted(self, height: int, width: int, channels: int) -> 'Metadata':
        """That of an image of this size: a profile of another number of colours is left out."""
        blocks = {tag: dict(block) for tag, block in self.blocks.items()}
        for tag, side in ((WIDTH, width), (HEIGHT, height)):
            if tag in blocks.get(EXIF, {}):
                blocks[EXIF][tag] = side
        space = b'GRAY' if channels == 1 else b'RGB '
        profile = self.profile if self.profile is not None and self.profile[16:20] == space else None
        return Metadata(self.tags, blocks, profile, self.dpi)

    def exif(self) -> bytes:
        """EXIF as a TIFF of its own; empty for none."""
        if not self.tags and not self.blocks:
            return b''
        head = b'II*\0\x08\0\0\0'
        return head + self.added_to(TiffImagePlugin.ImageFileDirectory_v2(head)).tobytes(8)

    def added_to(self, directory: TiffImagePlugin.ImageFileDirectory_v2) -> TiffImagePlugin.ImageFileDirectory_v2:
        """A directory of a TIFF with these tags too."""
        for tag, value in {**self.tags, **self.blocks}.items():
            directory[tag] = value
        return directory


def read_metadata(content: bytes, path: str) -> Metadata:
    """The metadata of an image file; what is damaged of it is left out.

    Args:
        content: of the file, which is an image that OpenCV decodes.
        path: named in errors.

    Raises:
        ImageError: there are several images in the file, of which one alone would be restored.
    """
    try:
        with warnings.catch_warnings(), open_header(io.BytesIO(content)) as header:
            warnings.simplefilter('ignore')  # of Pillow about what is damaged
            if header.format in SEVERAL and getattr(header, 'n_frames', 1) > 1:
                frames = header.n_frames  # type: ignore[attr-defined]
                raise ImageError(path, 'a file of one image', f'one of {frames}', 'Save them as files of their own.')
            return _metadata(header, content)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ImageError):
            raise
        return Metadata({}, {})


def _metadata(header: Image.Image, content: bytes) -> Metadata:
    dpi = header.info.get('dpi')
    resolution = (float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None
    profile = header.info.get('icc_profile')
    tags: dict[int, Any] = {}
    blocks: dict[int, dict[int, Any]] = {}
    if header.format != 'PNG' or b'eXIf' in content or b'profile type exif' in content:  # else Pillow decodes to look
        exif = header.getexif()
        tags = _kept({tag: value for tag, value in exif.items() if tag not in LAYOUT})
        blocks = {tag: _kept(block) for tag in (EXIF, GPS) if (block := exif.get_ifd(tag))}
        if INTEROP in blocks.get(EXIF, {}):
            blocks[EXIF][INTEROP] = _kept(exif.get_ifd(ExifTags.IFD.Interop))
    return Metadata(tags, blocks, profile if isinstance(profile, bytes) else None, resolution)


def _kept(block: Mapping[int, Any]) -> dict[int, Any]:
    return {tag: _Text(value) if isinstance(value, str) else value for tag, value in block.items()}
