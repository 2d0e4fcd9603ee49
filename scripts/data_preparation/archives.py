"""The files of archives, by the names that they will have in a folder; and folders that appear when they are full."""

import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from data_sets import Part
from matlab_files import encoded_images

from basicsr_ext.errors import DataError
from basicsr_ext.images.decoding import IMAGE_SUFFIXES
from basicsr_ext.images.listing import natural

Reader = Callable[[], BinaryIO]


def members(archive: Path) -> Iterator[tuple[str, Reader]]:
    """The files of a zip or tar archive, or the images in a file of MATLAB: path, and what opens it.

    Raises:
        DataError: it is damaged or another kind of archive.
    """
    try:
        if archive.suffix == '.mat':
            yield from ((f'{archive.name}/{name}', read) for name, read in encoded_images(archive))
        elif zipfile.is_zipfile(archive):
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
    paths = [path for path in files if pattern.match(path) and _is_image(os.path.basename(path))]
    chosen: dict[str, Reader] = {}
    for place, path in enumerate(sorted(paths, key=natural), start=1):
        stem, suffix = os.path.splitext(os.path.basename(path))
        last = re.split('[_-]', stem)[-1]
        name = part.named.format(stem, *reversed(path.split('/')[:-1]), last=last, place=place) + suffix.lower()
        if name in chosen:
            raise DataError(path, 'a name of its own', f'{name} again', 'Keep the archives of one version only.')
        chosen[name] = files[path]
    return chosen


def _is_image(name: str) -> bool:
    return not name.startswith('.') and name.lower().endswith(IMAGE_SUFFIXES)


def images(folder: Path) -> list[Path]:
    """The images that lie in a folder itself."""
    return sorted(path for path in folder.glob('*') if path.suffix.lower() in IMAGE_SUFFIXES)


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
