"""Time of a scan of patches against that of decoding the images, and against a plain loop over the patches.

    python scripts/benchmarks/patch_scan.py --png datasets/CBSD68 --jpeg datasets/BSD400

Both folders are scanned for `grad` and `std` on patches of 48 x 48 at stride 24, from the dataset to the manifest, in
one thread. Exit code 1 if a scan takes more than 1.4 times (PNG) or 2.5 times (JPEG) as long as decoding with OpenCV,
if the loop takes less than 3 times as long as the scan, or if two workers on a longer list are less than 1.7 times as
fast as none.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import cv2
import numpy as np
import torch
from alternate import alternate, median_ratio, print_table, seconds

from basicsr_ext.jobs.mine import mine
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import Options
from basicsr_ext.selection.patches.settings import MineSettings

SIZE, STRIDE = 48, 24
LARGEST = {'png': 1.4, 'jpeg': 2.5}  # scan / decoding
LEAST_OF_LOOP, LEAST_OF_WORKERS = 3.0, 1.7


def link(source: Path, folder: Path, number: int) -> Path:
    """So many images: those of a folder, under several names."""
    folder.mkdir()
    files = sorted(source.resolve().iterdir())
    for place in range(number):
        file = files[place % len(files)]
        (folder / f'{place:05d}{file.suffix}').symlink_to(file)
    return folder


def scan(folder: Path, root: Path, workers: int = 0) -> Callable[[], None]:
    """The job `mine` on a folder, from the dataset to the manifest, into a new folder each time."""
    rounds = count()

    def run() -> None:
        block = {'name': 'benchmark', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder), 'color': 'rgb'}
        opt: Options = {
            'name': f'{folder.name}_{workers}_{next(rounds)}',
            'num_gpu': 0,
            'manual_seed': 0,
            'datasets': {'train': block},
            'path': {},
        }
        complete(opt, root, is_train=False)
        block['phase'] = 'val'
        mine(opt, MineSettings(patch_size=SIZE, stride=STRIDE, criteria=['grad', 'std'], workers=workers))

    return run


def decode(path: Path) -> np.ndarray:
    """A colour image, uint8."""
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


def decode_all(folder: Path) -> None:
    """What no scan can do without."""
    for path in sorted(folder.iterdir()):
        decode(path)


def plain_loop(folder: Path) -> list[tuple[float, float]]:
    """`grad` and `std` of one patch after another."""
    found = []
    for path in sorted(folder.iterdir()):
        image = decode(path) / 255
        for y in range(0, image.shape[0] - SIZE + 1, STRIDE):
            for x in range(0, image.shape[1] - SIZE + 1, STRIDE):
                patch = image[y : y + SIZE, x : x + SIZE]
                squares = np.square(np.diff(patch, axis=0)).sum() + np.square(np.diff(patch, axis=1)).sum()
                found.append((squares / patch.size, patch.std()))
    return found


def quiet() -> None:
    """Keep the jobs from talking: BasicSR's logger is set to INFO by each of them."""
    logging.disable(logging.INFO)


def fits(text: str, value: float, bound: float, least: bool) -> bool:
    """Print a ratio and its target; whether it is met."""
    met = value >= bound if least else value <= bound
    print(f'{text}: {value:.2f}, at {"least" if least else "most"} {bound}{"" if met else "  MISSED"}')
    return met


def main() -> int:
    """Measure, print the tables; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--png', type=Path, required=True, help='folder of colour images in PNG, such as CBSD68')
    parser.add_argument('--jpeg', type=Path, required=True, help='folder of colour images in JPEG, such as BSD400')
    parser.add_argument('--images', type=int, default=2000, help='length of the list for the workers (2000)')
    parser.add_argument('--rounds', type=int, default=9)
    args = parser.parse_args()
    quiet()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    good = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for kind, folder in (('png', args.png), ('jpeg', args.jpeg)):
            works = {'decoding': partial(decode_all, folder), 'scan': scan(folder, root)}
            works = {**works, 'loop': partial(plain_loop, folder)}
            times = alternate({key: seconds(work) for key, work in works.items()}, args.rounds)
            print(f'{len(list(folder.iterdir()))} images, {kind}, {args.rounds} rounds')
            print_table(times, 'seconds', 'decoding')
            good.append(fits('scan / decoding', median_ratio(times, 'scan', 'decoding'), LARGEST[kind], least=False))
            good.append(fits('loop / scan', median_ratio(times, 'loop', 'scan'), LEAST_OF_LOOP, least=True))
        longer = link(args.png, root / 'longer', args.images)
        works = {f'{workers} workers': scan(longer, root, workers) for workers in (0, 2)}
        times = alternate({key: seconds(work) for key, work in works.items()}, max(1, args.rounds // 3))
        print(f'{args.images} images, png')
        print_table(times, 'seconds', '2 workers')
        gain = median_ratio(times, '0 workers', '2 workers')
        good.append(fits('0 workers / 2 workers', gain, LEAST_OF_WORKERS, least=True))
    return int(not all(good))


if __name__ == '__main__':
    sys.exit(main())
