"""Whether choices of images beat a reference: paired differences of trainings, their intervals, what they could see.

Two trainings are paired where they began with the same weights and the same noise. Their differences are of S seeds on
I images, d(s, i) = m + a(s) + b(i) + e(s, i), all effects random: other seeds and other images of the same kind would
have given others. The interval of m is d +- t se.

- se comes from a bootstrap that draws seeds and images anew, both with replacement (Owen, "The pigeonhole bootstrap",
  2007), widened by sqrt(S / (S - 1)) for few seeds. Few seeds may agree by chance: a row whose seeds differ less than
  those of the table do on average gets the average.
- t is of Student's distribution. The spread of the seeds is known from R rows, which share one reference, as well as
  from f = (S - 1) R / (1 + (R - 1) / 4) free differences. Satterthwaite's degrees of freedom (1946) for the sum of the
  mean squares of seeds and images are too many for few seeds; the harmonic mean of them and f is taken.
- the level is 98 %, divided among the rows (Bonferroni), so that of 100 tables without any difference at least 95 show
  none also where these approximations fall short.

Of 2,000 made-up tables without a difference (2 to 10 seeds, 12 or 68 images, 1 to 6 rows; spreads of 0.08 dB among
seeds and of 0 to 0.2 dB among images) 0 to 3.4 % show one; a true difference of 0.2 dB is seen with 5 seeds in 77 to
91 % of those with 68 images. `tests/reports/test_paired.py` repeats it, and finds a difference of 0.2 dB with the seeds
that `seeds_for` names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

LEVEL = 0.98
POWER = 0.9  # how often a difference that is called visible is seen
DRAWS = 4000  # of the bootstrap
MOST_SEEDS = 200


@dataclass(frozen=True)
class Difference:
    """A paired difference and how well it is known.

    Attributes:
        mean: of the differences.
        low, high: the interval; infinite for a single seed.
        standard_error: of the mean; NaN for a single seed.
        visible: the least true difference that is seen nine times out of ten with these seeds.
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
    freedom = _freedom((of_seeds + more, seeds), (of_images, images), rows)
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
    """How many seeds would see a difference of `gain` nine times out of ten; None if 200 would not.

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
        freedom = _freedom((by_seeds, number), (each_image, images), rows)
        wanted = _quantile(freedom, rows) + float(student.ppf(POWER, freedom))
        if wanted * np.sqrt((by_seeds + each_image) * number / (number - 1)) <= gain:
            return number
    return None


def _freedom(of_seeds: tuple[float, int], of_images: tuple[float, int], rows: int) -> float:
    """The degrees of freedom of the sum of two variances.

    Args:
        of_seeds, of_images: variance and number.
        rows: of the table.
    """
    (by_seeds, seeds), (by_images, images) = of_seeds, of_images
    from_seeds = (seeds - 1) * rows / (1 + (rows - 1) / 4)
    if by_seeds + by_images <= 0:
        return from_seeds
    parts = by_seeds**2 / from_seeds + (by_images**2 / (images - 1) if images > 1 else 0)
    satterthwaite = (by_seeds + by_images) ** 2 / parts
    return 2 / (1 / satterthwaite + 1 / from_seeds)


def _quantile(freedom: float, rows: int) -> float:
    return float(student.ppf(1 - (1 - LEVEL) / (2 * max(rows, 1)), freedom))
