"""A part of a ranking that rises from epoch to epoch: the dynamic selection of TripleD."""

from collections.abc import Sequence

import numpy as np

from basicsr_ext.errors import OptionError
from basicsr_ext.selection.subsets.quotas import shared_out

START, UNTIL = 0.5, 0.5  # of the quantile, see below


class DynamicSelection:
    """The M images of each epoch: those ranked just below a quantile that rises to the top.

    In epoch e of E, both from 0, the quantile is q(e) = q0 + (1 - q0) min(1, e / (rho E)) (TripleD names no schedule;
    this one is ours). Of the n images of a ranking, those above the quantile are the best n - floor(q n); the M
    next ones are taken, or the last M where fewer are left. From q = 1 on they are the first M of the ranking.

    With groups, each has its quota (see `quotas`) and its own quantile: q(e) of its own n images.

    Args:
        ranks: of the rows, 1 = most complex; 1 to n, each once.
        size: M; None with `ratio`.
        ratio: M as a part of all images: ceil(ratio * n), with groups at least one a group.
        groups: of the rows; None takes all as one.
        start: q0, the quantile of the first epoch.
        until: rho, the part of the run after which the quantile is 1.

    Attributes:
        size: M.

    Raises:
        OptionError: more images than there are, fewer than groups, or numbers out of their bounds; the message starts
            with the name of the argument.
    """

    def __init__(
        self,
        ranks: Sequence[int],
        size: int | None = None,
        ratio: float | None = None,
        groups: Sequence[str] | None = None,
        start: float = START,
        until: float = UNTIL,
    ) -> None:
        check_bar(start, until)
        self.start, self.until = start, until
        self.parts = shared_out(np.argsort(ranks), ranks, groups, size, ratio)
        self.size = sum(quota for _, quota in self.parts)

    def quantile(self, epoch: np.ndarray | float, epochs: float) -> np.ndarray:
        """The quantile q(e) of an epoch.

        Args:
            epoch: e, from 0.
            epochs: E, not rounded; 0 outside of a run, which has the quantile of the first epoch.
        """
        progress = np.asarray(epoch) / (self.until * epochs) if epochs else np.zeros_like(epoch)
        return np.asarray(self.start + (1 - self.start) * np.minimum(1, progress))

    def top_epoch(self, epochs: float) -> int:
        """The first epoch whose images are the first of the ranking."""
        return 0 if self.start == 1 else int(np.ceil(round(self.until * epochs, 6)))

    def rows(self, epoch: int, epochs: float, seed: int = 0) -> np.ndarray:
        """The rows of an epoch, (M,), ascending; `seed` does not matter."""
        q = self.quantile(epoch, epochs)
        left_out = [int(_above(q, len(part), quota)) for part, quota in self.parts]
        chosen = [part[first : first + quota] for first, (part, quota) in zip(left_out, self.parts, strict=True)]
        return np.sort(np.concatenate(chosen))

    def rows_until(self, epoch: int, epochs: float, seed: int = 0) -> np.ndarray:
        """The rows of all epochs before one, ascending, each once."""
        different = min(epoch, self.top_epoch(epochs) + 1)  # those after are the same
        q = self.quantile(np.arange(different), epochs)
        return np.sort(
            np.concatenate([_windows(part, quota, _above(q, len(part), quota)) for part, quota in self.parts])
        )

    def rows_ever(self) -> np.ndarray:
        """The rows that a run of any length can use, ascending, each once."""
        q = np.asarray(self.start)
        return np.sort(np.concatenate([part[: int(_above(q, len(part), quota)) + quota] for part, quota in self.parts]))


def _above(q: np.ndarray, count: int, quota: int) -> np.ndarray:
    """The number of images of a group that are left out above the quantile."""
    above: np.ndarray = count - np.floor(np.round(q * count, 6)).astype(np.int64)
    return np.minimum(above, count - quota)


def _windows(part: np.ndarray, quota: int, firsts: np.ndarray) -> np.ndarray:
    """The union of `part[first : first + quota]`."""
    begun, ended = (np.bincount(places, minlength=len(part) + 1) for places in (firsts, firsts + quota))
    return part[np.cumsum(begun - ended)[:-1] > 0]


def check_bar(start: float, until: float) -> None:
    """Check the two numbers of the quantile.

    Raises:
        OptionError: out of their bounds; the message starts with the name of the argument.
    """
    if not 0 <= start <= 1:
        raise OptionError('start', 'a quantile from 0 to 1', start, 'Correct the value.')
    if not 0 < until <= 1:
        raise OptionError('until', 'a part of the run above 0 and up to 1', until, 'Correct the value.')
