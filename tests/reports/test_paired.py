"""Paired differences: closed forms, plain loops, and how often made-up tables are judged right."""

import numpy as np
import pytest
from scipy.stats import t as student

from basicsr_ext.reports.comparison import Comparison, Measured, Metric
from basicsr_ext.reports.paired import bootstrap_error, differences_of, mean_squares, seeds_for
from basicsr_ext.reports.verdict import verdict

OF_SEEDS, OF_IMAGES, REST = 0.08, 0.1, 0.05  # dB: the spread of paired differences of short trainings of IRCNN


def draw(rng: np.random.Generator, seeds: int, images: int, gain: float = 0.0) -> np.ndarray:
    """Paired differences with the spread above."""
    of_seeds, of_images = rng.normal(0, OF_SEEDS, (seeds, 1)), rng.normal(0, OF_IMAGES, (1, images))
    return gain + of_seeds + of_images + rng.normal(0, REST, (seeds, images))


def made_up(rng: np.random.Generator, gains: dict[str, float], seeds: int = 5, images: int = 12) -> Comparison:
    """A comparison with rows that differ from random by some gains on average, and as much among seeds and images."""
    random = 29 + rng.normal(0, 2, (1, images)) + rng.normal(0, 0.05, (seeds, images))
    values = {'random': random, **{name: random + draw(rng, seeds, images, gain) for name, gain in gains.items()}}
    rows = [
        Measured(f'{name} 5 %', name, '5 %', 20, 20, 10**6, 5.0, 20.0, {'Set12': each}) for name, each in values.items()
    ]
    return Comparison('made up', rows, Metric('psnr', 'dB', 'higher'), 1000, 10_000, 10**6, 400, [])


def test_seeds_alone_give_the_interval_of_a_paired_t_test() -> None:
    of_seeds = np.array([0.1, -0.2, 0.3, 0.05, 0.15])
    found = differences_of({'row': np.repeat(of_seeds[:, None], 7, axis=1)})['row']
    half = student.ppf(0.99, 4) * of_seeds.std(ddof=1) / np.sqrt(5)
    assert found.mean == pytest.approx(of_seeds.mean())
    assert found.high - found.mean == pytest.approx(half, rel=0.05)  # 4,000 draws of the bootstrap
    assert found.low == pytest.approx(2 * found.mean - found.high)


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    values, rng = draw(np.random.default_rng(1), 5, 12), np.random.default_rng(2)
    means = [values[rng.integers(0, 5, 5)][:, rng.integers(0, 12, 12)].mean() for _ in range(4000)]
    assert bootstrap_error(values) == pytest.approx(np.std(means) * np.sqrt(5 / 4), rel=0.06)


def test_mean_squares_are_those_of_plain_loops() -> None:
    values = draw(np.random.default_rng(3), 4, 6)
    seeds, images, mean = values.mean(1), values.mean(0), values.mean()
    rest = sum((values[s, i] - seeds[s] - images[i] + mean) ** 2 for s in range(4) for i in range(6)) / 15
    expected = (
        6 * sum((each - mean) ** 2 for each in seeds) / 3,
        4 * sum((each - mean) ** 2 for each in images) / 5,
        rest,
    )
    assert mean_squares(values) == pytest.approx(expected)


def test_one_seed_has_no_interval_and_one_image_has() -> None:
    rng = np.random.default_rng(4)
    alone = differences_of({'row': draw(rng, 1, 12)})['row']
    assert not alone.is_clear and np.isinf(alone.visible)
    of_means = differences_of({'row': draw(rng, 5, 1)})['row']
    assert np.isfinite([of_means.low, of_means.high]).all()


def test_more_rows_widen_the_intervals() -> None:
    values = draw(np.random.default_rng(5), 5, 12)
    one, many = differences_of({'a': values})['a'], differences_of(dict.fromkeys('abcdef', values))['a']
    assert many.high - many.low > one.high - one.low


def test_a_row_whose_seeds_agree_by_chance_gets_the_spread_of_the_table() -> None:
    rng = np.random.default_rng(6)
    calm = np.repeat(rng.normal(0, 0.02, (1, 12)), 5, axis=0) + rng.normal(0, 0.001, (5, 12))
    alone = differences_of({'calm': calm})['calm']
    among = differences_of({'calm': calm, **{f'{n}': draw(rng, 5, 12) for n in range(5)}})['calm']
    assert among.standard_error > 2 * alone.standard_error


@pytest.mark.parametrize('rows', [1, pytest.param(3, marks=pytest.mark.slow)])
def test_of_100_comparisons_of_equal_sets_95_say_no_difference(rows: int) -> None:
    rng = np.random.default_rng(7)
    equal = [made_up(rng, {f'set{number}': 0.0 for number in range(rows)}) for _ in range(100)]
    assert sum(all(each.word != 'better' and each.word != 'worse' for each in one.judged) for one in equal) >= 95
    assert sum(verdict(one).sentences[0].startswith('Nothing beats random here') for one in equal) >= 95


def test_a_gain_of_0_2_db_is_found_with_the_seeds_that_are_named() -> None:
    rng, found = np.random.default_rng(8), []
    for _ in range(50):
        seeds = seeds_for(0.2, draw(rng, 5, 68))
        assert seeds is not None and 2 < seeds < 20
        found.append(verdict(made_up(rng, {'matching': 0.2}, seeds, images=68)).winner == 'matching 5 %')
    assert sum(found) >= 40


def test_too_few_images_cannot_be_made_up_for_by_seeds() -> None:
    assert seeds_for(0.02, draw(np.random.default_rng(9), 5, 6)) is None
