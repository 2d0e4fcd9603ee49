"""Lay out the data sets that the option files name, from the archives that their authors offer.

    python scripts/data_preparation/prepare.py list
    python scripts/data_preparation/prepare.py unpack DIV2K --archives ~/Downloads
    python scripts/data_preparation/prepare.py check DIV2K
    python scripts/data_preparation/prepare.py sub-images datasets/DIV2K/DIV2K_train_HR -o datasets/DIV2K/train_sub
    python scripts/data_preparation/prepare.py lmdb datasets/DIV2K/train_sub -o datasets/DIV2K/train_sub.lmdb

Nothing is downloaded: most authors ask to be visited, and some for a form. A folder whose images are not all there is
not begun. No author publishes digests; the number of images and their headers are checked.
"""

import argparse
import fnmatch
import os
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import basicsr_ext  # noqa: F401  repairs BasicSR, which is imported next

# isort: split
import cv2
from basicsr.utils.lmdb_util import make_lmdb_from_imgs

from basicsr_ext.errors import DataError, OptionError, first_few, nearest, told
from basicsr_ext.images.decoding import IMAGE_SUFFIXES
from basicsr_ext.images.file_io import read_image_file, write_image_file
from basicsr_ext.images.headers import header_size
from basicsr_ext.runtime.progress import with_progress

Reader = Callable[[], BinaryIO]


@dataclass(frozen=True)
class Part:
    """A folder of images.

    Attributes:
        folder: below `datasets/`.
        members: pattern of the files in the archives, whose end counts; `*` does not cross a `/`.
        number: of images; None where authors offer several versions.
        named: the name of a file from the folders and the stem it had, `{0}` the stem, `{1}` the folder, `{2}` the one
            around that, and so on.
    """

    folder: str
    members: str
    number: int | None
    named: str = '{0}'


@dataclass(frozen=True)
class DataSet:
    """Where a data set comes from, and what it is made of.

    Attributes:
        source: page of its authors.
        archives: pattern of the names of the files that are offered there.
        parts: its folders; none where they are laid out by hand.
        note: how.
    """

    source: str
    archives: str
    parts: tuple[Part, ...] = ()
    note: str = ''


def pairs(name: str, part: str, number: int | None, lq: str, gt: str, named: str = '{0}') -> tuple[Part, Part]:
    """The folders `input` and `target` of pairs."""
    folder = f'{name}/{part}' if part else name
    return Part(f'{folder}/input', lq, number, named), Part(f'{folder}/target', gt, number, named)


DENOISING = 'https://github.com/cszn/DnCNN'
SR = 'https://github.com/XPixelGroup/BasicSR/blob/master/docs/DatasetPreparation.md'
DERAINING = 'https://github.com/swz30/Restormer/blob/main/Deraining/README.md'


def deraining(name: str) -> DataSet:
    """A test set of rain, of 100 pairs."""
    return DataSet(DERAINING, 'test*.zip', pairs(name, 'test', 100, f'{name}/input/*.png', f'{name}/target/*.png'))


def benchmark(name: str, number: int) -> DataSet:
    """A test set of super-resolution: as it is, cut to multiples of 12, and halved."""
    kinds = ('GTmod12', 'LRbicx2')
    parts = [Part(f'{name}/{kind}', f'{kind}/*.png', number) for kind in kinds]
    return DataSet(SR, f'{name}*.zip', (Part(name, f'{name}/*.png', number), *parts))


DATA: dict[str, DataSet] = {
    'DIV2K': DataSet(
        'https://data.vision.ee.ethz.ch/cvl/DIV2K',
        'DIV2K_*.zip',
        (
            Part('DIV2K/DIV2K_train_HR', 'DIV2K_train_HR/*.png', 800),
            Part('DIV2K/DIV2K_train_LR_bicubic/X2', 'DIV2K_train_LR_bicubic/X2/*.png', 800),
        ),
    ),
    'BSD400_gray': DataSet(DENOISING, '*.zip', (Part('BSD400_gray', 'Train400/*.png', 400),)),
    'BSD400': DataSet(
        'https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html',
        'BSR_bsds500.tgz',
        (Part('BSD400', 'images/tr*/*.jpg', 200), Part('BSD400', 'images/test/*.jpg', 200)),
    ),
    'Set12': DataSet(DENOISING, '*.zip', (Part('Set12', 'Set12/*.png', 12),)),
    'BSD68': DataSet(DENOISING, '*.zip', (Part('BSD68', 'Set68/*.png', 68),)),
    'CBSD68': DataSet('https://github.com/cszn/FFDNet', '*.zip', (Part('CBSD68', 'CBSD68/*.png', 68),)),
    'classic5': DataSet('https://github.com/cszn/DnCNN', '*.zip', (Part('classic5', 'classic5/*.bmp', 5),)),
    'WED': DataSet('https://kedema.org/project/exploration/', '*.zip', (Part('WED', 'pristine_images/*.bmp', 4744),)),
    'GoPro': DataSet(
        'https://seungjunnah.github.io/Datasets/gopro',
        'GOPRO_Large.zip',
        (
            *pairs('GoPro', 'train', 2103, 'train/*/blur/*.png', 'train/*/sharp/*.png', '{2}-{0}'),
            *pairs('GoPro', 'test', 1111, 'test/*/blur/*.png', 'test/*/sharp/*.png', '{2}-{0}'),
        ),
    ),
    'Rain13K': DataSet(DERAINING, 'train*.zip', pairs('Rain13K', 'train', 13712, 'input/*.jpg', 'target/*.jpg')),
    'Rain100L': deraining('Rain100L'),
    'Rain100H': deraining('Rain100H'),
    'SIDD': DataSet(
        'https://abdokamel.github.io/sidd/',
        'SIDD_*sRGB*.zip',
        pairs('SIDD', 'train', 320, 'Data/*/*_NOISY_SRGB_*.PNG', 'Data/*/*_GT_SRGB_*.PNG', '{1}'),
    ),
    'ImageNet': DataSet(
        'https://www.image-net.org', 'ILSVRC2012_img_val.tar', (Part('ImageNet', 'ILSVRC2012_val_*.JPEG', 50000),)
    ),
    'DFWB': DataSet(
        'DIV2K, WED and BSD400, and https://github.com/limbee/NTIRE2017 (Flickr2K)',
        'all archives',
        note='datasets/DFWB: links to the images of the four in one folder',
    ),
    'RESIDE': DataSet(
        'https://sites.google.com/view/reside-dehaze-datasets',
        'the archives',
        note='datasets/RESIDE/input and target: pairs of one name, a link to the clean image for each hazy one',
    ),
    'SOTS': DataSet(
        'https://sites.google.com/view/reside-dehaze-datasets',
        'SOTS',
        note='datasets/SOTS/input and target: pairs of one name',
    ),
    'Set5': benchmark('Set5', 5),
    'Set14': benchmark('Set14', 14),
    'Urban100': benchmark('Urban100', 100),
}


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
    args = parser.parse_args(words)
    try:
        if args.command == 'list':
            print('\n'.join(map(described, DATA)))
        elif args.command == 'sub-images':
            sub_images(args.folder, args.output, args.size, args.step)
        elif args.command == 'lmdb':
            make_lmdb(args.folder, args.output)
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
    if not known.parts:
        raise OptionError('NAME', 'a data set with archives of its own', 'one laid out by hand', f'{known.note}.')
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


def members(archive: Path) -> Iterator[tuple[str, Reader]]:
    """The files of a zip or tar archive: path, and what opens it.

    Raises:
        DataError: it is damaged or another kind of archive.
    """
    try:
        if zipfile.is_zipfile(archive):
            packed = zipfile.ZipFile(archive)
            for name in packed.namelist():
                yield name, lambda name=name: cast(BinaryIO, packed.open(name))  # type: ignore[misc]
        else:
            tar = tarfile.open(archive)  # noqa: SIM115  read later
            for member in tar.getmembers():
                if member.isfile():
                    yield member.name, lambda member=member: cast(BinaryIO, tar.extractfile(member))  # type: ignore[misc]
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(str(archive), 'a whole zip or tar archive', error, 'Download it again.') from error


def matching(part: Part, files: dict[str, Reader]) -> dict[str, Reader]:
    """The images of a part by the names they will have.

    Raises:
        DataError: two of them would have one name.
    """
    pattern = re.compile('(?:.*/)?' + re.escape(part.members).replace(r'\*', '[^/]*') + '$')
    chosen: dict[str, Reader] = {}
    for path, read in sorted(files.items()):
        if pattern.match(path) and not os.path.basename(path).startswith('.'):
            stem, suffix = os.path.splitext(os.path.basename(path))
            name = part.named.format(stem, *reversed(path.split('/')[:-1])) + suffix.lower()
            if name in chosen:
                raise DataError(path, 'a name of its own', f'{name} again', 'Keep the archives of one version only.')
            chosen[name] = read
    return chosen


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which appears under its name when it is full.

    Raises:
        DataError: there are images in a folder of that name.
    """
    if images(folder):
        raise DataError(str(folder), 'no images yet', f'{len(images(folder))}', 'Move it away to make it again.')
    made = folder.with_name(f'.{folder.name}.{os.getpid()}.tmp')
    made.mkdir(parents=True)
    try:
        yield made
        folder.mkdir(parents=True, exist_ok=True)
        for file in made.iterdir():
            file.rename(folder / file.name)
    finally:
        shutil.rmtree(made)


# ---- folders ----


def images(folder: Path) -> list[Path]:
    """The images that lie in a folder itself."""
    return sorted(path for path in folder.glob('*') if path.suffix.lower() in IMAGE_SUFFIXES)


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
