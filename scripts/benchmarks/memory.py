"""Peak memory of a job at two sizes, each in a process of its own."""

import subprocess
import sys
from collections.abc import Mapping


def peak(script: str, *arguments: str) -> float:
    """What a script prints last: the peak resident memory of its process in MiB."""
    command = [sys.executable, script, *arguments]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def report(peaks: Mapping[int, float], largest: float) -> int:
    """Print the peaks of two numbers of images and their ratio; 1 if the ratio is too large, else 0."""
    for number, memory in peaks.items():
        print(f'{number:4d} images: {memory:7.0f} MiB')
    few, many = peaks.values()
    print(f'ratio {many / few:.3f}, at most {largest}')
    return int(many / few > largest)
