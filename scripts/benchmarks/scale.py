"""Time and memory of the work on large sets: start of a training, checks, rankings, manifests, large images.

    python scripts/benchmarks/scale.py --folder datasets/scale
    python scripts/benchmarks/scale.py --folder datasets/scale --sizes 10000 1000000 --only train
    python scripts/benchmarks/scale.py --folder datasets/scale --large 2 8 --only influence_2040x1356

The sets are made up: names of small images, hard links to a few hundred contents, and a few large images. Each
measurement is a process of its own; importing is not counted. Exit code 1 if over the sizes time rises faster than with
their power 1.05, or if memory beyond that of the smallest set is more for an image than the job may take.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scale_jobs import JOBS, Place, enter, make_sets

STEEPEST = 1.05
HERE = Path(__file__).resolve()


def peak_bytes() -> int:
    """The most memory that this process has held; what its parent held, as `getrusage` has it, does not count."""
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    return int(line.split()[1]) * 1024


def here(name: str, folder: Path, work: Path, number: int, is_prepared: bool) -> None:
    """Prepare a job in this process, or run it and print seconds and bytes."""
    place = Place(folder, enter(work), number)
    prepare = JOBS[name].prepare
    if prepare is not None and not is_prepared:
        prepare(place)
        return
    gc.collect()
    gc.freeze()  # a look through all of what was imported takes longer than a small set
    begun = time.perf_counter()
    JOBS[name].run(place)
    print(json.dumps([time.perf_counter() - begun, peak_bytes()]))


def measure(name: str, folder: Path, number: int) -> tuple[float, int]:
    """Seconds and the most bytes of a job on so many images."""
    make_sets(JOBS[name], folder, number)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [sys.executable, str(HERE), '--folder', str(folder), '--only', name, '--at', str(number)]
        if JOBS[name].prepare is not None:
            subprocess.run([*command, '--work', work], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([*command, '--work', work, '--prepared'], check=True, stdout=subprocess.PIPE, text=True)
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def judge(name: str, numbers: Sequence[int], found: Sequence[tuple[float, int]]) -> bool:
    """Print how a job grows; whether it is as asked."""
    seconds, memory = zip(*found, strict=True)
    slope = float(np.polyfit(np.log(numbers), np.log(seconds), 1)[0])
    beyond = (memory[-1] - memory[0]) / (numbers[-1] - numbers[0])
    is_good = slope <= STEEPEST and beyond <= JOBS[name].row_bytes
    print(
        f'{name}: time rises with the power {slope:.2f} (at most {STEEPEST}), memory by {beyond:,.0f} bytes an image '
        f'(at most {JOBS[name].row_bytes:,}){"" if is_good else ": MISSED"}',
        flush=True,
    )
    return is_good


def main() -> int:
    """Measure all jobs at all sizes, print them; 1 if one misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, required=True, help='of the sets, which are kept for the next time')
    parser.add_argument('--sizes', type=int, nargs='+', default=[1000, 10_000, 100_000], help='small images')
    parser.add_argument('--large', type=int, nargs='+', default=[2, 4], help='large images (2 4)')
    parser.add_argument('--rounds', type=int, default=1, help='measurements, of which the fastest counts (1)')
    parser.add_argument('--only', nargs='+', choices=JOBS, default=list(JOBS), metavar='JOB', help=', '.join(JOBS))
    parser.add_argument('--at', type=int, help=argparse.SUPPRESS)
    parser.add_argument('--work', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--prepared', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        here(args.only[0], args.folder, args.work, args.at, args.prepared)
        return 0
    if min(len(set(args.sizes)), len(set(args.large))) < 2:
        parser.error('two sizes at least, and two numbers of large images')
    folder, goals = args.folder.resolve(), []
    folder.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        numbers, found = sorted(set(args.large if JOBS[name].of_large else args.sizes)), []
        for number in numbers:
            seconds, memory = min(measure(name, folder, number) for _ in range(args.rounds))
            found.append((seconds, memory))
            row = f'{name:26s} {number:9,d} images {seconds:9.2f} s {1e3 * seconds / number:10.3f} ms an image'
            print(f'{row} {memory / 2**20:8.0f} MiB', flush=True)
        goals.append(judge(name, numbers, found))
    return int(not all(goals))


if __name__ == '__main__':
    sys.exit(main())
