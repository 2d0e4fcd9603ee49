"""The file that rankings, mining and scoring write: one row per item, a header that says how it was made.

It is Parquet, so pandas, polars and DuckDB open it; the header is JSON under the key `basicsr_ext` of the file's
metadata. Columns of a ranking: `path` (relative to the dataroot), `group` where images have one, `height` and `width`
of the ground truth, one column per score, `rank`; `candidate` where only some images were scored, after which the
others have the score NaN. Columns of mined patches: `path`, `y`, `x` and `size` of the patch in the ground truth, one
column per criterion; the sizes of the images stand in the header, under `images`. Columns of an audit: `path`,
`height`, `width`, one column per finding, the other image of a copy, `suspect` and `reason`; what is usual of each
finding, and where suspect values begin, stands in the header, under `findings`.
"""

import importlib.metadata
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute, parquet

from basicsr_ext.errors import DataError, first_few, first_line, shown
from basicsr_ext.images.decoding import IMAGE_SUFFIXES
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.version import __version__

KEY = b'basicsr_ext'
PATCH_COLUMNS = ('path', 'y', 'x', 'size')
AUDIT_COLUMNS = ('suspect', 'reason')
CANDIDATE = 'candidate'  # of a ranking that scored some images alone: whether an image is one
ROW_GROUP = 65536  # rows that are written together


@dataclass(frozen=True, slots=True)
class Item:
    """An image of a dataset.

    Attributes:
        path: relative to the dataroot, with `/`; the key in an LMDB.
        height, width: of the ground truth, in pixels.
        group: what the image is counted with where parts of a dataset get equal shares, such as a degradation; '' for
            none.
    """

    path: str
    height: int
    width: int
    group: str = ''

    @property
    def name(self) -> str:
        """The path without the ending of an image file: the same on disk and in an LMDB."""
        stem, ending = os.path.splitext(self.path)
        return stem if ending.lower() in IMAGE_SUFFIXES else self.path


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read.

    Attributes:
        header: `method`, `options`, `seed`, `versions`, `fingerprint` and what the method adds.
        table: the columns.
        source: the file, named in errors.
    """

    header: dict[str, Any]
    table: pyarrow.Table
    source: str

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.table.column_names)

    @property
    def holds_patches(self) -> bool:
        """Whether a row is a patch; else it is an image."""
        return set(PATCH_COLUMNS) <= set(self.names)

    @property
    def holds_audit(self) -> bool:
        """Whether a row says what an audit found about an image."""
        return set(AUDIT_COLUMNS) <= set(self.names)

    def column(self, name: str) -> list[Any]:
        """The values of a column.

        Raises:
            DataError: there is no such column.
        """
        values: list[Any] = self._stored(name).to_pylist()
        return values

    def array(self, name: str) -> np.ndarray:
        """The values of a column of finite numbers, (rows,).

        Raises:
            DataError: there is no such column, or it holds something else.
        """
        values = np.asarray(self._stored(name))
        if not np.issubdtype(values.dtype, np.number) or not np.isfinite(values).all():
            raise DataError(
                f'manifest {self.source}',
                f'finite numbers in the column {shown(name)}',
                'others',
                'Name another manifest or column.',
            )
        return values

    def scores(self, name: str) -> np.ndarray:
        """The values of a column of a ranking, (rows,): finite numbers, NaN where an image was no candidate.

        Raises:
            DataError: there is no such column, or it holds something else.
        """
        if CANDIDATE not in self.names:
            return self.array(name)
        is_candidate = np.array(self.column(CANDIDATE), dtype=bool)
        scored = Manifest(self.header, self.table.filter(pyarrow.array(is_candidate)), self.source)
        values = np.full(len(is_candidate), np.nan)
        values[is_candidate] = scored.array(name)
        return values

    def _stored(self, name: str) -> pyarrow.ChunkedArray:
        if name not in self.names:
            raise DataError(
                f'manifest {self.source}',
                f'a column {shown(name)}',
                ', '.join(self.names),
                'Name another manifest or column.',
            )
        return self.table[name]

    @property
    def criteria(self) -> list[str]:
        """The columns that say what patches are worth."""
        return [name for name in self.names if name not in PATCH_COLUMNS]

    def image_of_rows(self) -> np.ndarray:
        """The place in `items()` of the image of each row of patches, (rows,)."""
        paths = pyarrow.array([item.path for item in self.items()], self.table['path'].type)
        return np.asarray(compute.index_in(self.table['path'], paths))

    def items(self) -> list[Item]:
        """The images: in the order of the rows of a ranking, those that have patches in the order of their paths."""
        if self.holds_patches:
            return [Item(*image) for image in self.header['images']]
        groups = self.column('group') if 'group' in self.names else [''] * len(self.table)
        rows = zip(self.column('path'), self.column('height'), self.column('width'), groups, strict=True)
        return [Item(*row) for row in rows]

    def rows_of(self, items: Sequence[Item], where: str) -> list[int]:
        """The place in `items()` of each image of a dataset; -1 for an image that the scan of patches skipped.

        Args:
            items: the inventory of the dataset, as `basicsr_ext.data.inventory.inventory` gives it.
            where: path of the block in the option file, named in errors.

        Raises:
            DataError: dataset and manifest do not hold the same images; names those that differ.
        """
        listed = self.items()
        rows = {Item(path, 0, 0).name: -1 for path in self.header.get('skipped', ())}
        rows.update({item.name: row for row, item in enumerate(listed)})
        names = [item.name for item in items]
        theirs, missing = set(names), len(listed)
        places = [rows.get(name, missing) for name in names]
        known = ((item, listed[row]) for item, row in zip(items, places, strict=True) if 0 <= row < missing)
        problems = {
            'not in the manifest': [item.path for item, row in zip(items, places, strict=True) if row == missing],
            'not in the dataset': [item.path for item in listed if item.name not in theirs],
            'of another size': [
                f'{new.path} ({new.height} x {new.width} instead of {old.height} x {old.width})'
                for new, old in known
                if (new.height, new.width) != (old.height, old.width)
            ],
        }
        found = [f'{len(names)} {problem}: {first_few(names)}' for problem, names in problems.items() if names]
        if found:
            raise DataError(
                where,
                f'the images that {self.source} was made from',
                '; '.join(found),
                'Correct the dataroot or make the manifest again.',
            )
        return places


def fingerprint(items: Sequence[Item]) -> str:
    """A digest of names and sizes that does not depend on the order or on folder or LMDB."""
    lines = sorted(f'{item.name} {item.height} {item.width}' for item in items)
    return blake2b('\n'.join(lines).encode(), digest_size=16).hexdigest()


def write_manifest(
    path: str | os.PathLike[str],
    items: Sequence[Item],
    columns: Mapping[str, Sequence[Any]],
    header: Mapping[str, Any],
) -> None:
    """Write a manifest of images atomically.

    Args:
        path: the file.
        items: the images, a row each.
        columns: name -> values, one row per item.
        header: `method`, `options`, `seed` and whatever else made the scores; plain JSON values. Versions and the
            fingerprint of the items are added.
    """
    table = pyarrow.table(
        {
            'path': [item.path for item in items],
            **({'group': [item.group for item in items]} if any(item.group for item in items) else {}),
            'height': [item.height for item in items],
            'width': [item.width for item in items],
            **{name: list(values) for name, values in columns.items()},
        }
    )
    _write(path, [table], {**header, 'fingerprint': fingerprint(items)})


def write_patch_manifest(
    path: str | os.PathLike[str],
    items: Sequence[Item],
    parts: Iterable[Mapping[str, np.ndarray]],
    header: Mapping[str, Any],
) -> int:
    """Write a manifest of patches atomically, holding a few parts of it in memory at a time.

    Args:
        path: the file.
        items: the images that have patches.
        parts: columns of the rows that come next, of the same names in all parts: `image`, the place of the patch's
            image in `items`, then `y`, `x`, `size` and the criteria.
        header: as in `write_manifest`.

    Returns:
        The number of rows.
    """
    paths = pyarrow.array([item.path for item in items], pyarrow.string())

    def tables() -> Iterator[pyarrow.Table]:
        for part in parts:
            columns = {name: values for name, values in part.items() if name != 'image'}
            yield pyarrow.table({'path': paths.take(pyarrow.array(part['image'])), **columns})

    images = [[item.path, item.height, item.width] for item in items]
    return _write(path, tables(), {**header, 'images': images, 'fingerprint': fingerprint(items)})


def _write(path: str | os.PathLike[str], tables: Iterable[pyarrow.Table], header: Mapping[str, Any]) -> int:
    text = json.dumps({**header, 'versions': versions()}, sort_keys=True).encode()
    tables = iter(tables)
    first = next(tables)
    schema, rows = first.schema.with_metadata({KEY: text}), 0
    repeated = [name for name in schema.names if name in PATCH_COLUMNS]
    with atomic_open(path) as file, parquet.ParquetWriter(file, schema, use_dictionary=repeated) as writer:
        waiting: list[pyarrow.Table] = []
        for table in chain([first], tables):
            waiting.append(table.cast(schema))
            rows += len(table)
            if sum(map(len, waiting)) >= ROW_GROUP:
                writer.write_table(pyarrow.concat_tables(waiting))
                waiting.clear()
        if waiting:
            writer.write_table(pyarrow.concat_tables(waiting))
    return rows


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest.

    Raises:
        DataError: the file is missing, is not a manifest of ours, or names files outside the dataroot.

    Example:
        >>> import torch
        >>> import basicsr_ext as bx
        >>> images = [torch.full((3, 8, 8), level / 4) for level in range(3)]
        >>> _ = bx.rank(images, method='complexity', output=folder / 'ranking.parquet')
        >>> manifest = bx.read_manifest(folder / 'ranking.parquet')
        >>> manifest.names
        ['path', 'height', 'width', 'complexity', 'rank']
        >>> manifest.header['method']
        'complexity'
    """
    advice = 'Name a file that `basicsr-ext rank` or `basicsr-ext mine` wrote.'
    if not os.path.isfile(path):
        raise DataError(f'manifest {path}', 'a file', 'none', 'Correct the path or make it first.')
    try:
        table = parquet.ParquetFile(Path(path)).read()
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        raise DataError(f'manifest {path}', 'a Parquet file', first_line(error), advice) from error
    metadata = table.schema.metadata or {}
    if KEY not in metadata or table.column_names.count('path') != 1:
        raise DataError(f'manifest {path}', 'a header and a column path', 'another Parquet file', advice)
    try:
        header = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise DataError(f'manifest {path}', 'a header in JSON', error, advice) from error
    if not isinstance(header, dict):
        raise DataError(f'manifest {path}', 'a header of names and values', shown(header), advice)
    manifest = Manifest(header, table, os.fspath(path))
    _refuse_foreign_paths(manifest)
    try:
        items = manifest.items()
        is_other = header.get('fingerprint') != fingerprint(items) or not isinstance(header.get('skipped', {}), dict)
        known = {item.path for item in items}
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f'manifest {path}', 'the images in the header', 'none', advice) from error
    if is_other or not known.issuperset(table['path'].unique().to_pylist()):
        raise DataError(f'manifest {path}', 'the rows that were written', 'others', advice)
    return manifest


@cache
def manifest_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header of a manifest: how it was made.

    Raises:
        DataError: as `read_manifest`.
    """
    return read_manifest(path).header


def versions() -> dict[str, str]:
    """The versions that the scores were computed with."""
    return {'basicsr_ext': __version__, **{name: importlib.metadata.version(name) for name in ('basicsr', 'torch')}}


def _refuse_foreign_paths(manifest: Manifest) -> None:
    paths = map(str, manifest.table['path'].unique().to_pylist())
    outside = [path for path in paths if path.startswith('/') or '..' in path.split('/')]
    if outside:
        raise DataError(
            f'manifest {manifest.source}', 'paths inside the dataroot', first_few(outside), 'Do not use it.'
        )
