"""Which images a dataset has, without decoding them: what a manifest is compared with."""

import zlib
from hashlib import blake2b

from basicsr_ext.data.nesting import readers, source
from basicsr_ext.data.stock_files import Files, files_of
from basicsr_ext.data.wrapper_base import ComposedDataset
from basicsr_ext.errors import DataError, refuse_if_any
from basicsr_ext.images.names import twins
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
    refuse_if_any(
        twins([item.name for item in items], [item.path for item in items]),
        'image names that differ, not counting their endings',
        'Rename or remove one of each pair.',
        f'dataset {dataset.opt.get("name")}',
    )
    return items


def _items(dataset: SampleDataset, tolerant: bool) -> list[Item]:
    if isinstance(dataset, ComposedDataset):
        return dataset.inventory([_items(part, tolerant) for part in dataset.parts])
    files = files_of(dataset)
    return [Item(files.item(index), *_size(files, index, tolerant)) for index in range(len(files))]


def first_of_file(dataset: SampleDataset) -> list[int]:
    """For each item the first one of the same clean image: of pairs that share it, the first pair.

    Args:
        dataset: one that `inventory` accepts. Groups of an AllInOneDataset share nothing, even of one folder.
    """
    first: dict[tuple[int, str], int] = {}
    sources = (source(dataset, index) for index in range(len(dataset)))
    keys = [(id(reader), files_of(reader).path(place)) for reader, place in sources]
    return [first.setdefault(key, index) for index, key in enumerate(keys)]


def _size(files: Files, index: int, tolerant: bool) -> tuple[int, int]:
    try:
        return files.size(index)
    except DataError:
        if not tolerant:
            raise
        return 0, 0


def content_digest(dataset: SampleDataset) -> str:
    """A digest of checksums of all files of a dataset that `inventory` accepts: it changes when a file does."""
    files = [path for reader in readers(dataset) for path in files_of(reader).sources()]
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
