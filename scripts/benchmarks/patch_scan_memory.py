"""Peak memory of scanning 400 and 4,000 images, each in a process of its own: it may not grow with their number.

    python scripts/benchmarks/patch_scan_memory.py --folder datasets/BSD400

The images are those of the folder, linked under several names. Exit code 1 if 4,000 images take more than 1.1 times the
memory of 400.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from patch_scan import link, quiet, scan

NUMBERS = (400, 4000)
LARGEST_RATIO = 1.1


def peak(folder: Path, number: int, workers: int) -> float:
    """Peak resident memory in MiB of a process that scans so many images, and of its largest worker."""
    arguments = ['--folder', str(folder), '--images', str(number), '--workers', str(workers)]
    command = [sys.executable, __file__, *arguments]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def main() -> int:
    """Measure both, print them; 1 if memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, required=True, help='folder of images, such as BSD400')
    parser.add_argument('--workers', type=int, default=0, help='of the scan (0)')
    parser.add_argument('--images', type=int, help='scan so many images here and print the peak memory in MiB')
    args = parser.parse_args()
    if args.images:
        quiet()
        with tempfile.TemporaryDirectory() as name:
            scan(link(args.folder, Path(name, 'images'), args.images), Path(name), args.workers)()
        used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(sum(used) / 1024)
        return 0
    peaks = [peak(args.folder, number, args.workers) for number in NUMBERS]
    for number, memory in zip(NUMBERS, peaks, strict=True):
        print(f'{number:4d} images: {memory:7.0f} MiB')
    ratio = peaks[1] / peaks[0]
    print(f'ratio {ratio:.3f}, at most {LARGEST_RATIO}')
    return int(ratio > LARGEST_RATIO)


if __name__ == '__main__':
    sys.exit(main())
