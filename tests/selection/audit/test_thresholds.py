"""From which value on an image is suspect."""

import numpy as np
import pytest

from basicsr_ext.selection.audit.findings import Finding
from basicsr_ext.selection.audit.thresholds import Bounds, bounds_of, usual_and_spread

HIGH = Finding('x', 'bad', '', 'high', limit=3, step=1)
RNG = np.random.default_rng(0)


def test_the_shortest_half_of_few_values() -> None:
    usual, spread = usual_and_spread(np.array([9.0, 1, 2, 4, 30]))
    assert usual == 2 and spread == pytest.approx(3 / 1.349)
    assert usual_and_spread(np.array([7.0])) == (7, 0)


def test_it_equals_a_search_of_all_intervals() -> None:
    for number in (2, 5, 8, 31):
        values = sorted(RNG.normal(size=number))
        half = number // 2 + 1
        width, start = min((values[at + half - 1] - values[at], at) for at in range(number - half + 1))
        expected = np.median(values[start : start + half]), width / 1.349
        assert usual_and_spread(np.array(values[::-1])) == pytest.approx(expected)


def test_of_a_normal_distribution_it_is_mean_and_standard_deviation() -> None:
    usual, spread = usual_and_spread(RNG.normal(5, 2, 20000))
    assert usual == pytest.approx(5, abs=0.3) and spread == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize('share', [0.0, 0.1, 0.45])
def test_bounds_hold_while_less_than_half_is_spoilt(share: float) -> None:
    sound, spoilt = RNG.normal(1, 0.2, 1000), RNG.normal(10, 2, 1000)
    is_spoilt = np.arange(1000) < 1000 * share
    bounds = bounds_of(np.where(is_spoilt, spoilt, sound), HIGH)
    exceeded = bounds.exceeded(np.where(is_spoilt, spoilt, sound))
    assert exceeded[is_spoilt].mean() > 0.95 if share else True
    assert exceeded[~is_spoilt].sum() == 0 and bounds.usual == pytest.approx(1, abs=0.2)


def test_beyond_half_the_spoilt_are_usual() -> None:
    values = np.concatenate([RNG.normal(1, 0.2, 300), RNG.normal(10, 0.5, 700)])
    assert bounds_of(values, HIGH).usual == pytest.approx(10, abs=0.5)


def test_a_set_of_equal_images_is_not_suspect() -> None:
    assert bounds_of(np.full(100, 50.0), HIGH).high == 50 + 1 * (1 + 8 / 100)  # a step away at least
    assert bounds_of(np.full(100, 0.1), HIGH).high == 3  # and beyond the limit


@pytest.mark.parametrize(
    ('side', 'step', 'low', 'high'),
    [
        ('high', 2, None, 2.16), ('low', 2, -2.16, None), ('both', 2, -2.16, 2.16),
        ('high', None, None, 1), ('low', None, 1, None),
    ],
)  # fmt: skip
def test_the_sides(side: str, step: float | None, low: float | None, high: float | None) -> None:
    finding = Finding('x', 'bad', '', side, limit=1, step=step)  # type: ignore[arg-type]
    bounds = bounds_of(np.zeros(100), finding)
    assert (bounds.low, bounds.high) == (pytest.approx(low) if low else low, pytest.approx(high) if high else high)
    values = np.array([-3.0, 0.99, 3, np.nan])
    expected = [low is not None, low == 1, high is not None or low == 3, False]
    assert bounds.exceeded(values).tolist() == expected


def test_sensitivity_divides_the_distance() -> None:
    values = RNG.normal(10, 2, 1000)
    usual, once, twice = bounds_of(values, HIGH).usual, bounds_of(values, HIGH).high, bounds_of(values, HIGH, 2).high
    assert once is not None and twice is not None and once - usual == pytest.approx(2 * (twice - usual))


def test_few_images_are_asked_for_more() -> None:
    few, many = (bounds_of(np.tile([9.0, 10, 11, 12], times), HIGH).high for times in (2, 200))
    assert few is not None and many is not None and few - 10 > 1.7 * (many - 10)


def test_nothing_measured_is_nothing_suspect() -> None:
    assert bounds_of(np.full(4, np.nan), HIGH) == Bounds(0)
    assert not Bounds(0, low=1, high=2).exceeded(np.full(4, np.nan)).any()
