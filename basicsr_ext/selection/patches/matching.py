"""The same patches in two manifests."""

from collections.abc import Sequence

import numpy as np

from basicsr_ext.errors import DataError, first_few
from basicsr_ext.selection.manifest import Manifest


def rows_in_other(manifest: Manifest, other: Manifest) -> np.ndarray:
    """The row in another manifest of each patch of this one, by image, y and x, in any order; (rows,).

    Raises:
        DataError: the two do not hold the same patches; says how they differ.
    """
    names, their_names = ([item.name for item in one.items()] for one in (manifest, other))
    found = []
    for source, missing in (
        (other.source, sorted(set(names) - set(their_names))),
        (manifest.source, sorted(set(their_names) - set(names))),
    ):
        if missing:
            found.append(f'{len(missing)} images not in {source}: {first_few(missing)}')
    sides, their_sides = (np.unique(one.array('size')).tolist() for one in (manifest, other))
    if sides != their_sides:
        found.append(f'sides of {their_sides} instead of {sides} pixels')
    if found:
        raise _different(manifest, found)

    place_of = {name: place for place, name in enumerate(names)}
    their_places = np.array([place_of[name] for name in their_names])
    corners = (manifest.image_of_rows(), manifest.array('y'), manifest.array('x'))
    their_corners = (their_places[other.image_of_rows()], other.array('y'), other.array('x'))
    shape = tuple(int(max(a.max(), b.max())) + 1 for a, b in zip(corners, their_corners, strict=True))
    keys, their_keys = (np.ravel_multi_index(each, shape) for each in (corners, their_corners))
    for source, rest in (
        (other.source, np.setdiff1d(keys, their_keys)),
        (manifest.source, np.setdiff1d(their_keys, keys)),
    ):
        if len(rest):
            place, y, x = np.unravel_index(rest[0], shape)
            found.append(f'{len(rest)} patches not in {source}, the first one of {names[place]} at y = {y}, x = {x}')
    if found:
        raise _different(manifest, found)
    rows = np.empty(len(keys), np.int64)
    rows[np.argsort(keys)] = np.argsort(their_keys)
    return rows


def _different(manifest: Manifest, found: Sequence[str]) -> DataError:
    return DataError(
        '--other',
        f'the patches of {manifest.source}',
        '; '.join(found),
        'Mine the same dataset with the same patch_size, stride and edge.',
    )
