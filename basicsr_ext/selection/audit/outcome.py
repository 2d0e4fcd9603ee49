"""From what was measured to what it means: the columns of the manifest, which images are suspect, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from basicsr_ext.errors import DataError
from basicsr_ext.selection.audit.findings import FINDINGS, Finding, Side
from basicsr_ext.selection.audit.measured_image import LOW
from basicsr_ext.selection.audit.neighbours import nearest
from basicsr_ext.selection.audit.outliers import FEATURES, distances
from basicsr_ext.selection.audit.thresholds import Bounds, bounds_of
from basicsr_ext.selection.manifest import Item

OTHER = {'duplicate': 'duplicate_of', 'leak': 'leak_of'}  # the columns that name the other image


@dataclass(frozen=True)
class FindingNote:
    """What the column of a finding means, as the header of an audit has it.

    Attributes:
        says, unit, side: as of the `Finding`.
        usual, low, high: as of its `Bounds` in this set.
        widespread: whether what is usual lies beyond the limit itself.
    """

    says: str
    unit: str
    side: Side
    usual: float
    low: float | None
    high: float | None
    widespread: bool


@dataclass(frozen=True)
class Outcome:
    """The columns of a manifest, and what goes into its header.

    Attributes:
        columns: name -> a value for each training image.
        bounds: what is usual of each finding, and where suspect values begin.
    """

    columns: dict[str, list[Any]]
    bounds: dict[str, Bounds]

    @property
    def notes(self) -> dict[str, Any]:
        """What the columns of findings mean, each a `FindingNote` as JSON values."""
        return {'findings': {name: asdict(_note(FINDINGS[name], bounds)) for name, bounds in self.bounds.items()}}


def outcome(
    values: Mapping[str, np.ndarray],
    names: Sequence[str],
    train: Sequence[Item],
    test: Sequence[Item] = (),
    sensitivity: float = 1.0,
    first: Sequence[int] | None = None,
) -> Outcome:
    """Draw the conclusions of a scan.

    Args:
        values: of the training images and, behind them, of the test images (`AuditScan.values`).
        names: of the findings that were looked for.
        train, test: the images.
        sensitivity: see `bounds_of`.
        first: of each training image, the first one of the same file, whose copy it is not; None where all differ.

    Raises:
        DataError: no training image can be decoded.
    """
    found = {name: column[: len(train)] for name, column in values.items()}
    if found['damaged'].all():
        raise DataError('datasets.train', 'images that decode', 'none', 'Replace them.')
    others: dict[str, list[str]] = {}
    if 'outlier' in names:
        found['outlier'] = distances(_part(found, 'feature', FEATURES))
    pictures = np.nan_to_num(_part(values, 'picture', LOW * LOW)).reshape(-1, LOW, LOW)
    own, which = np.unique(range(len(train)) if first is None else first, return_inverse=True)
    for name, compared, items in (
        ('duplicate', None, [train[row] for row in own]),
        ('leak', pictures[len(train) :], test),
    ):
        if name in names:
            near = nearest(pictures[own], compared)
            found[name] = near.distance[which]
            others[name] = [items[place].path if place >= 0 else '' for place in near.place[which]]
    wanted = [FINDINGS[name] for name in dict.fromkeys(['damaged', *names])]
    bounds = {each.name: bounds_of(found[each.name], each, sensitivity) for each in wanted}
    exceeded = {each.name: bounds[each.name].exceeded(found[each.name]) for each in wanted}
    columns: dict[str, list[Any]] = {}
    for each in wanted:
        column = found[each.name]
        columns[each.name] = np.where(np.isfinite(column), column, each.absent).tolist()
        if each.name in others:
            named = zip(others[each.name], exceeded[each.name], strict=True)
            columns[OTHER[each.name]] = [other if is_copy else '' for other, is_copy in named]
    columns['suspect'] = np.any(list(exceeded.values()), axis=0).tolist()
    columns['reason'] = [
        '; '.join(_reason(each, columns, bounds[each.name], row) for each in wanted if exceeded[each.name][row])
        for row in range(len(train))
    ]
    return Outcome(columns, bounds)


def _note(finding: Finding, bounds: Bounds) -> FindingNote:
    all_of_it = {
        'high': bounds.usual > finding.limit,
        'low': bounds.usual < finding.limit,
        'both': abs(bounds.usual - finding.absent) > finding.limit,
    }
    return FindingNote(
        finding.says,
        finding.unit,
        finding.side,
        bounds.usual,
        bounds.low,
        bounds.high,
        bool(all_of_it[finding.side]),
    )


def _part(values: Mapping[str, np.ndarray], name: str, number: int) -> np.ndarray:
    return np.stack([values[f'{name} {each}'] for each in range(number)], axis=1)


def _reason(finding: Finding, columns: Mapping[str, list[Any]], bounds: Bounds, row: int) -> str:
    """A finding in words, such as `noisy (noise 12.6 levels, 0.741 is usual)`."""
    if finding.name == 'damaged':
        return finding.says
    value = f'{finding.name} {with_unit(columns[finding.name][row], finding.unit)}'
    if finding.name in OTHER:
        return f'{finding.says}: {columns[OTHER[finding.name]][row]} ({value})'
    return f'{finding.says} ({value}, {with_unit(bounds.usual)} is usual)'


def with_unit(value: float, unit: str = '') -> str:
    """A value in three digits, four behind the point at most, with its unit."""
    return f'{round(value, 4):.3g} {unit}'.rstrip()
