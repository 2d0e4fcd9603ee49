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
        kind: of the choice, such as `influence:top`, with what the job that chooses is told.
        size: `5 %`, or '' for all images.
        images: files that are read.
        items: samples of an epoch: images, or patches.
        bytes: of these files.
        choosing: seconds that choosing took, with the training of the proxy.
        training: mean seconds of one training.
        values: reported set -> values of each seed on each image, (S, I).
        changes: `KEY=VALUE` that the row changes in the training file.
        iterations: of a training, where that is another number than in the other rows.
        pixels: that it sees, likewise.
        memory: the most bytes that a training held; None where that is not known.
        weights: the networks that were measured, a file for each seed, relative to the folder of the comparison.
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
    changes: tuple[str, ...] = ()
    iterations: int | None = None
    pixels: int | None = None
    memory: int | None = None
    weights: Sequence[str] = ()

    @property
    def is_full(self) -> bool:
        """Whether it is all images, and nothing else changes."""
        return self.kind == FULL and not self.changes

    @property
    def is_random(self) -> bool:
        """Whether it is a random draw, and nothing else changes."""
        return self.kind == RANDOM and not self.changes


@dataclass(frozen=True)
class Curves:
    """What trainings measured on their way.

    Attributes:
        name: of the images.
        rows: title of a row -> iteration -> the mean over the images, of each seed.
    """

    name: str
    rows: Mapping[str, Mapping[int, Sequence[float]]]


@dataclass(frozen=True)
class Judged:
    """A row and how it differs.

    Attributes:
        row: what was measured.
        reference: the title of what it is compared with first; '' for a reference itself.
        over: the difference to it, on the first reported set; None for a reference.
        over_full: the difference to all images; None where these are no row.
        usual: `random` or `full` where the reference is this, and nothing else changes; else ''.
    """

    row: Measured
    reference: str
    over: Difference | None
    over_full: Difference | None
    usual: str = ''

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
        against: the title of the row that the others are compared with; None for the usual ones.
        curves: of all rows, where they were asked for.
    """

    name: str
    rows: Sequence[Measured]
    metric: Metric
    iterations: int
    full_iterations: int
    pixels: int
    pool: int
    notes: Sequence[str]
    against: str | None = None
    curves: Curves | None = None

    @property
    def report(self) -> str:
        """The reported set that decides."""
        return next(iter(self.rows[0].values))

    @property
    def seeds(self) -> int:
        """Trainings of each row."""
        return len(self.rows[0].values[self.report])

    def reference_of(self, row: Measured) -> Measured | None:
        """What a row is compared with: the row that was asked for, or the usual one.

        Usual are the random images of the same size; of rows without a size those of the largest one, or else all
        images. Of a row with changes it is one with the same changes, and if there is none the row without them.
        """
        if self.against is not None:
            asked = next(each for each in self.rows if each.title == self.against)
            return None if asked is row else asked
        alike = [each for each in self.rows if each.changes == row.changes]
        random = [each for each in alike if each.kind == RANDOM]
        same = [each for each in random if each.size == row.size]
        full = [each for each in alike if each.kind == FULL]
        found = next(iter(same or sorted(random, key=lambda each: each.images)[-1:] or full), None)
        if row.changes and (found is None or found is row or row.kind == RANDOM):
            return next((each for each in self._unchanged(row)), None)
        found = found or self.rows[0]
        return None if found is row or row.kind == RANDOM else found

    def _unchanged(self, row: Measured) -> list[Measured]:
        """The row of the same choice and size without changes; if there is none, a reference of such rows."""
        plain = [each for each in self.rows if not each.changes]
        own = [each for each in plain if (each.kind, each.size) == (row.kind, row.size)]
        return own or [each for each in plain if each.kind == FULL] or plain[:1]

    def full_of(self, row: Measured) -> Measured | None:
        """The row of all images with the same changes, or without any, which those with changes are compared with."""
        full = [each for each in self.rows if each.kind == FULL]
        alike = [each for each in full if each.changes == row.changes] if row.kind != FULL else []
        plain = [each for each in full if not each.changes] if row.kind == FULL or not row.changes else []
        found = next(iter(alike or plain), None)
        return None if found is row else found

    @property
    def references_vary(self) -> bool:
        """Whether rows are compared with others than random ones and all images."""
        return self.against is not None or any(each.reference and not each.usual for each in self.judged)

    def gains(self, row: Measured, other: Measured) -> np.ndarray:
        """Paired differences on the first reported set, (S, I); positive is better."""
        sign = 1 if self.metric.better == 'higher' else -1
        gains: np.ndarray = sign * (row.values[self.report] - other.values[self.report])
        return gains

    @cached_property
    def judged(self) -> list[Judged]:
        """Every row with its differences; the intervals of one column hold together."""
        references = {row.title: found for row in self.rows if (found := self.reference_of(row)) is not None}
        full = {row.title: found for row in self.rows if (found := self.full_of(row)) is not None}
        over, over_full = (
            differences_of({row.title: self.gains(row, to[row.title]) for row in self.rows if row.title in to})
            for to in (references, full)
        )
        return [
            Judged(
                row,
                references[row.title].title if row.title in references else '',
                over.get(row.title),
                over_full.get(row.title),
                _usual(references.get(row.title)),
            )
            for row in self.rows
        ]

    def records(self) -> list[dict[str, Any]]:
        """Every row as plain values, for JSON and tables of numbers."""
        return [_record(each, self) for each in self.judged]


def _usual(reference: Measured | None) -> str:
    return reference.kind if reference is not None and (reference.is_random or reference.is_full) else ''


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
        'changes': list(row.changes),
        'iterations': row.iterations or comparison.iterations,
        'pixels': comparison.pixels if row.pixels is None else row.pixels,
        'memory_bytes': row.memory,
        'seeds': comparison.seeds,
        'mean': {name: float(values.mean()) for name, values in means.items()},
        'deviation': {name: float(values.std(ddof=1)) if len(values) > 1 else None for name, values in means.items()},
        'reference': judged.reference or None,
        'over_reference': None if judged.over is None else asdict(judged.over),
        'over_full': None if judged.over_full is None else asdict(judged.over_full),
        'verdict': judged.word,
        'values': {name: values.tolist() for name, values in row.values.items()},
        'weights': list(row.weights),
    }
