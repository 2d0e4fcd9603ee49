"""A ranking and the dataset that was ranked, put together."""

import os
from collections.abc import Sequence

import numpy as np

from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.nesting import layers
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import DataError, under
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Manifest, read_manifest
from basicsr_ext.selection.subsets.choose import check_ranks


class RankedImages:
    """The ranks and groups of the images of a dataset.

    Args:
        dataset: which has to hold exactly the images that were ranked, in any order.
        manifest: the file that `basicsr-ext rank` wrote.
        column: the ranks.
        per_group: read the groups too.
        kind: what chooses from them, named in errors.
        where: path of its block, named in errors.
        inside: path of the block of the dataset; None if it is `dataset` in the former.

    Attributes:
        items: the rows of the ranking.
        index_of: the item of the dataset that each row is, (rows,).
        ranks: of the rows of the ranking.
        groups: of the rows; None without `per_group`.

    Raises:
        OptionError: a column that holds no ranks.
        DataError: the manifest cannot be read, or was made from other images; names them.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        manifest: str,
        column: str,
        per_group: bool,
        kind: str,
        where: str,
        inside: str | None = None,
    ) -> None:
        with under(where):
            ranking = read_manifest(os.path.expanduser(manifest))
            self.ranks: Sequence[int] = ranking.column(column)
            check_ranks(self.ranks)
            self.groups = groups_of(ranking) if per_group else None
        self.items = ranking.items()
        self.index_of = np.argsort(_rows_of(dataset, ranking, kind, where, inside or f'{where}.dataset'))

    def leave_out(self, left_out: np.ndarray) -> None:
        """Take images out of the ranking; the ranks of the others close up.

        Args:
            left_out: of each item of the dataset, whether it is.
        """
        rows = np.flatnonzero(~left_out[self.index_of])
        ranks = np.asarray(self.ranks)[rows]
        self.ranks = (np.searchsorted(np.sort(ranks), ranks) + 1).tolist()
        self.items = [self.items[row] for row in rows]
        self.groups = None if self.groups is None else [self.groups[row] for row in rows]
        self.index_of = self.index_of[rows]

    def indices(self, rows: Sequence[int] | np.ndarray) -> list[int]:
        """The items of the dataset that some rows are, ascending."""
        found: list[int] = np.sort(self.index_of[rows]).tolist()
        return found


def groups_of(ranking: Manifest) -> list[str]:
    """The group of each row of a ranking.

    Raises:
        DataError: it has none; the message starts with `per_group`.
    """
    if 'group' not in ranking.names:
        raise DataError(
            'per_group',
            'a ranking with a column group',
            f'{", ".join(ranking.names)} in {ranking.source}',
            'Rank an AllInOneDataset, name a file of groups when you rank, or remove per_group.',
        )
    return [str(group) for group in ranking.column('group')]


def _rows_of(dataset: SampleDataset, manifest: Manifest, kind: str, where: str, inside: str) -> list[int]:
    """The row of each image; explains itself when the items are not the images that were ranked."""
    wrappers = [layer for layer in layers(dataset) if isinstance(layer, WrapperDataset)]
    cutting = next((type(layer).__name__ for layer in wrappers if layer.gives_patches), None)
    if cutting is not None:
        raise DataError(inside, 'images', f'the patches of a {cutting}', f'Put the {kind} inside the {cutting}.')
    try:
        return manifest.rows_of(inventory(dataset), f'{where}.manifest')
    except DataError as error:
        choosing = next((type(layer).__name__ for layer in wrappers if len(layer) < len(layer.dataset)), None)
        if choosing is None:
            raise
        raise DataError(
            inside,
            'all images that were ranked',
            f'those that {choosing} inside has chosen',
            f'Remove one of the two, or rank the chosen ones. ({error})',
        ) from error
