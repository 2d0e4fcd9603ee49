"""The job `export`: a part of a manifest in, a file that BasicSR or a spreadsheet reads out."""

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.files import atomic_open
from basicsr_ext.selection.manifest import Manifest, read_manifest
from basicsr_ext.selection.subsets import choose

PART = ('subset', 'size', 'ratio', 'range')


def build_parser() -> argparse.ArgumentParser:
    """The command line of `export`."""
    parser = argparse.ArgumentParser(
        prog='basicsr-ext export',
        description='Write a part of a manifest, or all of it, as meta_info_file of a BasicSR dataset or as CSV.',
    )
    parser.add_argument('--manifest', required=True, metavar='FILE', help='what `basicsr-ext rank` wrote')
    parser.add_argument('--subset', choices=['top', 'mid', 'bottom', 'random'], help='which images; needs a number')
    parser.add_argument('--size', type=int, metavar='K', help='number of images')
    parser.add_argument('--ratio', type=float, metavar='R', help='the same as a part of all images, up to 1')
    parser.add_argument('--range', type=int, nargs=2, metavar=('LO', 'HI'), help='ranks instead, both included')
    parser.add_argument('--column', default='rank', metavar='NAME', help='the ranks (default: rank)')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='of --subset random (default: 0)')
    parser.add_argument(
        '-o',
        required=True,
        dest='output',
        metavar='FILE',
        help='.txt: meta_info_file, a line an image, in the order of the manifest; the keys where an LMDB was ranked, '
        'while BasicSR reads meta_info_file for folders only. .csv: all columns, in the order of the ranks',
    )
    return parser


def export_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Export as the command line says.

    Args:
        root_path: the folder in which relative paths start.
        argv: the command line; None takes the process's own.

    Returns:
        0.

    Raises:
        DataError: the manifest cannot be read, or BasicSR could not read what it names.
        OptionError: the part asked for does not exist, or the file cannot be written.
    """
    args = build_parser().parse_args(argv)
    write = {'.txt': _write_meta_info, '.csv': _write_csv}.get(Path(args.output).suffix.lower())
    if write is None:
        raise OptionError(f'-o {args.output}: expected a name in .txt or .csv, got another ending. Rename it.')
    manifest = read_manifest(Path(root_path, args.manifest))
    ranks = manifest.column(args.column)
    rows = _rows(ranks, args)
    if write is _write_csv:
        rows.sort(key=ranks.__getitem__)
    try:
        write(Path(root_path, args.output), manifest, rows)
    except OSError as error:
        raise OptionError(f'-o {args.output}: expected a file to write, got {error.strerror}. Name another.') from error
    print(f'{len(rows)} of {len(ranks)} images of {args.manifest}: {args.output}')
    return 0


def _rows(ranks: Sequence[int], args: argparse.Namespace) -> list[int]:
    if all(getattr(args, name) is None for name in PART):
        return list(range(len(ranks)))
    try:
        return choose(ranks, args.subset, size=args.size, ratio=args.ratio, range=args.range, seed=args.seed)
    except OptionError as error:
        raise OptionError(f'--{error}') from error


def _write_meta_info(path: Path, manifest: Manifest, rows: Sequence[int]) -> None:
    """Lines such as `0001.png (321,481)`: BasicSR reads up to the first blank, and a manifest knows no channels."""
    items = manifest.items()
    chosen = [items[row] for row in rows]
    split = [item.path for item in chosen if item.path.split() != [item.path]]
    if split:
        raise DataError(
            f'manifest {manifest.source}: expected paths without blanks, where BasicSR ends a name, got '
            f'{len(split)} with: {", ".join(map(repr, split[:5]))}. Rename the files or use InfluenceSubsetDataset.'
        )
    with atomic_open(path, 'w') as file:
        file.writelines(f'{item.path} ({item.height},{item.width})\n' for item in chosen)


def _write_csv(path: Path, manifest: Manifest, rows: Sequence[int]) -> None:
    with atomic_open(path, 'w') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(manifest.names)
        columns = [manifest.column(name) for name in manifest.names]
        writer.writerows([values[row] for values in columns] for row in rows)
