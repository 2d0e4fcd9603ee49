"""Write the demo's dataset from photographs that ship inside the scikit-image wheel; needs no network.

`OUTPUT/train/*.png` are sub-images, `OUTPUT/target/*.png` and `OUTPUT/val/*.png` are whole other photographs, to aim a
ranking at and to report.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

# The two motorcycle photographs are a stereo pair: both stay on one side.
TRAIN = {
    'rgb': ('astronaut.png', 'coffee.png', 'motorcycle_left.png', 'motorcycle_right.png'),
    'gray': ('astronaut.png', 'coffee.png', 'motorcycle_left.png', 'motorcycle_right.png', 'brick.png', 'coins.png'),
}
TARGET = ('chelsea.png',)
VAL = {
    'rgb': ('rocket.jpg',),
    'gray': ('camera.png', 'rocket.jpg'),
}


class PreparationError(RuntimeError):
    """The dataset cannot be made; the message says why and what to do."""


def photograph_folder() -> Path:
    """The folder of photographs inside the installed scikit-image."""
    spec = find_spec('skimage')
    if spec is None or spec.origin is None:
        raise PreparationError('scikit-image: expected it to be installed, got none. Run: pip install scikit-image')
    return Path(spec.origin).parent / 'data'


def read_photograph(path: Path, color: str) -> np.ndarray:
    """Read a photograph as H x W (gray) or H x W x 3 in BGR order (rgb), 8 bits.

    Raises:
        PreparationError: the file is missing or is not an image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if color == 'gray' else cv2.IMREAD_COLOR)
    if image is None:
        raise PreparationError(f'{path}: expected a photograph, got no readable file. Reinstall scikit-image.')
    return image


def starts(length: int, size: int, step: int) -> list[int]:
    """Offsets of windows of `size` pixels, `step` apart, the last one flush with the end."""
    return [*range(0, length - size, step), length - size]


def sub_images(image: np.ndarray, size: int, step: int) -> Iterator[np.ndarray]:
    """Square windows of an image, row by row."""
    for top in starts(image.shape[0], size, step):
        for left in starts(image.shape[1], size, step):
            yield image[top : top + size, left : left + size]


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


def prepare(output: Path, color: str, size: int, step: int) -> tuple[int, int]:
    """Write the three folders.

    Args:
        output: folder in which `train`, `target` and `val` are made.
        color: `rgb` or `gray`.
        size: side of a training sub-image in pixels.
        step: distance between neighbouring sub-images in pixels.

    Returns:
        How many training sub-images and how many validation photographs there are.

    Raises:
        PreparationError: scikit-image or one of its photographs is missing, or a size does not fit.
    """
    source = photograph_folder()
    train: dict[str, np.ndarray] = {}
    for name in TRAIN[color]:
        image = read_photograph(source / name, color)
        if not (0 < size <= min(image.shape[:2]) and step > 0):
            raise PreparationError(
                f'--size {size} --step {step}: expected a positive step and a size from 1 to {min(image.shape[:2])}, '
                f'the shorter side of {name}. Correct the value.'
            )
        for number, window in enumerate(sub_images(image, size, step), start=1):
            train[f'{Path(name).stem}_s{number:03d}.png'] = window
    write_folder(output / 'train', train)
    for folder, names in (('target', TARGET), ('val', VAL[color])):
        photographs = {f'{Path(name).stem}.png': read_photograph(source / name, color) for name in names}
        write_folder(output / folder, photographs)
    return len(train), len(VAL[color])


def main() -> int:
    """Read the command line and prepare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--output', type=Path, default=Path('datasets/demo'), help='folder to write (datasets/demo)')
    parser.add_argument('--color', choices=sorted(TRAIN), default='rgb', help='rgb (default) or gray')
    parser.add_argument('--size', type=int, default=128, help='side of a training sub-image in pixels (128)')
    parser.add_argument('--step', type=int, default=96, help='distance between sub-images in pixels (96)')
    args = parser.parse_args()
    try:
        train, val = prepare(args.output, args.color, args.size, args.step)
    except (PreparationError, OSError) as error:
        print(f'prepare_demo_dataset: {error}', file=sys.stderr)
        return 2
    size = f'{args.size} x {args.size} pixels'
    print(f'{args.output / "train"}: {train} sub-images of {size} from {", ".join(TRAIN[args.color])}')
    print(f'{args.output / "target"}: to aim a ranking at: {", ".join(TARGET)}')
    print(f'{args.output / "val"}: {val} photographs that training never sees: {", ".join(VAL[args.color])}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
