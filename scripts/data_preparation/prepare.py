"""Lay out the data sets that the option files name, from the archives that their authors offer.

    python scripts/data_preparation/prepare.py list
    python scripts/data_preparation/prepare.py unpack DIV2K --archives ~/Downloads
    python scripts/data_preparation/prepare.py check DIV2K
    python scripts/data_preparation/prepare.py sub-images datasets/DIV2K/DIV2K_train_HR -o datasets/DIV2K/train_sub
    python scripts/data_preparation/prepare.py lmdb datasets/DIV2K/train_sub -o datasets/DIV2K/train_sub.lmdb
    python scripts/data_preparation/prepare.py submit SIDD --restored results/SIDD -o results/SIDD_submission

Nothing is downloaded: most authors ask to be visited, and some for a form. A folder whose images are not all there is
not begun. No author publishes digests; the number of images and their headers are checked. `submit` packs the restored
crops of SIDD and DND for the servers that have the clean ones.
"""

import argparse
import fnmatch
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import basicsr_ext  # noqa: F401  repairs BasicSR, which is imported next

# isort: split
import cv2
from archives import images, matching, members, new_folder
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from data_sets import DATA, DataSet
from submission import BENCHMARKS, submit

from basicsr_ext.errors import DataError, OptionError, first_few, nearest, told
from basicsr_ext.images.file_io import read_image_file, write_image_file
from basicsr_ext.images.headers import header_size
from basicsr_ext.runtime.progress import with_progress


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0, or 2 for a mistake, which is told in one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--datasets', type=Path, default=Path('datasets'), help='the folder that option files read')
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list', help='where each data set comes from, and where it goes')
    for name, sentence in (
        ('unpack', 'lay out what was downloaded'),
        ('check', 'count what is there, look at headers'),
    ):
        command = commands.add_parser(name, help=sentence)
        command.add_argument('name', metavar='NAME')
        if name == 'unpack':
            command.add_argument('--archives', type=Path, required=True, metavar='FOLDER', help='of the downloads')
    command = commands.add_parser('sub-images', help='cut large images into overlapping parts, which load faster')
    command.add_argument('--size', type=int, default=480, help='side of a part (480)')
    command.add_argument('--step', type=int, default=240, help='between two parts (240)')
    for each in (command, commands.add_parser('lmdb', help='put a folder of images into an LMDB')):
        each.add_argument('folder', type=Path, metavar='FOLDER')
        each.add_argument('-o', '--output', type=Path, required=True)
    command = commands.add_parser('submit', help='pack restored crops for the server of a benchmark')
    command.add_argument('name', metavar='NAME', choices=BENCHMARKS, help=' or '.join(BENCHMARKS))
    command.add_argument('--restored', type=Path, required=True, metavar='FOLDER', help='of 0001_01.png and so on')
    command.add_argument('-o', '--output', type=Path, required=True, help='a new folder')
    command.add_argument('--seconds', type=float, default=0.0, help='of SIDD: that a megapixel took (0: not measured)')
    command.add_argument('--method', default='', help='of SIDD: its name')
    args = parser.parse_args(words)
    try:
        if args.command == 'list':
            print('\n'.join(map(described, DATA)))
        elif args.command == 'sub-images':
            sub_images(args.folder, args.output, args.size, args.step)
        elif args.command == 'lmdb':
            make_lmdb(args.folder, args.output)
        elif args.command == 'submit':
            submit(args.name, args.restored, args.output, args.seconds, args.method)
        elif args.command == 'check':
            check(data_set(args.name), args.datasets)
        else:
            unpack(data_set(args.name), args.archives, args.datasets)
            check(data_set(args.name), args.datasets)
    except Exception as error:
        line = told(error)
        if line is None:
            raise
        print(f'prepare.py {args.command}: {line}', file=sys.stderr)
        return 2
    return 0


def data_set(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        OptionError: there is none.
    """
    if name not in DATA:
        raise OptionError('NAME', 'a data set of the list', repr(name), nearest(name, DATA))
    return DATA[name]


def described(name: str) -> str:
    """A data set in words."""
    known = DATA[name]
    folders = [f'  datasets/{part.folder}: {part.number or "some"} images, {part.members}' for part in known.parts]
    notes = [f'  {known.note}'] if known.note else []
    return '\n'.join([f'{name}: {known.archives} of {known.source}', *folders, *notes])


# ---- archives ----


def unpack(known: DataSet, downloads: Path, datasets: Path) -> None:
    """Write the folders of a data set that are in the archives and not there yet.

    Raises:
        DataError: there is no archive, a folder is there already, or an archive holds another number of images.
    """
    found = sorted(path for path in downloads.glob('*') if fnmatch.fnmatch(path.name.lower(), known.archives.lower()))
    if not found:
        raise DataError(
            f'--archives {downloads}',
            f'{known.archives}',
            'none',
            f'Download it from {known.source}, or name its folder.',
        )
    files = {name: read for archive in found for name, read in members(archive)}
    folders = list(dict.fromkeys(part.folder for part in known.parts))
    missing = []
    for folder in folders:
        parts = [part for part in known.parts if part.folder == folder]
        chosen = {name: read for part in parts for name, read in matching(part, files).items()}
        if not chosen:
            missing.append(folder)
            continue
        number = sum(part.number or 0 for part in parts)
        if number not in (0, len(chosen)):
            raise DataError(
                f'{folder} in {first_few([path.name for path in found])}',
                f'{number} images',
                len(chosen),
                'Download all archives, whole, of the version that the page names.',
            )
        with new_folder(datasets / folder) as made:
            for name, read in with_progress(chosen.items(), f'Writing {folder}', len(chosen)):
                with read() as source, open(made / name, 'wb') as target:
                    shutil.copyfileobj(source, target)
    if len(missing) == len(folders):
        raise DataError(
            first_few([path.name for path in found]),
            ' or '.join(part.members for part in known.parts),
            f'{len(files)} other files',
            'Name the archives of this data set.',
        )
    for folder in missing:
        print(f'datasets/{folder}: not in these archives.')


# ---- folders ----


def check(known: DataSet, datasets: Path) -> None:
    """Count the images of a data set, and read the header of each.

    Raises:
        DataError: some are missing or damaged.
    """
    for folder in dict.fromkeys(part.folder for part in known.parts):
        number = sum(part.number or 0 for part in known.parts if part.folder == folder)
        found = images(datasets / folder)
        if not found:
            print(f'datasets/{folder}: not there.')
            continue
        if number not in (0, len(found)):
            raise DataError(str(datasets / folder), f'{number} images', len(found), 'Unpack it again.')
        heights, widths = zip(*(header_size(str(path), str(path)) for path in found), strict=True)
        sizes = f'{min(heights)} x {min(widths)} to {max(heights)} x {max(widths)}'
        print(f'datasets/{folder}: {len(found)} images of {sizes}.')


def sub_images(folder: Path, output: Path, size: int, step: int) -> None:
    """Write the parts of every image as NAME_s001.png and so on, the last ones of a row and column at its end.

    Raises:
        DataError: there are no images, one is smaller than a part, or the output is there.
    """
    found = images(folder)
    if not found:
        raise DataError(str(folder), 'images', 'none', 'Correct the path.')
    with new_folder(output) as made:
        for path in with_progress(found, 'Cutting', len(found)):
            image = read_image_file(path)
            height, width = image.shape[:2]
            if min(height, width) < size:
                raise DataError(str(path), f'at least {size} x {size} pixels', f'{height} x {width}', 'Lower --size.')
            corners = [(top, left) for top in starts(height, size, step) for left in starts(width, size, step)]
            for number, (top, left) in enumerate(corners, start=1):
                part = image[top : top + size, left : left + size]
                write_image_file(made / f'{path.stem}_s{number:03d}.png', part)
    print(f'{output}: {len(images(output))} images.')


def starts(length: int, size: int, step: int) -> list[int]:
    """Where parts begin along a side; the last one ends with it."""
    regular = list(range(0, length - size + 1, step))
    return regular if regular[-1] == length - size else [*regular, length - size]


def make_lmdb(folder: Path, output: Path) -> None:
    """Put the images of a folder into an LMDB, by BasicSR's own function.

    Raises:
        DataError: there are no images, the output is there or has another ending.
    """
    found = images(folder)
    if not found:
        raise DataError(str(folder), 'images', 'none', 'Correct the path.')
    if output.suffix != '.lmdb' or output.exists():
        raise DataError(f'-o {output}', 'a new name in .lmdb', 'another', 'Give another name.')
    cv2.setNumThreads(1)
    make_lmdb_from_imgs(str(folder), str(output), [path.name for path in found], [path.stem for path in found])
    print(f'{output}: {len(found)} images.')


if __name__ == '__main__':
    sys.exit(main())
