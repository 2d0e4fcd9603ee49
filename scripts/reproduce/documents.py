"""Pages of text as images: paragraphs, headings, rules, small tables and, in colour, charts."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = 'etaoinshrdlucmfwypvbgk'  # in the order of their frequency in English
MARGIN = 0.3  # of the side: what is rendered around the crop, which a turn brings in
FONTS = {  # three sets share no family
    'pool': ('DejaVuSans', 'DejaVuSans-Bold', 'DejaVuSans-Oblique', 'DejaVuSerif', 'DejaVuSerif-Italic'),
    'target': ('DejaVuSansMono', 'DejaVuSansMono-Bold', 'DejaVuSansMono-Oblique', 'cmss10'),
    'report': ('STIXGeneral', 'STIXGeneralBol', 'STIXGeneralItalic', 'cmr10', 'cmti10'),
}


def page(rng: np.random.Generator, side: int, fonts: Sequence[str], color: str) -> np.ndarray:
    """A crop of a page.

    Four of five pages are dark on light; pages are turned by up to two degrees, every fourth one is slanted too.

    Args:
        rng: draws everything.
        side: of the crop in pixels.
        fonts: names of fonts that come with matplotlib, one of which is drawn.
        color: `gray`; or `rgb`, with coloured ink, paper and charts.

    Returns:
        side x side (gray) or side x side x 3 in BGR order (rgb), uint8.
    """
    inks = _inks(rng, color)
    image = Image.new('RGB', (round(side * (1 + 2 * MARGIN)),) * 2, inks[-1])
    draw = ImageDraw.Draw(image)
    family, size, y = str(rng.choice(fonts)), int(rng.integers(9, 25)), 0
    while y < image.height:
        part = rng.choice(['text', 'heading', 'rule', 'table', 'chart'], p=[0.5, 0.1, 0.1, 0.1, 0.2])
        if part == 'rule':
            draw.line([(0, y + 4), (image.width, y + 4)], inks[0], int(rng.integers(1, 3)))
            y += 10
        elif part == 'table':
            y = _table(draw, rng, y, _font(family, size), inks[0])
        elif part == 'chart' and color == 'rgb':
            y = _chart(draw, rng, y, inks)
        else:
            y = _lines(draw, rng, y, _font(family, size + 8 * (part == 'heading')), inks[0])
    return _crop(np.asarray(image), rng, side, inks[-1], color)


def _inks(rng: np.random.Generator, color: str) -> list[tuple[int, ...]]:
    """Ink, two colours of charts, and paper: RGB."""
    dark, light = (rng.integers(*bounds, size=(2, 3)) for bounds in ((0, 90), (190, 256)))
    if color == 'gray':
        dark, light = dark[:, :1].repeat(3, 1), light[:, :1].repeat(3, 1)
    ink, paper = (dark[0], light[0]) if rng.random() < 0.8 else (light[0], dark[0])
    return [tuple(int(value) for value in each) for each in (ink, *rng.integers(0, 256, size=(2, 3)), paper)]


def _font(family: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', f'{family}.ttf')), size)


def _word(rng: np.random.Generator) -> str:
    if rng.random() < 0.1:
        return str(rng.integers(1, 2000))
    weights = 1 / np.arange(2, len(LETTERS) + 2)
    word = ''.join(rng.choice(list(LETTERS), size=int(rng.integers(2, 10)), p=weights / weights.sum()))
    return word.capitalize() if rng.random() < 0.15 else word


def _lines(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, y: int, font: ImageFont.FreeTypeFont, ink: tuple[int, ...]
) -> int:
    """A few lines of text; the place below them."""
    height = round(font.size * rng.uniform(1.2, 1.6))
    for _ in range(int(rng.integers(2, 6))):
        draw.text((int(rng.integers(0, 8)), y), ' '.join(_word(rng) for _ in range(30)), ink, font)
        y += height
    return y + height // 2


def _table(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, y: int, font: ImageFont.FreeTypeFont, ink: tuple[int, ...]
) -> int:
    """A small table of numbers with its rules; the place below it."""
    height, width = round(font.size * 1.6), round(font.size * 4)
    rows, columns = (int(number) for number in rng.integers(2, 5, size=2))
    for row in range(rows):
        for column in range(columns):
            corner = (8 + column * width, y + row * height)
            draw.rectangle([corner, (corner[0] + width, corner[1] + height)], outline=ink)
            draw.text((corner[0] + 4, corner[1] + 2), str(rng.integers(0, 1000)), ink, font)
    return y + rows * height + 8


def _chart(draw: ImageDraw.ImageDraw, rng: np.random.Generator, y: int, inks: Sequence[tuple[int, ...]]) -> int:
    """Bars in two colours on an axis; the place below them."""
    height, bars = int(rng.integers(30, 70)), int(rng.integers(5, 12))
    for bar in range(bars):
        top = y + int(rng.integers(0, height))
        draw.rectangle([(12 + 18 * bar, top), (24 + 18 * bar, y + height)], inks[1 + bar % 2], inks[0])
    draw.line([(6, y + height), (18 * bars + 12, y + height)], inks[0])
    return y + height + 8


def _crop(image: np.ndarray, rng: np.random.Generator, side: int, paper: tuple[int, ...], color: str) -> np.ndarray:
    """The middle of a page that is turned, and perhaps slanted."""
    middle = image.shape[0] / 2
    turn = cv2.getRotationMatrix2D((middle, middle), rng.uniform(-2, 2), 1)
    slant = rng.uniform(-0.3, 0.3) if rng.random() < 0.25 else 0
    turn[0] += slant * np.array([0, 1, -middle])
    turned = cv2.warpAffine(image, turn, image.shape[:2], flags=cv2.INTER_CUBIC, borderValue=paper)
    start = round(middle - side / 2)
    crop = turned[start : start + side, start : start + side]
    return cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY if color == 'gray' else cv2.COLOR_RGB2BGR)
