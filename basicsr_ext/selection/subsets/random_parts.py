"""Another random part of the images in each epoch."""

from collections.abc import Sequence

import numpy as np

from basicsr_ext.selection.subsets.quotas import shared_out

STREAM = 0x5EED  # keeps the choice of images apart from the order of samples, which is drawn from (seed, epoch) too


class RandomSelection:
    """M random images in each epoch, which depend on the seed and the epoch alone.

    With groups, each has its quota (see `quotas`) and its own random images.

    Args:
        ranks: of the rows, 1 to n, each once; they decide about the remainder of the quotas only.
        size: M; None with `ratio`.
        ratio: M as a part of all images: ceil(ratio * n), with groups at least one a group.
        groups: of the rows; None takes all as one.

    Attributes:
        size: M.

    Raises:
        OptionError: more images than there are, or fewer than groups; the message starts with the name of the argument.
    """

    def __init__(
        self,
        ranks: Sequence[int],
        size: int | None = None,
        ratio: float | None = None,
        groups: Sequence[str] | None = None,
    ) -> None:
        self.parts = shared_out(np.arange(len(ranks)), ranks, groups, size, ratio)
        self.size = sum(quota for _, quota in self.parts)
        self._forget(0)

    def rows(self, epoch: int, epochs: float, seed: int) -> np.ndarray:
        """The rows of an epoch, (M,), ascending.

        Args:
            epoch: from 0.
            epochs: of the run, which do not matter.
            seed: `manual_seed` of the run.
        """
        rng = np.random.default_rng((seed, epoch, STREAM))
        return np.sort(np.concatenate([rng.choice(part, quota, replace=False) for part, quota in self.parts]))

    def rows_until(self, epoch: int, epochs: float, seed: int) -> np.ndarray:
        """The rows of all epochs before one, ascending, each once."""
        if seed != self._seed or epoch < self._counted:
            self._forget(seed)
        while self._counted < epoch and not self._used.all():
            self._used[self.rows(self._counted, epochs, seed)] = True
            self._counted += 1
        return np.flatnonzero(self._used)

    def _forget(self, seed: int) -> None:
        """Begin to count anew which rows have been used."""
        self._seed, self._counted = seed, 0
        self._used = np.zeros(sum(len(part) for part, _ in self.parts), bool)

    def rows_ever(self) -> np.ndarray:
        """The rows that a run of any length can use: all."""
        return np.arange(len(self._used))
