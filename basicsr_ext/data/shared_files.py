"""Image files that datasets have in common: those of a target, of the set that chooses checkpoints, of a reported one.

Files are the same where their bytes are, whatever their names: a copy, a link, the value of a key of an LMDB. The same
pixels in another encoding, as BasicSR's LMDBs hold them, are another file here.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import combinations
from typing import Any

from basicsr_ext.data.nesting import used_items
from basicsr_ext.data.own_pairs import SampleFiles
from basicsr_ext.data.stock_files import files_of
from basicsr_ext.errors import DataError, first_few
from basicsr_ext.images.decoding import is_lmdb, read_image
from basicsr_ext.images.lmdb_env import value_size
from basicsr_ext.runtime.files import digest_of_bytes
from basicsr_ext.schedule.sample import SampleDataset

NOTED = 10_000  # files whose digests a manifest lists one by one


@dataclass(frozen=True)
class ImageFile:
    """The file of a clean image.

    Attributes:
        path: of the file, or its key in the LMDB.
        relative: below the folder of the dataset; the key in an LMDB.
        lmdb: the LMDB that holds it; '' for a file.
        size: in bytes.
        changed: when it was, in nanoseconds; 0 in an LMDB.
    """

    path: str
    relative: str
    lmdb: str
    size: int
    changed: int

    @property
    def name(self) -> str:
        """As a message names it."""
        return f'{self.path} in {self.lmdb}' if self.lmdb else self.path


@cache
def digest_of(file: ImageFile) -> str:
    """The digest of the content of a file, which is read once in a process.

    Raises:
        ImageError: it cannot be read.
    """
    return digest_of_bytes(read_image(file.lmdb, file.path))


def image_files(dataset: SampleDataset, sizes: Collection[int] | None = None) -> list[ImageFile]:
    """The files of the clean images that a dataset uses at any time, each once.

    Args:
        dataset: any, also inside wrappers; one that does not tell its files has none, and neither have images that are
            missing or damaged in their LMDB.
        sizes: in bytes, of the files to give; None gives all.
    """
    return list(dict.fromkeys(_image_files(dataset, sizes)))


def _image_files(dataset: SampleDataset, sizes: Collection[int] | None) -> Iterator[ImageFile]:
    for reader, used in used_items(dataset):
        if not hasattr(reader, 'opt'):
            continue
        files = files_of(reader)
        if isinstance(files, SampleFiles):
            continue
        lmdb = files.root if is_lmdb(files.root) else ''
        for index in used:
            path = files.listed(index).get('gt')
            if path is not None:
                try:
                    size, changed = _size(lmdb, path)
                    if sizes is None or size in sizes:
                        yield ImageFile(path, files.relative(index), lmdb, size, changed)
                except (OSError, DataError):
                    continue


def _size(lmdb: str, path: str) -> tuple[int, int]:
    if lmdb:
        return value_size(lmdb, path) or 0, 0
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def shared(first: SampleDataset, second: SampleDataset) -> list[tuple[str, str]]:
    """The files of clean images that two datasets share: the names in each of them, in the order of the first.

    Only files whose size occurs in both are read.

    Args:
        first, second: as for `image_files`.
    """
    ours = image_files(first)
    return shared_among(ours, image_files(second, {file.size for file in ours}))


def shared_among(ours: Sequence[ImageFile], theirs: Sequence[ImageFile]) -> list[tuple[str, str]]:
    """What `shared` gives of two datasets, of their files."""
    sizes = {file.size for file in ours} & {file.size for file in theirs} - {0}
    named = {digest: file.name for file, digest in _digests(reversed(theirs), sizes)}
    return [(file.name, named[digest]) for file, digest in _digests(ours, sizes) if digest in named]


def _digests(files: Iterable[ImageFile], sizes: set[int] | None = None) -> Iterator[tuple[ImageFile, str]]:
    """The files of some sizes with their digests, but for those that cannot be read."""
    for file in files:
        if sizes is None or file.size in sizes:
            try:
                yield file, digest_of(file)
            except DataError:
                continue


def refuse_shared(sets: Mapping[str, SampleDataset]) -> None:
    """Demand that no two datasets share the file of a clean image.

    Args:
        sets: what they are called in messages -> the datasets.

    Raises:
        DataError: two do, names the first few; or one does not tell its files.
    """
    for name, dataset in sets.items():
        if not image_files(dataset):
            raise DataError(
                name, 'a dataset that tells its files', type(dataset).__name__, 'Choose a dataset of single images.'
            )
    for (one, first), (other, second) in combinations(sets.items(), 2):
        found = shared(first, second)
        if found:
            raise DataError(
                f'{one} and {other}',
                'no image in both',
                f'{len(found)} files: {named_pairs(found)}',
                'Take these images out of one of them.',
            )


def named_pairs(pairs: list[tuple[str, str]]) -> str:
    """The first few pairs of `shared` for a message."""
    return first_few([first if first == second else f'{first} is {second}' for first, second in pairs], '; ')


# ---- what a manifest notes ----


def note_of(dataset: SampleDataset) -> dict[str, Any]:
    """What a manifest notes of a target, as JSON values: its name and the digest of each file, by the relative path.

    Of more than 10,000 files it is one digest of all. Of files of one relative path, as groups may have them, the
    second one has the number 2 behind it.
    """
    digests: dict[str, str] = {}
    times: Counter[str] = Counter()
    for file, digest in _digests(image_files(dataset)):
        times[file.relative] += 1
        number = times[file.relative]
        digests[file.relative if number == 1 else f'{file.relative} ({number})'] = digest
    note = {'name': str(dataset.opt.get('name', ''))}
    if len(digests) > NOTED:
        return {**note, 'digest': _total(digests.values())}
    return {**note, 'files': digests}


def shared_with_note(dataset: SampleDataset, note: Any) -> list[tuple[str, str]]:
    """The files that a dataset shares with what `note_of` noted of another one; none where the note is another thing.

    Of a digest of all files, a dataset that is the same as a whole shares all.
    """
    if not isinstance(note, Mapping):
        return []
    ours = list(_digests(image_files(dataset)))
    if isinstance(note.get('files'), Mapping):
        named = {str(digest): str(path) for path, digest in note['files'].items()}
        return [(file.name, named[digest]) for file, digest in ours if digest in named]
    if ours and note.get('digest') == _total(digest for _, digest in ours):
        return [(file.name, file.name) for file, _ in ours]
    return []


def _total(digests: Iterable[str]) -> str:
    return blake2b('\n'.join(sorted(digests)).encode(), digest_size=16).hexdigest()
