"""The image files of a dataset that reads them, ours or one of BasicSR's, behind the same few methods."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from basicsr.utils import bgr2ycbcr

from basicsr_ext.data.nesting import readers
from basicsr_ext.data.own_pairs import SampleFiles
from basicsr_ext.errors import DataError
from basicsr_ext.images.decoding import (
    IMAGE_SUFFIXES,
    decode_grey,
    decode_image,
    is_lmdb,
    lmdb_content,
    read_image,
)
from basicsr_ext.images.headers import header_size
from basicsr_ext.images.image_files import ImageFiles, Kind
from basicsr_ext.images.pair_files import PairFiles
from basicsr_ext.images.pixels import to_unit
from basicsr_ext.schedule.sample import SampleDataset

ROOTS = {'gt': 'dataroot_gt', 'lq': 'dataroot_lq'}


class StockFiles:
    """The images of one of BasicSR's datasets, by its indices, with the methods of `ImageFiles`.

    `gt` is what lies below `dataroot_gt`; a dataset that has none takes the images below `dataroot_lq` for it.

    Args:
        dataset: tells in `paths` the file of each item, or both of a pair; one that does not has no files.

    Attributes:
        kinds: `gt`, and `lq` where items are pairs of files.
        channels, lq_channels: of the images as the dataset gives them, 1 or 3.
    """

    exact = False

    def __init__(self, dataset: Any) -> None:
        self.dataset, opt = dataset, dataset.opt
        roots = {kind: opt[key] for kind, key in ROOTS.items() if isinstance(opt.get(key), str)}
        self.roots = {kind: os.path.expanduser(root) for kind, root in roots.items()}
        self.main = 'gt' if 'gt' in roots else 'lq'
        self.channels = self.lq_channels = 1 if opt.get('color') in ('gray', 'y') else 3
        entries = getattr(dataset, 'paths', None)
        self.entries: Sequence[Any] = entries if isinstance(entries, Sequence) else ()
        is_pair = bool(self.entries) and {'gt_path', 'lq_path'} <= set(self._named(0))
        self.kinds: tuple[Kind, ...] = ('gt', 'lq') if is_pair else ('gt',)

    def __len__(self) -> int:
        return len(self.dataset)

    def _named(self, index: int) -> dict[str, Any]:
        """The entry of an item as the dataset lists and names it."""
        entry = self.entries[index]
        return entry if isinstance(entry, dict) else {f'{self.main}_path': entry}

    @property
    def root(self) -> str:
        """The folder or LMDB of the images of the kind `gt`; '' where the dataset has none."""
        return self.roots.get(self.main, '')

    def _key(self, kind: Kind) -> str:
        return self.main if kind == 'gt' else kind

    def path(self, index: int, kind: Kind = 'gt') -> str:
        """The file of an image, or its key in the LMDB.

        Raises:
            DataError: the dataset does not tell it.
        """
        path = self._named(index).get(f'{self._key(kind)}_path') if index < len(self.entries) else None
        if not isinstance(path, str):
            raise self._unlisted()
        return path

    def _unlisted(self) -> DataError:
        return DataError(
            f'dataset {self.dataset.opt.get("name")}',
            'a dataset that lists one path an item',
            type(self.dataset).__name__,
            'Choose a dataset of single images.',
        )

    def listed(self, index: int) -> dict[Kind, str]:
        """The images of an item as `path` gives them, by kind; none where the dataset does not tell them."""
        named = self._named(index) if index < len(self.entries) else {}
        paths: dict[Kind, Any] = {kind: named.get(f'{self._key(kind)}_path') for kind in self.kinds}
        return paths if all(self._is_image(kind, path) for kind, path in paths.items()) else {}

    def _is_image(self, kind: Kind, path: Any) -> bool:
        return isinstance(path, str) and (self._in_lmdb(kind) or path.lower().endswith(IMAGE_SUFFIXES))

    def _in_lmdb(self, kind: Kind = 'gt') -> bool:
        return is_lmdb(self.roots.get(self._key(kind), ''))

    def relative(self, index: int, kind: Kind = 'gt') -> str:
        """The path below the folder, with `/`; the key in an LMDB.

        Raises:
            DataError: the dataset does not tell exactly one path per item.
        """
        path, key = self.path(index, kind), self._key(kind)
        if len(self.entries) != len(self.dataset) or key not in self.roots:
            raise self._unlisted()
        return path if self._in_lmdb(kind) else os.path.relpath(path, self.roots[key]).replace(os.sep, '/')

    def item(self, index: int) -> str:
        """The path that names an item: that of its image of the kind `gt`.

        Raises:
            DataError: as `relative`.
        """
        return self.relative(index)

    def sources(self) -> list[str]:
        """The files that hold all images, those of both kinds."""
        if self._in_lmdb():
            return [lmdb_content(root) for root in self.roots.values()]
        return [path for index in range(len(self.entries)) for path in self._named(index).values()]

    def size(self, index: int) -> tuple[int, int]:
        """Height and width, read from the file's header or the list of the LMDB alone.

        Raises:
            DataError: the header is not that of an image.
        """
        path = self.path(index)
        return self._sizes_in_lmdb[path] if self._in_lmdb() else header_size(path, path)

    @cached_property
    def _sizes_in_lmdb(self) -> dict[str, tuple[int, int]]:
        """Key -> height and width, from lines of meta_info.txt such as `0001.png (480,480,3) 1`."""
        sizes = {}
        for line in Path(self.roots[self.main], 'meta_info.txt').read_text(encoding='utf-8').splitlines():
            name, _, rest = line.partition(' (')
            height, width = rest.split(',')[:2]
            sizes[os.path.splitext(name)[0]] = (int(height), int(width.rstrip(') ')))
        return sizes

    def sizes(self, index: int) -> dict[Kind, tuple[int, int]]:
        """Height and width of each file of a pair, from the headers; of nothing else, which BasicSR cuts as it is.

        Raises:
            DataError: a header is not that of an image.
        """
        paths = self.listed(index)
        if len(paths) < 2 or self._in_lmdb():
            return {}
        return {kind: header_size(path, path) for kind, path in paths.items()}

    def decode(self, index: int) -> np.ndarray:
        """The pixels of an image as the dataset has them, before it normalises them.

        Returns:
            (H, W, C) in OpenCV's order, uint8; under `color: y` float32 on the same scale, since BasicSR does not
            round it.

        Raises:
            DataError: the file is no image or is damaged.
        """
        image = self._decode(index, 'gt', cv2.IMREAD_COLOR)
        if self.dataset.opt.get('color') != 'y':
            return image
        luma = bgr2ycbcr(to_unit(image), y_only=True)
        return luma[..., None] * np.float32(255)

    def original(self, index: int, kind: Kind = 'gt') -> np.ndarray:
        """The pixels of a file, (H, W, C), uint8, grey or in OpenCV's order, whatever `color` is.

        Raises:
            DataError: the file is no image or is damaged.
        """
        image = self._decode(index, kind, cv2.IMREAD_ANYCOLOR)
        return image if image.ndim == 3 else image[..., None]

    def grey(self, index: int) -> np.ndarray:
        """An image in grey, (H, W) uint8; see `decode_grey`.

        Raises:
            DataError: the file is no image or is damaged.
        """
        return decode_grey(self._read(index), self.path(index))

    def _decode(self, index: int, kind: Kind, flag: int) -> np.ndarray:
        return decode_image(self._read(index, kind), flag, self.path(index, kind))

    def _read(self, index: int, kind: Kind = 'gt') -> bytes:
        return read_image(self.roots.get(self._key(kind), ''), self.path(index, kind))


Files = ImageFiles | PairFiles | StockFiles


def files_of(reader: Any) -> Files:
    """The image files of a dataset that reads them itself, by its indices."""
    own = getattr(reader, 'files', None)
    return cast(Files, own) if isinstance(own, ImageFiles | PairFiles | SampleFiles) else StockFiles(reader)


def file_kinds(dataset: SampleDataset) -> tuple[Kind, ...]:
    """The kinds of images that a dataset, or one inside, reads from files: `gt`, and `lq` where inputs are such."""
    return max((files_of(reader).kinds for reader in readers(dataset)), key=len)


def reads_pairs(dataset: SampleDataset) -> bool:
    """Whether a dataset, or one inside, reads its input from files too."""
    return 'lq' in file_kinds(dataset)
