"""Whether a JPEG is whole: decoders fill what is missing with one colour, and say nothing.

Phones append kilobytes behind the end mark, and a thumbnail in a header has an end mark of its own; so the segments are
walked to the data of the picture, in which an end mark cannot occur (ITU-T T.81, annex B). A file that was cut and then
given an end mark shows by what its data decode to.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

START, END, SCAN = b'\xff\xd8', b'\xff\xd9', b'\xff\xda'
FRAMES = {0xC0: False, 0xC1: False, 0xC2: True}  # of Huffman-coded pictures -> whether they are progressive
ALONE = (0x01, *range(0xD0, 0xD8))  # marks without a segment
ROOM = b'\xff\x00' * 12  # bytes that a decoder reads ahead, and of which no block can be made
BLOCK = 8  # pixels
COEFFICIENTS = 64  # of a block


@dataclass
class Frame:
    """What the segments before the data say.

    Attributes:
        data: where the data begin, with the mark of the first scan; -1 if there are none.
        is_progressive: None for a coding that is not looked into.
        unit: height and width in pixels of what is coded together.
        parts: components.
    """

    data: int = -1
    is_progressive: bool | None = None
    unit: tuple[int, int] = (BLOCK, BLOCK)
    parts: int = 0


def is_jpeg(content: bytes) -> bool:
    """Whether the content of a file begins like a JPEG."""
    return content.startswith(START)


def read_frame(content: bytes) -> Frame:
    """Walk over the segments of a JPEG to its data."""
    frame, position = Frame(), len(START)
    while (position := content.find(b'\xff', position)) >= 0 and position + 1 < len(content):
        code = content[position + 1]
        if code == END[1]:
            break
        if code == SCAN[1]:
            frame.data = position
            break
        if code in (0x00, 0xFF, *ALONE):
            position += 1
            continue
        segment = _segment(content, position)
        position += 2 + len(segment)
        if code in FRAMES and len(segment) > BLOCK:
            frame.is_progressive, frame.parts, factors = FRAMES[code], segment[7], segment[9::3]
            frame.unit = BLOCK * max(factor & 15 for factor in factors), BLOCK * max(factor >> 4 for factor in factors)
    return frame


def _segment(content: bytes, mark: int) -> bytes:
    """The segment behind a mark, with its length."""
    start = mark + 2
    return content[start : start + max(2, int.from_bytes(content[start : start + 2], 'big'))]


def has_end(content: bytes) -> bool:
    """Whether a JPEG has data, and an end mark behind them."""
    return _has_end(content, read_frame(content))


def _has_end(content: bytes, frame: Frame) -> bool:
    return frame.data >= 0 and (content.endswith(END) or content.find(END, frame.data) >= 0)


def is_whole(content: bytes, image: np.ndarray) -> bool:
    """Whether a JPEG holds all of its picture.

    Of a progressive one the last refinement may be cut, and of others the last blocks: that does not show.

    Args:
        content: of the file.
        image: what it was decoded to, turned upright or not.
    """
    frame = read_frame(content)
    if not _has_end(content, frame):
        return False
    if frame.is_progressive is None:
        return True
    if frame.is_progressive:
        return _has_all_coefficients(_scans(content, frame), frame.parts)
    # What is missing is decoded to blocks of one colour, the last one among them. Such corners are rare in photographs.
    may_be_turned = content.find(b'Exif', 0, frame.data) >= 0
    is_flat = _is_flat_somewhere if may_be_turned else _has_flat_end
    if not is_flat(image, frame.unit) or len(_scans(content, frame)) != 1:
        return True
    return _decodes_to_the_end(content[: content.find(END, frame.data)])


def _scans(content: bytes, frame: Frame) -> list[bytes]:
    """The segments at which scans begin, up to the end mark of the picture."""
    position, end, scans = frame.data, content.find(END, frame.data), []
    while (position := content.find(SCAN, position, end)) >= 0:
        scans.append(_segment(content, position))
        position += 2
    return scans


def _has_all_coefficients(scans: Sequence[bytes], parts: int) -> bool:
    """Whether the scans of a progressive JPEG bring every coefficient of every component to its last bit."""
    done: dict[int, set[int]] = {}
    for scan in scans:
        first, last, bits = scan[-3:]
        if bits & 15 == 0:  # no bit is left for a later scan
            for part in scan[3:-3:2]:
                done.setdefault(part, set()).update(range(first, last + 1))
    return len(done) == parts and all(len(coefficients) == COEFFICIENTS for coefficients in done.values())


def _has_flat_end(image: np.ndarray, unit: tuple[int, int]) -> bool:
    """Whether an image, lying as it is stored, ends in one colour as far as the last unit of a JPEG goes."""
    height, width = ((length - 1) % side + 1 for length, side in zip(image.shape[:2], unit, strict=True))
    if width < BLOCK // 2:
        width += unit[1]  # with the unit before the last one
    # Decoders blend the outermost colours of units, and of those above.
    end = image[-max(1, height - 2) :, -max(1, width - 2) :]
    return bool((end == end[0, 0]).all())


def _is_flat_somewhere(image: np.ndarray, unit: tuple[int, int]) -> bool:
    """The same of an image that may have been turned upright: any of its corners may be the last one."""
    turned = (np.rot90(image, turns) for turns in range(4))
    return any(_has_flat_end(each, unit) or _has_flat_end(each[:, ::-1], unit) for each in turned)


def _decodes_to_the_end(content: bytes) -> bool:
    """Whether a JPEG of one scan, without its end mark, gives all rows; a decoder that waits for more tells."""
    try:
        with Image.open(io.BytesIO(content + ROOM)) as image:
            image.load()
    except Image.DecompressionBombError:
        return True  # which Pillow does not decode
    except (OSError, SyntaxError, ValueError):
        return False
    return True
