"""Which images a dataset has, without decoding them: what a manifest is compared with."""

import os
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from basicsr_ext.data.all_in_one_dataset import AllInOneDataset
from basicsr_ext.data.degradation_base import DegradationDataset
from basicsr_ext.data.nesting import readers
from basicsr_ext.data.wrapper_base import StockDataset, WrapperDataset
from basicsr_ext.errors import DataError, refuse_if_any
from basicsr_ext.images.decoding import header_size, is_lmdb
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item


def inventory(dataset: SampleDataset, tolerant: bool = False) -> list[Item]:
    """The images of a dataset in the order of its indices, by the headers of the files.

    Args:
        dataset: one of ours or BasicSR's with `paths`, also inside wrappers, or several in an AllInOneDataset, whose
            paths then begin with their group.
        tolerant: give files that are no images the size 0 x 0 instead of refusing them.

    Raises:
        DataError: a dataset that does not tell its files, or names two alike; files that are no images.
    """
    items = _items(dataset, tolerant)
    times = Counter(item.name for item in items)
    refuse_if_any(
        [item.path for item in items if times[item.name] > 1],
        'image names that differ, not counting their endings',
        'Rename or remove one of each pair.',
        f'dataset {dataset.opt.get("name")}',
    )
    return items


def _items(dataset: SampleDataset, tolerant: bool) -> list[Item]:
    if isinstance(dataset, WrapperDataset):
        inner = _items(dataset.dataset, tolerant)
        return [inner[index] for index in dataset.indices()]
    if isinstance(dataset, StockDataset):
        return _items(dataset.dataset, tolerant)
    if isinstance(dataset, AllInOneDataset):
        groups = ((group, _items(part, tolerant)) for group, part in zip(dataset.groups, dataset.parts, strict=True))
        return [replace(item, path=f'{group}/{item.path}', group=group) for group, items in groups for item in items]
    if isinstance(dataset, DegradationDataset):
        names = [name.replace(os.sep, '/') for name in dataset.files.names]
        sizes = [_size(partial(dataset.files.size, index), tolerant) for index in range(len(names))]
        return [Item(name, *size) for name, size in zip(names, sizes, strict=True)]
    root, paths = stock_files(dataset)
    if is_lmdb(root):
        known = _sizes_in_lmdb(Path(root, 'meta_info.txt'))
        return [Item(path, *known[path]) for path in paths]
    sizes = [_size(partial(header_size, path, path), tolerant) for path in paths]
    names = [os.path.relpath(path, root).replace(os.sep, '/') for path in paths]
    return [Item(name, *size) for name, size in zip(names, sizes, strict=True)]


def _size(read: Callable[[], tuple[int, int]], tolerant: bool) -> tuple[int, int]:
    try:
        return read()
    except DataError:
        if not tolerant:
            raise
        return 0, 0


def stock_files(dataset: Any) -> tuple[str, list[str]]:
    """Root and files (or keys of the LMDB) of the clean images of one of BasicSR's datasets, by its indices.

    Raises:
        DataError: a dataset that does not tell its files.
    """
    opt, kind = dataset.opt, type(dataset).__name__
    entries = getattr(dataset, 'paths', None)
    if not isinstance(entries, Sequence) or len(entries) != len(dataset):
        raise DataError(
            f'dataset {opt.get("name")}: expected a dataset that lists one path an item, got {kind}. '
            'Choose a dataset of single images.'
        )
    key, root = ('gt', opt['dataroot_gt']) if opt.get('dataroot_gt') else ('lq', opt.get('dataroot_lq'))
    paths = [entry[f'{key}_path'] if isinstance(entry, dict) else entry for entry in entries]
    return os.path.expanduser(root), paths


def _sizes_in_lmdb(index: Path) -> dict[str, tuple[int, int]]:
    """Height and width from lines such as `0001.png (480,480,3) 1`."""
    sizes = {}
    for line in index.read_text(encoding='utf-8').splitlines():
        name, _, rest = line.partition(' (')
        height, width = rest.split(',')[:2]
        sizes[os.path.splitext(name)[0]] = (int(height), int(width.rstrip(') ')))
    return sizes


def content_digest(dataset: SampleDataset) -> str:
    """A digest of checksums of all files of a dataset that `inventory` accepts: it changes when a file does."""
    files = [path for reader in readers(dataset) for path in _files(reader)]
    checksums = {path: _checksum(path) for path in dict.fromkeys(files)}  # groups may share a folder
    digest = blake2b(digest_size=16)
    for path in files:
        digest.update(checksums[path].to_bytes(4, 'little'))
    return digest.hexdigest()


def _checksum(path: str) -> int:
    checksum = 0
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _files(reader: Any) -> list[str]:
    roots = [reader.opt[key] for key in ('dataroot_gt', 'dataroot_lq') if reader.opt.get(key)]
    if is_lmdb(roots[0]):
        return [os.path.join(os.path.expanduser(root), 'data.mdb') for root in roots]
    if isinstance(reader, DegradationDataset):
        return [reader.files.path(index) for index in range(len(reader))]
    return [path for entry in reader.paths for path in (entry.values() if isinstance(entry, dict) else [entry])]
