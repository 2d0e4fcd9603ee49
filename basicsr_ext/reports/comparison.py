"""What the trainings of a comparison reached, and what that says: differences, and the choice to take."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from basicsr_ext.reports.paired import Difference, differences_of

FULL, RANDOM = 'full', 'random'


@dataclass(frozen=True)
class Metric:
    """What is compared.

    Attributes:
        name: of the metric in the option file.
        unit: `dB` or ''.
        better: `higher` or `lower`.
    """

    name: str
    unit: str
    better: str

    @property
    def digits(self) -> int:
        """Decimals that are worth reading."""
        return 2 if self.unit else 4

    def text(self, value: float) -> str:
        """A value with its unit."""
        return f'{value:.{self.digits}f} {self.unit}'.rstrip()

    def gain(self, value: float) -> str:
        """A difference with its sign and unit."""
        return f'{round(value, self.digits) + 0:+.{self.digits}f} {self.unit}'.rstrip()

    def interval(self, difference: Difference) -> str:
        """A difference with its interval, as `+0.11 dB (0.04 to 0.18)`."""
        if not np.isfinite(difference.low):
            return f'{self.gain(difference.mean)} (one seed)'
        low, high = (f'{round(value, self.digits) + 0:.{self.digits}f}' for value in (difference.low, difference.high))
        return f'{self.gain(difference.mean)} ({low} to {high})'


@dataclass(frozen=True)
class Measured:
    """A row: the trainings on one choice.

    Attributes:
        title: of the row.
        kind: of the choice, such as `influence:top`.
        size: `5 %`, or '' for all images.
        images: files that are read.
        items: samples of an epoch: images, or patches.
        bytes: of these files.
        choosing: seconds that choosing took, with the training of the proxy.
        training: mean seconds of one training.
        values: reported set -> values of each seed on each image, (S, I).
    """

    title: str
    kind: str
    size: str
    images: int
    items: int
    bytes: int
    choosing: float
    training: float
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Judged:
    """A row and how it differs.

    Attributes:
        row: what was measured.
        reference: the title of what it is compared with first; '' for a reference itself.
        over: the difference to it, on the first reported set; None for a reference.
        over_full: the difference to all images; None where these are no row.
    """

    row: Measured
    reference: str
    over: Difference | None
    over_full: Difference | None

    @property
    def word(self) -> str:
        """The verdict on the row."""
        if self.over is None:
            return 'reference'
        if self.over.is_clear:
            return 'better' if self.over.mean > 0 else 'worse'
        return 'no difference seen'


@dataclass(frozen=True)
class Comparison:
    """All rows of a table.

    Attributes:
        name: of the training file's experiment.
        rows: in the order of the table.
        metric: that decides.
        iterations, full_iterations: of each training, and of the training file.
        pixels: of the ground truth that a training sees.
        pool: training images in all.
        notes: sentences on how the sets came about.
    """

    name: str
    rows: Sequence[Measured]
    metric: Metric
    iterations: int
    full_iterations: int
    pixels: int
    pool: int
    notes: Sequence[str]

    @property
    def report(self) -> str:
        """The reported set that decides."""
        return next(iter(self.rows[0].values))

    @property
    def seeds(self) -> int:
        """Trainings of each row."""
        return len(self.rows[0].values[self.report])

    def reference_of(self, row: Measured) -> Measured | None:
        """The random images of the same size; of rows without a size those of the largest one, or else all images."""
        random = [each for each in self.rows if each.kind == RANDOM]
        same = [each for each in random if each.size == row.size]
        full = [each for each in self.rows if each.kind == FULL]
        found = (same or sorted(random, key=lambda each: each.images)[-1:] or full or [self.rows[0]])[0]
        return None if found is row or row.kind == RANDOM else found

    def gains(self, row: Measured, other: Measured) -> np.ndarray:
        """Paired differences on the first reported set, (S, I); positive is better."""
        sign = 1 if self.metric.better == 'higher' else -1
        gains: np.ndarray = sign * (row.values[self.report] - other.values[self.report])
        return gains

    @cached_property
    def judged(self) -> list[Judged]:
        """Every row with its differences; the intervals of one column hold together."""
        references = {row.title: found for row in self.rows if (found := self.reference_of(row)) is not None}
        full = next((row for row in self.rows if row.kind == FULL), None)
        over = differences_of(
            {row.title: self.gains(row, references[row.title]) for row in self.rows if row.title in references}
        )
        over_full = differences_of(
            {} if full is None else {row.title: self.gains(row, full) for row in self.rows if row is not full}
        )
        return [
            Judged(
                row,
                references[row.title].title if row.title in references else '',
                over.get(row.title),
                over_full.get(row.title),
            )
            for row in self.rows
        ]

    def records(self) -> list[dict[str, Any]]:
        """Every row as plain values, for JSON and tables of numbers."""
        return [_record(each, self) for each in self.judged]


def _record(judged: Judged, comparison: Comparison) -> dict[str, Any]:
    row = judged.row
    means = {name: values.mean(1) for name, values in row.values.items()}
    return {
        'title': row.title,
        'set': row.kind,
        'size': row.size,
        'images': row.images,
        'items': row.items,
        'bytes': row.bytes,
        'choosing_seconds': round(row.choosing, 1),
        'training_seconds': round(row.training, 1),
        'iterations': comparison.iterations,
        'pixels': comparison.pixels,
        'seeds': comparison.seeds,
        'mean': {name: float(values.mean()) for name, values in means.items()},
        'deviation': {name: float(values.std(ddof=1)) if len(values) > 1 else None for name, values in means.items()},
        'reference': judged.reference or None,
        'over_reference': None if judged.over is None else asdict(judged.over),
        'over_full': None if judged.over_full is None else asdict(judged.over_full),
        'verdict': judged.word,
        'values': {name: values.tolist() for name, values in row.values.items()},
    }
