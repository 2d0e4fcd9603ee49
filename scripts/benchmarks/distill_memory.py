"""Peak memory of distilling 50 and 400 images, with 2 and 8 synthetic images per step, each in its own process.

    python scripts/benchmarks/distill_memory.py --folder datasets/BSD400_gray

It may not grow with the images of the dataset, and it has to grow with those of a step. Exit code 1 if 400 images take
more than 1.1 times the memory of 50, or if 8 images per step take no more than 2.
"""

import argparse
import logging
import os
import resource
import sys
import tempfile
from pathlib import Path

import basicsr_ext  # noqa: F401  first: it repairs BasicSR

# isort: split

import yaml
from memory import peak, report

from basicsr_ext.__main__ import main as basicsr_ext_main

NUMBERS, BATCHES = (50, 400), (2, 8)
LARGEST_RATIO = 1.1
SYNTHETIC = 8  # images that are made


def distill(folder: Path, images: int, batch_size: int, results: Path) -> None:
    """Distil so many images of a folder, listed in a file, for a few steps."""
    names = sorted(path.name for path in folder.resolve().iterdir())[:images]
    listed = results / 'images.txt'
    listed.write_text(''.join(f'{name}\n' for name in names))
    block = {'size': SYNTHETIC, 'kept': 0, 'image_size': 64, 'steps': 3, 'batch_size': batch_size, 'real_batch_size': 2}
    dataset = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder.resolve()), 'meta_info_file': str(listed)}
    options = {
        'name': 'memory',
        'num_gpu': 0,
        'distill': block,
        'datasets': {'train': {'name': 'train', **dataset, 'color': 'gray', 'sigma': 25}},
        'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 64},
        'path': {},
    }
    file = results / 'distill.yml'
    file.write_text(yaml.safe_dump(options))
    os.chdir(results)
    logging.disable(logging.INFO)
    if basicsr_ext_main(['distill', '-opt', str(file)]):
        raise SystemExit(1)


def main() -> int:
    """Measure all four, print them; 1 if memory grows with what it should not, or not with what it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, required=True, help='folder of at least 400 images, such as BSD400')
    parser.add_argument('--images', type=int, help='distil so many images here and print the peak memory in MiB')
    parser.add_argument('--batch_size', type=int, default=2, help='synthetic images of a step (2)')
    args = parser.parse_args()
    if args.images:
        folder = args.folder.resolve()
        with tempfile.TemporaryDirectory() as name:
            distill(folder, args.images, args.batch_size, Path(name))
            os.chdir('/')
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    fixed = ('--folder', str(args.folder))
    peaks = {number: peak(__file__, *fixed, '--images', str(number)) for number in NUMBERS}
    grown = report(peaks, LARGEST_RATIO)
    least, most = (peak(__file__, *fixed, '--images', '50', '--batch_size', str(size)) for size in BATCHES)
    for size, memory in zip(BATCHES, (least, most), strict=True):
        print(f'{size:4d} synthetic images per step: {memory:7.0f} MiB')
    return int(grown or most <= least)


if __name__ == '__main__':
    sys.exit(main())
