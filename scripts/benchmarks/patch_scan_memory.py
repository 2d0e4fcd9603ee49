"""Peak memory of scanning 400 and 4,000 images, each in a process of its own: it may not grow with their number.

    python scripts/benchmarks/patch_scan_memory.py --folder datasets/BSD400

The images are those of the folder, linked under several names. Exit code 1 if 4,000 images take more than 1.1 times the
memory of 400.
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from memory import peak, report
from patch_scan import link, quiet, scan

NUMBERS = (400, 4000)
LARGEST_RATIO = 1.1


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
    fixed = ('--folder', str(args.folder), '--workers', str(args.workers))
    peaks = {number: peak(__file__, *fixed, '--images', str(number)) for number in NUMBERS}
    return report(peaks, LARGEST_RATIO)


if __name__ == '__main__':
    sys.exit(main())
