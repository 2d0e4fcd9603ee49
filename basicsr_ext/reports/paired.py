"""Whether choices of images beat a reference: paired differences of trainings, their intervals, what they could see.

Two trainings are paired where they began with the same weights and the same noise. Their differences are of S seeds on
I images, d(s, i) = m + a(s) + b(i) + e(s, i), all effects random: other seeds and other images of the same kind would
have given others. The interval of m is d +- t se.

- se comes from a bootstrap that draws seeds and images anew, both with replacement (Owen, "The pigeonhole bootstrap",
  2007), widened by sqrt(S / (S - 1)) for few seeds. Few seeds may agree by chance: a row whose seeds differ less than
  those of the table do on average gets the average.
- t is of Student's distribution, with the degrees of freedom of Satterthwaite (1946) for the sum of the mean squares of
  seeds and images; with two or three seeds, whose mean squares tell little, S - 1.
- its level is divided among the rows (Bonferroni), so that of 100 tables without any difference 95 show none.

Of 1,000 made-up tables without a difference (5 seeds, 12 or 68 images, 1 to 6 rows, a spread of 0.08 dB among seeds and
0.1 dB among images) at most 6 % show one; one true difference of 0.2 dB is seen in 98 % of tables of one row and in
70 % of those of six (`tests/reports/test_paired.py` repeats it).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

LEVEL = 0.95
POWER = 0.8  # how often a difference that is called visible is seen
DRAWS = 4000  # of the bootstrap
MOST_SEEDS = 200
FEW = 4  # seeds from which on their spread is believed


@dataclass(frozen=True)
class Difference:
    """A paired difference and how well it is known.

    Attributes:
        mean: of the differences.
        low, high: the interval; infinite for a single seed.
        standard_error: of the mean; NaN for a single seed.
        visible: the least true difference that is seen four times out of five with these seeds.
        seeds: S.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    visible: float
    seeds: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def turned(self) -> 'Difference':
        """The difference seen from the other side."""
        return replace(self, mean=-self.mean, low=-self.high, high=-self.low)


def differences_of(rows: Mapping[str, np.ndarray]) -> dict[str, Difference]:
    """The mean differences of the rows of a table, with intervals that hold together.

    Args:
        rows: name -> paired differences of each seed on each image, (S, I), S and I the same for all; positive is
            better.
    """
    usual = float(np.mean([mean_squares(values)[0] for values in rows.values() if len(values) > 1] or [0.0]))
    return {name: _difference(np.asarray(values, np.float64), usual, len(rows)) for name, values in rows.items()}


def _difference(values: np.ndarray, usual: float, rows: int) -> Difference:
    """The difference of one of so many rows.

    Args:
        values: (S, I).
        usual: the mean square of the seeds that the rows have on average.
        rows: their number.
    """
    seeds, images = values.shape
    mean = float(values.mean())
    if seeds < 2:
        return Difference(mean, -np.inf, np.inf, np.nan, np.inf, seeds)
    of_seeds, of_images, _ = mean_squares(values)
    more = max(usual - of_seeds, 0.0)
    error = float(np.sqrt(bootstrap_error(values) ** 2 + more / values.size))
    freedom = _freedom(seeds, (of_seeds + more, seeds - 1), (of_images, images - 1))
    half = _quantile(freedom, rows) * error
    visible = half + float(student.ppf(POWER, freedom)) * error
    return Difference(mean, mean - half, mean + half, error, visible, seeds)


def bootstrap_error(values: np.ndarray) -> float:
    """The standard error of the mean of differences, (S, I), over seeds and images, both drawn with replacement."""
    seeds, images = values.shape
    rng = np.random.default_rng(0)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS) / seeds
    of_images = rng.multinomial(images, np.full(images, 1 / images), DRAWS) / images
    means = np.einsum('ds,ds->d', of_seeds, of_images @ values.T)
    return float(means.std() * np.sqrt(seeds / (seeds - 1)))


def mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """The mean squares of the seeds, of the images and of the rest, of (S, I) differences; 0 for a single image."""
    seeds, images = values.shape
    of_seeds = images * values.mean(1).var(ddof=1)
    if images < 2:
        return float(of_seeds), 0.0, 0.0
    of_images = seeds * values.mean(0).var(ddof=1)
    rest = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    return float(of_seeds), float(of_images), float((rest**2).sum() / ((seeds - 1) * (images - 1)))


def seeds_for(gain: float, values: np.ndarray, rows: int = 1) -> int | None:
    """How many seeds would see a difference of `gain` four times out of five; None if 200 would not.

    The variances of seeds, images and the rest are estimated from paired differences.

    Args:
        gain: the true difference.
        values: (S, I), S at least 2.
        rows: of the table.
    """
    seeds, images = values.shape
    of_seeds, of_images, rest = mean_squares(values)
    each_seed = max(of_seeds - rest, 0) / images + rest / images
    each_image = max(of_images - rest, 0) / seeds / images
    for number in range(2, MOST_SEEDS + 1):
        by_seeds = each_seed / number
        freedom = _freedom(number, (by_seeds, number - 1), (each_image, images - 1))
        wanted = _quantile(freedom, rows) + float(student.ppf(POWER, freedom))
        if wanted * np.sqrt((by_seeds + each_image) * number / (number - 1)) <= gain:
            return number
    return None


def _freedom(seeds: int, *parts: tuple[float, int]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances, each with its own."""
    used = [(variance, freedom) for variance, freedom in parts if variance > 0]
    if seeds < FEW or not used:
        return float(seeds - 1)
    return float(sum(variance for variance, _ in used) ** 2 / sum(value**2 / freedom for value, freedom in used))


def _quantile(freedom: float, rows: int) -> float:
    return float(student.ppf(1 - (1 - LEVEL) / (2 * max(rows, 1)), freedom))
