"""One table of what a GPU has to show: exactness, agreement with the CPU, speed, memory, ways of training.

    python scripts/benchmarks/gpu_check.py            # on the GPU of this machine, in some minutes
    python scripts/benchmarks/gpu_check.py --cpu      # the same rows on the CPU, tiny: speed and memory do not count
    python scripts/benchmarks/gpu_check.py --only resume trains

It needs the package and nothing else: the images are made. Rows appear as they are measured; the table is written to
`results/gpu_check/table.md` and `.json`. Exit code: 0 if every row is what was asked, 1 if one is missed or fails, 2
without a GPU of NVIDIA.
"""

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import gpu_figures
import gpu_trainings
import torch
from gpu_rows import Place, Row

from basicsr_ext.errors import first_line
from basicsr_ext.runtime.files import atomic_open, write_json
from basicsr_ext.version import __version__

ROWS = [*gpu_figures.ROWS, *gpu_trainings.ROWS]
WIDTHS = (43, 52, 34, 8, 6)
COLUMNS = ('figure', 'measured', 'asked', 'verdict', 'seconds')


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        figure, measured, asked: in words.
        verdict: `ok`, `missed`, `failed`, or `ran` where this device does not tell.
        seconds: that it took.
    """

    figure: str
    measured: str
    asked: str
    verdict: str
    seconds: float

    def __str__(self) -> str:
        return columns([self.figure, self.measured, self.asked, self.verdict, f'{self.seconds:.1f}'])


def columns(words: Sequence[str]) -> str:
    """Words under each other."""
    return '  '.join(word.ljust(width) for word, width in zip(words, WIDTHS, strict=True)).rstrip()


def line_of(row: Row, place: Place) -> Line:
    """Measure a row; one that raises has failed."""
    began = time.perf_counter()
    try:
        found = row.measure(place)
        measured, verdict = found.measured, {True: 'ok', False: 'missed', None: 'ran'}[found.ok]
    except Exception as error:
        measured, verdict = f'{type(error).__name__}: {first_line(error)}', 'failed'
    return Line(row.figure, measured, row.asked, verdict, round(time.perf_counter() - began, 1))


def machine(device: torch.device) -> str:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name() if device.type == 'cuda' else f'{platform.machine()}, the CPU'
    return f'{name}; torch {torch.__version__}, CUDA {torch.version.cuda}; basicsr-ext {__version__}'


def write_tables(folder: Path, lines: Sequence[Line], on: str) -> None:
    """Write what is measured so far."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [[str(value).replace('|', '/') for value in asdict(line).values()] for line in lines]
    table = '\n'.join(f'| {" | ".join(row)} |' for row in (COLUMNS, ['---'] * len(COLUMNS), *rows))
    with atomic_open(folder / 'table.md', 'w') as file:
        file.write(f'{on}\n\n{table}\n')
    write_json(folder / 'table.json', {'machine': on, 'rows': [asdict(line) for line in lines]})


def check(rows: Sequence[Row], device: torch.device, tiny: bool, folder: Path) -> int:
    """Measure rows, print and write each; the exit code."""
    on, lines = machine(device), []
    print(f'{on}\n\n{columns(COLUMNS)}', flush=True)
    for row in rows:
        with TemporaryDirectory() as files:
            lines.append(line_of(row, Place(device, tiny, Path(files))))
        print(lines[-1], flush=True)
        write_tables(folder, lines, on)
    wrong = sum(line.verdict in ('missed', 'failed') for line in lines)
    took = sum(line.seconds for line in lines)
    print(f'\n{len(lines) - wrong} of {len(lines)} rows are as asked; {took / 60:.1f} min; {folder / "table.md"}')
    return int(wrong > 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cpu', action='store_true', help='run on the CPU, tiny')
    parser.add_argument('--quick', action='store_true', help='leave out the rows that start processes')
    parser.add_argument('--only', nargs='+', default=[], help='rows whose figure holds one of these words')
    parser.add_argument('--output', type=Path, default=Path('results/gpu_check'))
    args = parser.parse_args(argv)
    if not args.cpu and not torch.cuda.is_available():
        built = f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'built without CUDA'
        print(
            f'gpu_check: expected a GPU of NVIDIA, got none (torch {torch.__version__}, {built}). Install a driver and '
            'a torch for it, or try the rows with --cpu.',
            file=sys.stderr,
        )
        return 2
    rows = gpu_figures.ROWS if args.quick else ROWS
    if args.only:
        rows = [row for row in rows if any(word in row.figure for word in args.only)]
    return check(rows, torch.device('cpu' if args.cpu else 'cuda'), args.cpu, args.output)


if __name__ == '__main__':
    sys.exit(main())
