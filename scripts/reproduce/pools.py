"""Pools of images to choose from, a target to aim at, and images to report on: made from what is installed, or from a
folder of photographs.

The photographs are sub-images without overlap: of the user's folder, else of the photographs in scikit-image. Those of
the three sets come from different photographs. The other domain are pages of text (`documents.py`), in other fonts for
each of the three sets. Everything is drawn with a fixed seed.
"""

import argparse
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from documents import FONTS, page

ROOT = Path('datasets', 'reproduce')  # where pools are made
SEED = 2026
REPORTED = 12  # images in a target and in a reported set
SIDE, SMALL_SIDE = 180, 96  # of the sub-images of a folder, and of the few photographs of scikit-image
SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
INSTALLED = {  # photographs of scikit-image; those of the last line have no colours
    'pool': ('astronaut.png', 'coffee.png', 'motorcycle_left.png', 'brick.png', 'coins.png', 'grass.png', 'moon.png'),
    'target': ('chelsea.png', 'gravel.png'),
    'report': ('rocket.jpg', 'camera.png'),
}
WITHOUT_COLORS = ('brick.png', 'camera.png', 'coins.png', 'grass.png', 'gravel.png', 'moon.png')

Images = Mapping[str, np.ndarray]
Photographs = Mapping[str, Sequence[np.ndarray]]  # 'pool', 'target', 'report' -> sub-images


class PoolError(SystemExit):
    """The images cannot be made: the script ends with what is wrong and what to do."""


@dataclass(frozen=True)
class Pool:
    """Sets of images on disk.

    Attributes:
        folder: holds `pool/`, `target/` and a folder for each reported set.
        groups: name of an image of the pool -> `photograph`, `document` or how it was spoilt.
        reports: names of the reported sets, the one that decides first.
    """

    folder: Path
    groups: Mapping[str, str]
    reports: tuple[str, ...]


def document_pool(
    photographs: Photographs, color: str, side: int, percent: float, most: int, root: Path = ROOT
) -> Pool:
    """Photographs and a share of documents, aimed at documents.

    Args:
        photographs: as `read_photographs` gives them.
        color: `gray` or `rgb`.
        side: of all images in pixels.
        percent: share of documents in the pool.
        most: images of the pool; fewer where there are not enough photographs.
        root: where the folder is made.
    """
    count = min(most, math.floor(len(photographs['pool']) / (1 - percent / 100)))
    documents = max(1, round(count * percent / 100))
    pages = {use: _pages(use, color, side, number) for use, number in _pages_of(documents).items()}
    pool = {
        **_named('photograph', photographs['pool'][: count - documents]),
        **_named('document', pages['pool']),
    }
    reports = {
        'documents': _named('document', pages['report']),
        'photographs': _named('photograph', photographs['report'][:REPORTED]),
    }
    groups = {name: name.partition('_')[0] for name in pool}
    return _write(pool, groups, _named('document', pages['target']), reports, root, f'documents{percent:g}_{color}')


def photograph_pool(photographs: Photographs, color: str, most: int, root: Path = ROOT, spoilt: bool = False) -> Pool:
    """Photographs alone, aimed at photographs.

    Args:
        photographs: as `read_photographs` gives them.
        color: `gray` or `rgb`.
        most: images of the pool.
        root: where the folder is made.
        spoilt: every second image is spoilt, in the ways of `SPOIL` by turns.
    """
    pool = _named('photograph', photographs['pool'][:most])
    groups = dict.fromkeys(pool, 'photograph')
    if spoilt:
        rng, kinds = np.random.default_rng(SEED), list(SPOIL)
        for place, name in enumerate(list(pool)[1::2]):
            groups[name] = kinds[place % len(kinds)]
            pool[name] = SPOIL[groups[name]](pool[name], rng)
    reports = {'photographs': _named('photograph', photographs['report'][:REPORTED])}
    target = _named('photograph', photographs['target'][:REPORTED])
    return _write(pool, groups, target, reports, root, f'{"spoilt" if spoilt else "uniform"}_{color}')


def _enlarged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 3, height // 3), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(image + rng.normal(0, 15, image.shape)), 0, 255).astype(np.uint8)


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 10])[1], cv2.IMREAD_UNCHANGED)


SPOIL: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    'noise': _noisy,  # of sigma 15
    'blur': lambda image, rng: cv2.blur(image, (5, 5)),
    'enlarged': _enlarged,  # from a third
    'jpeg': _jpeg,  # quality 10
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says of a pool."""
    parser.add_argument('--images', type=int, default=400, help='in the pool, at most (400)')
    parser.add_argument('--photographs', type=Path, help='folder, such as BSD400; by default those of scikit-image')
    parser.add_argument('--side', type=int, help=f'of a sub-image in pixels ({SIDE}; without a folder {SMALL_SIDE})')


def side_of(args: argparse.Namespace) -> int:
    """Side of the sub-images in pixels."""
    return int(args.side or (SMALL_SIDE if args.photographs is None else SIDE))


def photographs_of(args: argparse.Namespace, color: str) -> Photographs:
    """The sub-images of the folder that the command line names."""
    return read_photographs(args.photographs, color, side_of(args))


def read_photographs(folder: Path | None, color: str, side: int) -> dict[str, list[np.ndarray]]:
    """The sub-images of the three sets.

    Args:
        folder: of photographs, of which 8 % each become target and reported images; None takes those of scikit-image.
        color: `gray` or `rgb`.
        side: of a sub-image in pixels.

    Raises:
        PoolError: there are too few photographs, or they are too small.
    """
    files = _split(folder) if folder is not None else _installed(color)
    found = {use: _round_robin([list(_windows(path, color, side)) for path in paths]) for use, paths in files.items()}
    for use, images in found.items():
        if len(images) < REPORTED:
            raise PoolError(
                f'{folder or "scikit-image"}: expected at least {REPORTED} sub-images of {side} x {side} pixels for '
                f'the {use}, got {len(images)}. Give --photographs a folder of more or larger ones, or a smaller '
                '--side.'
            )
    return found


def _split(folder: Path) -> dict[str, list[Path]]:
    paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() in SUFFIXES)
    np.random.default_rng(SEED).shuffle(paths)  # type: ignore[arg-type]
    held = max(REPORTED if len(paths) >= 4 * REPORTED else 1, round(0.08 * len(paths)))
    return {'target': paths[:held], 'report': paths[held : 2 * held], 'pool': paths[2 * held :]}


def _installed(color: str) -> dict[str, list[Path]]:
    spec = find_spec('skimage')
    if spec is None or spec.origin is None:
        raise PoolError('scikit-image: expected it to be installed, got none. Run: pip install scikit-image')
    folder = Path(spec.origin).parent / 'data'
    return {
        use: [folder / name for name in names if color == 'gray' or name not in WITHOUT_COLORS]
        for use, names in INSTALLED.items()
    }


def _windows(path: Path, color: str, side: int) -> Iterable[np.ndarray]:
    """The sub-images of a photograph, the middle ones where a border remains; none of a photograph that is smaller."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if color == 'gray' else cv2.IMREAD_COLOR)
    if image is None:
        raise PoolError(f'{path}: expected a photograph, got no readable file. Remove it.')
    rows, columns = (length // side for length in image.shape[:2])
    top, left = ((length - number * side) // 2 for length, number in zip(image.shape[:2], (rows, columns), strict=True))
    for y in range(top, top + rows * side, side):
        for x in range(left, left + columns * side, side):
            yield image[y : y + side, x : x + side]


def _round_robin(photographs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """One sub-image of each photograph, then a second one of each, and so on."""
    longest = max(map(len, photographs), default=0)
    return [images[place] for place in range(longest) for images in photographs if place < len(images)]


def _pages_of(documents: int) -> dict[str, int]:
    return {'pool': documents, 'target': REPORTED, 'report': REPORTED}


def _pages(use: str, color: str, side: int, number: int) -> list[np.ndarray]:
    rng = np.random.default_rng([SEED, list(FONTS).index(use)])
    return [page(rng, side, FONTS[use], color) for _ in range(number)]


def _named(kind: str, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f'{kind}_{number:04d}.png': image for number, image in enumerate(images, start=1)}


def _digest(images: Iterable[np.ndarray]) -> str:
    digest = blake2b(digest_size=4)
    for image in images:
        digest.update(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _write(
    pool: Images, groups: Mapping[str, str], target: Images, reports: Mapping[str, Images], root: Path, name: str
) -> Pool:
    """Write the sets, unless that is done."""
    sets = {'pool': pool, 'target': target, **reports}
    digest = _digest(image for images in sets.values() for image in images.values())
    folder = root / f'{name}_{digest}'
    if not folder.is_dir():
        partial = root / f'.{folder.name}.{os.getpid()}'
        for use, images in sets.items():
            (partial / use).mkdir(parents=True)
            for file, image in images.items():
                cv2.imwrite(str(partial / use / file), image)
        try:
            partial.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(partial)
    return Pool(folder, groups, tuple(reports))
