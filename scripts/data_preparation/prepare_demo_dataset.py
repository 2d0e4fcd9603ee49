"""Write the demo's images: pieces of pictures inside the scikit-image wheel, and pages of text in matplotlib's fonts.

`OUTPUT/photos/` is a folder as one finds it: photographs, histology, an eye ground and four pages of text; some of the
photographs are spoilt. `OUTPUT/target/`, `OUTPUT/val/` and `OUTPUT/pages/` hold other pages, no two folders in a common
font, `OUTPUT/noisy/` the last ones with noise added.
"""

import argparse
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / 'reproduce'))
from documents import FONTS, page

PICTURES = (
    'astronaut.png', 'brick.png', 'camera.png', 'chelsea.png', 'coffee.png', 'coins.png', 'grass.png', 'gravel.png',
    'ihc.png', 'moon.png', 'motorcycle_left.png', 'retina.jpg', 'rocket.jpg',
)  # fmt: skip
SIDE, EACH = 128, 12  # of an image in pixels; pieces of a picture
PAGES = {'photos': 4, 'target': 8, 'val': 8, 'pages': 12}
SIGMA = 25  # of the noise, in 8-bit levels


class PreparationError(RuntimeError):
    """The dataset cannot be made; the message says why and what to do."""


def picture_folder() -> Path:
    """The folder of pictures inside the installed scikit-image."""
    spec = find_spec('skimage')
    if spec is None or spec.origin is None:
        raise PreparationError('scikit-image: expected it to be installed, got none. Run: pip install scikit-image')
    return Path(spec.origin).parent / 'data'


def read_picture(name: str) -> np.ndarray:
    """Read a picture of scikit-image in grey: H x W, 8 bits.

    Raises:
        PreparationError: the file is missing or is not an image.
    """
    path = picture_folder() / name
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert('L'))
    except OSError as error:
        raise PreparationError(f'{path}: expected a picture, got {error}. Reinstall scikit-image.') from error


def pieces(image: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """The windows of an image that do not overlap, row by row."""
    rows, columns = image.shape[0] // height, image.shape[1] // width
    places = [(row * height, column * width) for row in range(rows) for column in range(columns)]
    return [image[top : top + height, left : left + width] for top, left in places]


def spread(images: list[np.ndarray], number: int) -> list[np.ndarray]:
    """So many of a list, evenly spread over it."""
    places = np.linspace(0, len(images) - 1, min(number, len(images))).round().astype(int)
    return [images[place] for place in places]


def blocky(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compress an image as JPEG of quality 10."""
    _, buffer = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 10])
    decoded: np.ndarray = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE)
    return decoded


def blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur an image by a Gaussian of 2 pixels."""
    return cv2.GaussianBlur(image, (0, 0), 2)


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the noise that the demo removes."""
    return np.clip(image + rng.normal(0, SIGMA, image.shape), 0, 255).round().astype(np.uint8)


SPOILT: tuple[tuple[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]], ...] = (
    ('astronaut', noisy),
    ('chelsea', blocky),
    ('coffee', blurred),
)
SPOILT_EACH = 4


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a PNG under a temporary name and rename it, so that a killed run leaves no half file."""
    encoded, buffer = cv2.imencode('.png', image)
    if not encoded:
        raise PreparationError(f'{path}: expected an image that PNG can hold, got shape {image.shape}.')
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    temporary.write_bytes(buffer.tobytes())
    temporary.replace(path)


def write_folder(folder: Path, images: dict[str, np.ndarray]) -> None:
    """Make `folder` hold exactly these PNG files; those of an earlier run with other options are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob('*.png'):
        if path.name not in images:
            path.unlink()
    for name, image in images.items():
        write_png(folder / name, image)


def photos() -> dict[str, np.ndarray]:
    """The images of the folder but for the pages: name -> H x W, 8 bits."""
    rng, found = np.random.default_rng(0), {}
    spoilt = dict(SPOILT)
    for name in PICTURES:
        stem = Path(name).stem
        for number, piece in enumerate(spread(pieces(read_picture(name), SIDE, SIDE), EACH), start=1):
            spoils = spoilt.get(stem) if number <= SPOILT_EACH else None
            found[f'{stem}_{number:02d}.png'] = piece if spoils is None else spoils(piece, rng)
    return found


def prepare(output: Path) -> dict[str, int]:
    """Write the folders; returns how many images each has.

    Raises:
        PreparationError: scikit-image or one of its pictures is missing.
    """
    rng = np.random.default_rng(1)
    fonts = {
        'photos': FONTS['pool'],
        'target': FONTS['target'],
        'val': FONTS['report'][:2],
        'pages': FONTS['report'][2:],
    }
    folders = {
        folder: {f'page_{n:02d}.png': page(rng, SIDE, fonts[folder], 'gray') for n in range(1, number + 1)}
        for folder, number in PAGES.items()
    }
    folders['photos'].update(photos())
    folders['noisy'] = {name: noisy(image, rng) for name, image in folders['pages'].items()}
    for folder, images in folders.items():
        write_folder(output / folder, images)
    return {folder: len(images) for folder, images in folders.items()}


def main() -> int:
    """Read the command line and prepare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--output', type=Path, default=Path('datasets/demo'), help='folder to write (datasets/demo)')
    args = parser.parse_args()
    try:
        counts = prepare(args.output)
    except (PreparationError, OSError) as error:
        print(f'prepare_demo_dataset: {error}', file=sys.stderr)
        return 2
    print(', '.join(f'{args.output / folder}: {count} images' for folder, count in counts.items()))
    return 0


if __name__ == '__main__':
    sys.exit(main())
