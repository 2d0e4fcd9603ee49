"""Whether an audit finds what is wrong with a training set, and nothing else.

    python scripts/benchmarks/audit_accuracy.py --images datasets/BSD400 --test datasets/CBSD68 \
        --clean datasets/BSD400 datasets/BSD400_gray datasets/CBSD68 datasets/Set14

One in ten of the images is spoilt in one way, at a subtle, a middle and a plain level; then the whole folder goes
through the job. Printed are the area under the curve of the finding (spoilt against sound images), the share of the
spoilt and of the other images that are suspect; of folders that are left as they are, the share of suspect images. Exit
code 1 if an area is below 0.95 at the middle level (0.99 of `shift`), if a middle copy or leak is missed, or if more
than 2 % of a clean folder are suspect.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import cv2
import numpy as np
from scipy.stats import rankdata

from basicsr_ext.jobs.audit import audit
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import Options
from basicsr_ext.selection.audit.findings import FINDINGS
from basicsr_ext.selection.audit.settings import AuditSettings
from basicsr_ext.selection.manifest import Manifest, read_manifest

LEVELS = ('subtle', 'middle', 'plain')
LEAST_AREA, LEAST_AREA_OF_SHIFT, MOST_FALSE = 0.95, 0.99, 0.02
EVERY = 10  # one in so many images is spoilt
INPUT_NOISE = 15  # of the inputs of pairs, in levels

Spoil = Callable[[np.ndarray, float], np.ndarray]
RNG = np.random.default_rng(0)


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    """White noise, in levels."""
    return np.rint(image + RNG.normal(0, sigma, image.shape)).clip(0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    """Compressed and decompressed."""
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1], cv2.IMREAD_UNCHANGED)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """By a Gaussian, in pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def enlarged(image: np.ndarray, factor: float) -> np.ndarray:
    """Reduced by area, enlarged to the old size by OpenCV's bicubic interpolation."""
    small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def overexposed(image: np.ndarray, factor: float) -> np.ndarray:
    """Brighter by a factor, cut at 255."""
    return (image * float(factor)).clip(0, 255).astype(np.uint8)


def moved(image: np.ndarray, pixels: float) -> np.ndarray:
    """To the right, by linear interpolation."""
    matrix = np.float32([[1, 0, pixels], [0, 1, 0]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def flatter(image: np.ndarray, factor: float) -> np.ndarray:
    """Less contrast about the mean."""
    return (image.mean() + factor * (image - image.mean())).clip(0, 255).astype(np.uint8)


def copied(image: np.ndarray, level: float) -> np.ndarray:
    """As JPEG of quality 90; mirrored as JPEG of quality 60; this at three quarters of the size."""
    if level == 0:
        return jpeg(image, 90)
    if level == 2:
        image = cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    return jpeg(np.ascontiguousarray(image[:, ::-1]), 60)


OF_IMAGES: dict[str, tuple[str, Spoil, tuple[float, float, float]]] = {
    'noise, sigma': ('noise', noisy, (5, 10, 20)),
    'JPEG, quality': ('blockiness', jpeg, (50, 30, 15)),
    'Gaussian blur, sigma': ('cutoff', blurred, (0.8, 1.5, 3)),
    'enlarged, factor': ('cutoff', enlarged, (1.5, 2, 3)),
    'overexposed, factor': ('clipping', overexposed, (1.5, 2.5, 4)),
}
OF_PAIRS: dict[str, tuple[str, Spoil, tuple[float, float, float]]] = {
    'input shifted, pixels': ('shift', moved, (0.5, 1, 2)),
    'input of less contrast, factor': ('gain', flatter, (0.9, 0.8, 0.6)),
}


def read(path: Path) -> np.ndarray:
    """An image as it is stored."""
    return cv2.imread(str(path), cv2.IMREAD_ANYCOLOR)


class Workplace:
    """Folders of spoilt images, and the job on them.

    Args:
        root: where they are made.
        source: the sound images.
    """

    def __init__(self, root: Path, source: Path) -> None:
        self.root, self.files, self.numbers = root, sorted(source.resolve().iterdir()), count()
        self.spoilt = np.arange(len(self.files)) % EVERY == EVERY - 1

    def folder(self, make: Callable[[int], np.ndarray | None]) -> Path:
        """A folder of all images; those that `make` gives anew as PNG, the others as they are."""
        folder = self.root / f'{next(self.numbers)}'
        folder.mkdir()
        for number, file in enumerate(self.files):
            image = make(number)
            if image is None:
                (folder / f'{number:05d}{file.suffix}').symlink_to(file)
            else:
                cv2.imwrite(str(folder / f'{number:05d}.png'), image)
        return folder

    def run(self, folder: Path, lq: Path | None = None, test: Path | None = None) -> Manifest:
        """The job on a folder."""
        block: Options = {'name': 'train', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder)}
        if lq is not None:
            block = {**block, 'type': 'PairedImageDataset', 'dataroot_lq': str(lq), 'io_backend': {'type': 'disk'}}
        datasets = {'train': block}
        if test is not None:
            datasets['test'] = {**block, 'name': 'test', 'dataroot_gt': str(test)}
        name = f'result_{next(self.numbers)}'
        opt: Options = {'name': name, 'num_gpu': 0, 'manual_seed': 0, 'datasets': datasets, 'path': {}}
        complete(opt, self.root, is_train=False)
        for each in datasets.values():
            each.update(phase='val', scale=1)
        audit(opt, AuditSettings())
        return read_manifest(self.root / 'results' / name / 'audit.parquet')


def area(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under the curve: the share of pairs of a positive and a negative in which the positive has more."""
    number = positive.sum()
    return float((rankdata(values)[positive].sum() - number * (number + 1) / 2) / (number * (~positive).sum()))


def judged(manifest: Manifest, name: str, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the curve of a finding, and which images are suspect, in the order of their names."""
    order = np.argsort(manifest.column('path'))  # stock datasets take a folder as the disk gives it
    finding, values = FINDINGS[name], manifest.array(name)[order]
    scores = {'high': values, 'low': -values, 'both': np.abs(values - finding.absent)}[finding.side]
    return area(scores, positive), np.array(manifest.column('suspect'))[order]


def spoilings(place: Workplace, test: Path) -> Iterator[tuple[str, str, int, Manifest]]:
    """Name, finding, level and audit of every kind and level."""
    tests = sorted(test.resolve().iterdir())
    for name, (finding, spoil, levels) in OF_IMAGES.items():
        for number, level in enumerate(levels):
            yield (
                f'{name} {level:g}',
                finding,
                number,
                place.run(place.folder(partial(one_spoilt, place, spoil, level))),
            )
    for number, way in enumerate(('JPEG 90', 'mirrored, JPEG 60', 'mirrored, 3/4 of the size, JPEG 60')):
        for finding, sources in (('duplicate', place.files), ('leak', tests)):
            folder = place.folder(partial(one_copied, place, sources, number))
            yield f'copy of {finding}: {way}', finding, number, place.run(folder, test=test)
    gt = place.folder(lambda number: read(place.files[number]))
    for name, (finding, spoil, levels) in OF_PAIRS.items():
        for number, level in enumerate(levels):
            lq = place.folder(partial(an_input, place, partial(one_spoilt, place, spoil, level)))
            yield f'{name} {level:g}', finding, number, place.run(gt, lq)
    lq = place.folder(partial(an_input, place, partial(another_picture, place)))
    yield 'input of another picture', 'partner', 1, place.run(gt, lq)


def one_spoilt(place: Workplace, spoil: Spoil, level: float, number: int) -> np.ndarray | None:
    """An image that is to be spoilt; None of another one."""
    return spoil(read(place.files[number]), level) if place.spoilt[number] else None


def one_copied(place: Workplace, sources: Sequence[Path], level: int, number: int) -> np.ndarray | None:
    """A copy in place of an image that is to be spoilt."""
    return copied(read(sources[(number - 5) % len(sources)]), level) if place.spoilt[number] else None


def an_input(place: Workplace, make: Callable[[int], np.ndarray | None], number: int) -> np.ndarray:
    """The noisy input of a pair, of what `make` gives or the image itself."""
    made = make(number)
    return noisy(read(place.files[number]) if made is None else made, INPUT_NOISE)


def another_picture(place: Workplace, number: int) -> np.ndarray | None:
    """In place of an image that is to be spoilt, the nearest one before it of the same size."""
    if not place.spoilt[number]:
        return None
    shape = read(place.files[number]).shape
    return next(other for other in map(read, reversed(place.files[:number])) if other.shape == shape)


def main() -> int:
    """Measure, print the tables; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=Path, required=True, help='sound images, such as BSD400')
    parser.add_argument('--test', type=Path, required=True, help='test images, such as CBSD68')
    parser.add_argument('--clean', type=Path, nargs='*', default=[], help='folders that are left as they are')
    args = parser.parse_args()
    logging.disable(logging.INFO)
    missed = []
    with tempfile.TemporaryDirectory() as name:
        place = Workplace(Path(name), args.images)
        print(f'{len(place.files)} images, {place.spoilt.sum()} of them spoilt')
        print(f'{"spoilt by":<56}{"level":>8}{"area":>8}{"suspect":>9}{"others":>8}')
        for kind, finding, number, manifest in spoilings(place, args.test):
            found, suspect = judged(manifest, finding, place.spoilt)
            recall, others = suspect[place.spoilt].mean(), suspect[~place.spoilt].mean()
            print(f'{kind:<56}{LEVELS[number]:>8}{found:8.3f}{recall:9.2f}{others:8.3f}', flush=True)
            least = LEAST_AREA_OF_SHIFT if finding == 'shift' else LEAST_AREA
            if number == 1 and (found < least or (finding in ('duplicate', 'leak') and recall < 1)):
                missed.append(kind)
        for folder in args.clean:
            suspect = np.array(place.run(folder).column('suspect'))
            print(f'{folder.name}, as it is: {suspect.sum()} of {len(suspect)} suspect ({100 * suspect.mean():.1f} %)')
            if suspect.mean() > MOST_FALSE:
                missed.append(folder.name)
    print(f'MISSED: {", ".join(missed)}' if missed else 'all targets met')
    return int(bool(missed))


if __name__ == '__main__':
    sys.exit(main())
