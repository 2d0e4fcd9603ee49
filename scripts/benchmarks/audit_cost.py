"""Time of an audit against that of decoding the images.

    python scripts/benchmarks/audit_cost.py --images datasets/BSD400 --pairs datasets/CBSD68

The images are laid out as PNG and JPEG, and tiled to about 2 megapixels as both; each folder is audited from
the dataset to the manifest, in one thread, in turn with decoding all of its files by OpenCV alone, in
processor time. `--pairs` does the
same with pairs of files. Exit code 1 if an audit takes more than 1.5 times as long as decoding.
"""

import argparse
import logging
import sys
import tempfile
import time
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

from basicsr_ext.jobs.audit import audit
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import Options
from basicsr_ext.selection.audit.settings import AuditSettings

MOST = 1.5
LARGE = (1440, 1400)  # height and width of tiled images


def lay_out(files: list[Path], folder: Path, ending: str, large: bool) -> Path:
    """The images in another format, or tiled."""
    folder.mkdir()
    for file in files:
        image = cv2.imread(str(file))
        if large:
            times = [-(-wanted // side) for wanted, side in zip(LARGE, image.shape, strict=False)]
            image = np.tile(image, (*times, 1))[: LARGE[0], : LARGE[1]]
        cv2.imwrite(str(folder / f'{file.stem}{ending}'), image)
    return folder


def decode_all(*folders: Path) -> None:
    """What no audit can do without."""
    for folder in folders:
        for path in sorted(folder.iterdir()):
            cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


def audit_all(root: Path, folder: Path, lq: Path | None = None) -> Callable[[], None]:
    """The job on a folder, into a new one each time."""
    rounds = count()

    def run() -> None:
        block: Options = {'name': 'train', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder)}
        if lq is not None:
            block = {**block, 'type': 'PairedImageDataset', 'dataroot_lq': str(lq), 'io_backend': {'type': 'disk'}}
        name = f'{folder.name}_{next(rounds)}'
        opt: Options = {'name': name, 'num_gpu': 0, 'manual_seed': 0, 'datasets': {'train': block}, 'path': {}}
        complete(opt, root, is_train=False)
        block.update(phase='val', scale=1)
        audit(opt, AuditSettings())

    return run


def main() -> int:
    """Measure, print the tables; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=Path, required=True, help='folder of colour images, such as BSD400')
    parser.add_argument('--pairs', type=Path, help='folder of colour images whose pairs are measured, such as CBSD68')
    parser.add_argument('--number', type=int, default=200, help='of images; an eighth of them are tiled (200)')
    parser.add_argument('--rounds', type=int, default=7)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    missed = False
    files = sorted(args.images.resolve().iterdir())[: args.number]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folders = {
            'PNG': (lay_out(files, root / 'png', '.png', large=False),),
            'JPEG': (lay_out(files, root / 'jpeg', '.jpg', large=False),),
            'large PNG': (lay_out(files[: args.number // 8], root / 'large_png', '.png', large=True),),
            'large JPEG': (lay_out(files[: args.number // 8], root / 'large_jpeg', '.jpg', large=True),),
        }
        if args.pairs is not None:
            pairs = sorted(args.pairs.resolve().iterdir())
            folders['pairs of PNG'] = tuple(lay_out(pairs, root / kind, '.png', large=False) for kind in ('gt', 'lq'))
        for kind, parts in folders.items():
            works = {'decoding': partial(decode_all, *parts), 'audit': audit_all(root, *parts)}
            times = alternate({key: seconds(work, time.process_time) for key, work in works.items()}, args.rounds)
            print(f'{len(list(parts[0].iterdir()))} images, {kind}, {args.rounds} rounds')
            print_table(times, 'seconds', 'decoding')
            missed |= median_ratio(times, 'audit', 'decoding') > MOST
    print(f'at most {MOST}: {"MISSED" if missed else "met"}')
    return int(missed)


if __name__ == '__main__':
    sys.exit(main())
