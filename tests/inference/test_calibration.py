"""Calibration: one pass against real runs, budgets on held-out images, how sure they are."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference import AdaptiveSettings, InferenceSettings, read_settings, restore
from basicsr_ext.inference.budget import choose, choose_by_time
from basicsr_ext.inference.calibration import (
    as_block,
    evaluate,
    spent,
    sweep,
    uncertainty,
    with_pointer,
    with_threshold,
)
from basicsr_ext.inference.exit_costs import ExitCosts, exit_costs
from basicsr_ext.inference.observation import Expense, Observations, observe
from basicsr_ext.inference.realised import realised_time
from tests.helpers.flexir import NETWORK

COLOUR = {**NETWORK, 'in_chans': 3, 'depths': [2, 2, 2], 'num_heads': [2, 2, 2]}
SETTINGS = InferenceSettings(regions=5, adaptive=AdaptiveSettings(threshold=0))


@pytest.fixture(scope='module')
def net() -> Any:
    torch.manual_seed(0)
    return build_network(COLOUR).eval()


@pytest.fixture(scope='module')
def costs(net: Any) -> ExitCosts:
    return exit_costs(net, 3, (8, 8))


def pictures(number: int, size: int = 40) -> list[Tensor]:
    """Noise of a different strength in each part of each image."""
    generator = torch.Generator().manual_seed(0)
    strength = torch.rand(number, 1, 9, 9, generator=generator).repeat_interleave(5, 2).repeat_interleave(5, 3)
    noise = torch.randn(number, 3, size, size, generator=generator) * strength[..., :size, :size]
    return list((0.5 + 0.3 * noise).clamp(0, 1))


@pytest.fixture(scope='module')
def observations(net: Any, costs: ExitCosts) -> Observations:
    return observe(net, pictures(4), SETTINGS, costs)


def truth(
    net: Any, costs: ExitCosts, images: list[Tensor], settings: InferenceSettings
) -> tuple[float, float, list[int]]:
    """Mean squared difference to the full network, MACs and exits, from really restoring."""
    squares, macs, exits = [], [], []
    for image in images:
        restored = restore(net, image[None], settings)
        full = restore(net, image[None], replace(settings, pointer=3, adaptive=None))
        squares.append((restored.image.clamp(0, 1) - full.image.clamp(0, 1)).square().mean())
        grid = settings.grid(*image.shape[1:])
        macs.append(costs.fraction(grid, restored.exits[0], settings.adaptive is not None))
        exits += restored.exits.flatten().tolist()
    return float(torch.stack(squares).mean()), float(np.mean(macs)), exits


def assert_true(operation: Any, found: tuple[float, float, list[int]]) -> None:
    square, macs, exits = found
    assert operation.macs == pytest.approx(macs, rel=1e-9)
    assert operation.exits == pytest.approx(np.bincount(exits, minlength=4)[1:] / len(exits))
    if square == 0:
        assert operation.psnr is None
    else:
        assert operation.psnr == pytest.approx(-10 * np.log10(square), abs=1e-3)


# ---- one pass against real runs ----


def test_every_threshold_and_pointer_is_that_of_a_real_run(
    net: Any, costs: ExitCosts, observations: Observations
) -> None:
    pointers, thresholds = sweep(observations, SETTINGS, 5)
    assert [row.pointer for row in pointers] == [1, 2, 3]
    assert [row.psnr is None for row in pointers] == [False, False, True]
    assert len(thresholds) == 5
    assert len({tuple(row.exits) for row in thresholds}) >= 4
    for row in pointers:
        assert_true(row, truth(net, costs, pictures(4), with_pointer(SETTINGS, row.pointer or 0)))
    for row in thresholds:
        settings = with_threshold(SETTINGS, row.threshold or 0, 3)
        assert_true(row, truth(net, costs, pictures(4), settings))


@pytest.mark.parametrize(
    'adaptive',
    [
        AdaptiveSettings(1.03, relative='previous'),
        AdaptiveSettings(0.97, relative='input'),
        AdaptiveSettings(20.0, score='change'),
    ],
)
def test_other_scores_and_references(net: Any, costs: ExitCosts, adaptive: AdaptiveSettings) -> None:
    settings = InferenceSettings(regions=3, adaptive=adaptive, pointer=3)
    observed = observe(net, pictures(2, 42), settings, costs)
    middle = float(np.median(observed.scores))
    settings = with_threshold(settings, middle + 1e-4, 3)
    assert_true(evaluate(observed, settings), truth(net, costs, pictures(2, 42), settings))


def test_where_regions_overlap_agreement_is_a_lower_bound(net: Any, costs: ExitCosts) -> None:
    settings = InferenceSettings(regions=2, overlap=8)
    row = evaluate(observe(net, pictures(2), settings, costs), with_pointer(settings, 1))
    square, macs, _ = truth(net, costs, pictures(2), with_pointer(settings, 1))
    assert row.psnr is not None
    assert -10 * np.log10(square) - 1 < row.psnr <= -10 * np.log10(square)
    assert row.macs == pytest.approx(macs) == pytest.approx(costs.regular[0] * 4 * 24**2 / 40**2)


def test_times_are_sums_of_the_parts_run(net: Any, costs: ExitCosts) -> None:
    """With a clock that ticks once a reading, every part takes a second."""
    ticks = iter(range(1000))
    observed = observe(net, pictures(1), SETTINGS, costs, clock=lambda: float(next(ticks)))
    ms = 1000 / 40**2 * 40**2  # one batch; each pixel has its part of the second
    expected = [1 + pointer + 1 for pointer in (1, 2, 3)], [1 + 3 * pointer for pointer in (1, 2, 3)]
    for pointer in (1, 2, 3):
        seconds = spent(observed, observed.time, with_pointer(SETTINGS, pointer)) * 40**2 / 1e6
        assert seconds == pytest.approx(expected[0][pointer - 1] * ms)
    seconds = spent(observed, observed.time, with_threshold(SETTINGS, -np.inf, 3)) * 40**2 / 1e6
    assert seconds == pytest.approx(expected[1][0] * ms)
    seconds = spent(observed, observed.time, with_threshold(SETTINGS, np.inf, 3)) * 40**2 / 1e6
    assert seconds == pytest.approx(expected[1][2] * ms)


def test_realised_time_counts_restoring_alone_and_not_the_first_run(net: Any) -> None:
    ticks = iter([0.0, 7.0, 10.0, 10.1, 20.0, 20.3])
    taken = realised_time(net, pictures(2), with_pointer(SETTINGS, 1), clock=lambda: next(ticks))
    assert taken == pytest.approx(0.4e9 / 3200)


def test_the_fingerprint_is_of_the_images(net: Any, costs: ExitCosts, observations: Observations) -> None:
    assert observe(net, pictures(4), SETTINGS, costs).fingerprint == observations.fingerprint
    assert observe(net, pictures(4)[::-1], SETTINGS, costs).fingerprint != observations.fingerprint
    with pytest.raises(DataError, match='expected at least one image'):
        observe(net, [], SETTINGS, costs)


# ---- budgets ----


def test_a_budget_is_met_to_5_percent_on_held_out_images(net: Any, costs: ExitCosts) -> None:
    images = pictures(128)
    observed = observe(net, images[::2], SETTINGS, costs)
    for budget in (0.5, 0.6, 0.75, 0.9, 0.99):
        chosen = choose(observed, SETTINGS, observed.macs, budget, 'budget')
        assert evaluate(observed, chosen).macs == pytest.approx(budget, rel=0.005)
        assert chosen.adaptive is not None
        restored = restore(net, torch.stack(images[1::2]), chosen)
        macs = [costs.fraction(SETTINGS.grid(40, 40), exits, adaptive=True) for exits in restored.exits]
        assert np.mean(macs) == pytest.approx(budget, rel=0.05)


def test_a_pointer_is_taken_where_it_is_the_better_choice(observations: Observations) -> None:
    full = choose(observations, SETTINGS, observations.macs, 1.0, 'budget')
    assert (full.pointer, full.adaptive) == (3, None)
    assert choose(observations, SETTINGS, observations.macs, 7.0, 'budget') == full


def test_impossible_budgets_name_what_is_possible(net: Any, costs: ExitCosts, observations: Observations) -> None:
    low = f'{costs.regular[0]:.4g}'
    with pytest.raises(OptionError, match=rf'^calibrate\.budget: expected {low} \(pointer 1\) to 1 \(pointer 3\), got'):
        choose(observations, SETTINGS, observations.macs, 0.3, 'calibrate.budget')
    single = InferenceSettings(regions=1)
    few = observe(net, pictures(1), single, costs)
    with pytest.raises(OptionError, match='a threshold costs .* Take more images, smaller regions'):
        choose(few, single, few.macs, 0.6, 'calibrate.budget')


def made_up(scores: list[list[float]]) -> Observations:
    """Regions of one pixel and three exits, each of which costs 1 more, or 2 with early exits."""
    number = len(scores)
    expense = Expense(np.array([1.0, 2, 3]), np.array([1.0, 3, 5]), number)
    return Observations(
        np.array(scores),
        np.ones((number, 3)) * [2, 1, 0],
        np.ones(number),
        np.arange(number),
        number,
        expense,
        expense,
        '',
    )


def test_thresholds_are_interpolated() -> None:
    """Scores 0 to 999 at the first exit, and above all at the second one: exits cost 1 up to the threshold, else 3."""
    observed = made_up([[float(score), 5000.0] for score in range(1000)])
    chosen = choose(observed, SETTINGS, observed.macs, 1.5, 'budget')
    assert chosen.adaptive is not None
    assert chosen.adaptive.threshold == pytest.approx(249.5)  # a quarter of the regions goes on to cost 3
    assert spent(observed, observed.macs, chosen) == 1.5


def test_the_uncertainty_is_the_spread_of_halves() -> None:
    """Of the cost in many draws of as many images from a large set, each with two regions alike."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=4000)
    settings = with_threshold(SETTINGS, 0.3, 3)

    def drawn(chosen: np.ndarray) -> Observations:
        observed = made_up([[score, 9.0] for score in np.repeat(scores[chosen], 2)])
        return replace(observed, images=np.repeat(np.arange(len(chosen)), 2))

    samples = [drawn(rng.choice(4000, 60)) for _ in range(400)]
    spread = np.std([spent(sample, sample.macs, settings) for sample in samples])
    errors = [uncertainty(sample, sample.macs, settings) * spent(sample, sample.macs, settings) for sample in samples]
    found = np.mean(errors)
    assert found == pytest.approx(spread, rel=0.1)
    assert np.isnan(uncertainty(drawn(np.array([1])), samples[0].macs, settings))


def test_equal_scores_leave_a_gap() -> None:
    observed = made_up([[1.0, 2.0]] * 10)
    with pytest.raises(OptionError, match='got 1.5; a threshold costs'):
        choose(observed, SETTINGS, observed.macs, 1.5, 'budget')
    assert choose(observed, SETTINGS, observed.macs, 2.0, 'budget').pointer == 2
    constant = made_up([[-np.inf, -np.inf]] * 10)
    with pytest.raises(OptionError, match='got 1.5'):
        choose(constant, SETTINGS, constant.macs, 1.5, 'budget')


@pytest.mark.parametrize('overhead', [1.0, 1.3, 0.8])
def test_a_budget_of_time_is_met_with_what_the_parts_leave_out(overhead: float) -> None:
    observed = made_up([[float(score), 5000.0] for score in range(1000)])
    runs = []

    def measure(settings: InferenceSettings) -> float:
        runs.append(settings)
        return spent(observed, observed.time, settings) * overhead + 0.1

    chosen, taken = choose_by_time(observed, SETTINGS, 1.9, 'budget_ms', measure)
    assert taken == measure(chosen) == pytest.approx(1.9, rel=0.02)
    assert len(runs) <= 4
    full, taken = choose_by_time(observed, SETTINGS, 50, 'budget_ms', measure)
    assert (full.pointer, taken) == (3, 3 * overhead + 0.1)


def test_settings_survive_the_file() -> None:
    adaptive = AdaptiveSettings(1.5, 'mean_gradient', 'previous', operator='roberts')
    for settings in (InferenceSettings(regions=3, pointer=2), InferenceSettings(region_size=9, adaptive=adaptive)):
        assert read_settings(json.loads(json.dumps(as_block(settings))), 'val.inference') == settings
