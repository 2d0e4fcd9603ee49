"""Many small images as a folder or as an LMDB of BasicSR's: whole under its name, or not there at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import cv2
import lmdb
import numpy as np
from basicsr.utils.lmdb_util import LmdbMaker

from basicsr_ext.errors import OptionError, refuse_if_any
from basicsr_ext.images.decoding import is_lmdb

PNG_LEVEL = 1  # of compression, as in BasicSR's LMDBs
BATCH = 256  # images that an LMDB keeps in memory before it writes them
PAGE = 4096  # bytes, by which an LMDB grows


class ImageWriter(Protocol):
    """Takes images one by one."""

    def put(self, name: str, image: np.ndarray) -> None:
        """Write an image: its name without ending; (H, W, C), uint8, grey or in OpenCV's order B, G, R."""

    def close(self) -> None:
        """Finish, after the last image."""


class FolderWriter:
    """PNG files in a folder, which is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, name: str, image: np.ndarray) -> None:
        """See `ImageWriter`."""
        (self.path / f'{name}.png').write_bytes(_png(image))

    def close(self) -> None:
        """Do nothing: every image is written already."""


class LmdbWriter:
    """A new LMDB.

    Args:
        path: ends in `.lmdb`.
        room: bytes that it can grow to; where files cannot have holes, it takes so many from the start.
    """

    def __init__(self, path: Path, room: int) -> None:
        self.maker = LmdbMaker(str(path), map_size=room, batch=BATCH, compress_level=PNG_LEVEL)

    def put(self, name: str, image: np.ndarray) -> None:
        """See `ImageWriter`."""
        self.maker.put(_png(image), name, image.shape)

    def close(self) -> None:
        """Commit what is left, and write its list of names."""
        self.maker.close()


def _png(image: np.ndarray) -> bytes:
    _, encoded = cv2.imencode('.png', np.ascontiguousarray(image), [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    return encoded.tobytes()


def output_paths(output: Path, kinds: Sequence[str]) -> dict[str, Path]:
    """The folder or LMDB of the images of each kind.

    Args:
        output: a folder, or an LMDB by its ending.
        kinds: `GT` alone goes to `output` itself; GT and LQ to folders in it, or to `x_GT.lmdb` and `x_LQ.lmdb`.
    """
    if len(kinds) == 1:
        return {kinds[0]: output}
    if is_lmdb(output.name):
        return {kind: output.with_name(f'{output.stem}_{kind}.lmdb') for kind in kinds}
    return {kind: output / kind for kind in kinds}


def check_names(output: Path, names: Sequence[str]) -> None:
    """Check that BasicSR will read images of these names.

    It ends the key of an LMDB at the first dot, and our datasets at the first blank; it writes keys in ASCII. Hidden
    files of a folder are not read.

    Raises:
        DataError: names that would be cut or skipped.
    """
    if is_lmdb(output.name):
        bad = [name for name in names if '.' in name or name.split() != [name] or not name.isascii()]
        expected = 'names of images in ASCII without dots and blanks, as keys of an LMDB have to be'
        refuse_if_any(bad, expected, 'Rename the images, or write a folder.', f'-o {output.name}')
    else:
        hidden = [name for name in names if name.startswith('.')]
        refuse_if_any(hidden, 'images that are not hidden', 'Rename them.', f'-o {output.name}')


@contextmanager
def new_images(output: Path, kinds: Sequence[str], number: int, largest: int) -> Iterator[dict[str, ImageWriter]]:
    """Writers of images that appear under their names when the block ends without an error.

    Args:
        output, kinds: as in `output_paths`.
        number: of images that will be written of each kind, at most.
        largest: bytes of the pixels of an image, at most.

    Raises:
        OptionError: what should be written is already there, or cannot be written.
    """
    paths = output_paths(output, kinds)
    for path in paths.values() if is_lmdb(output.name) else [output]:
        if os.path.lexists(path):
            raise OptionError(f'-o {path}', 'a new name', 'one that is there', 'Remove it or name another.')
    # An incompressible image becomes a little larger as a PNG, and whole pages are taken.
    room = number * (2 * largest + 2 * PAGE) + 2**24
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f'.{output.name}.', dir=output.parent) as temporary:
            places = {kind: Path(temporary, path.relative_to(output.parent)) for kind, path in paths.items()}
            with ExitStack() as stack:
                writers: dict[str, ImageWriter] = {}
                for kind, place in places.items():
                    if not is_lmdb(output.name):
                        place.mkdir(parents=True)
                    writer: ImageWriter = LmdbWriter(place, room) if is_lmdb(output.name) else FolderWriter(place)
                    writers[kind] = stack.enter_context(closing(writer))
                yield writers
            for made in sorted(Path(temporary).iterdir()):
                os.rename(made, output.with_name(made.name))
    except (OSError, lmdb.Error) as error:
        raise OptionError(f'-o {output}', 'room and the right to write there', error, 'Name another.') from error
