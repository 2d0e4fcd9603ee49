"""Calibration: one pass against real runs, who goes on against an oracle, budgets on held-out images."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference import EXIT_SCORES, AdaptiveSettings, InferenceSettings, read_settings, restore
from basicsr_ext.inference.budget import Choice, choose, choose_by_time
from basicsr_ext.inference.calibration import as_block, evaluate, spent, with_budget, with_pointer, with_threshold
from basicsr_ext.inference.calibration_tables import tabulate
from basicsr_ext.inference.exit_costs import ExitCosts, exit_costs
from basicsr_ext.inference.exit_rules import judge
from basicsr_ext.inference.forecast import Forecast, plain_forecast
from basicsr_ext.inference.observation import Expense, Observations, Observing, observe
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
        macs.append(costs.fraction(grid, restored.exits[0], settings.tails_passed))
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
    tables = tabulate(observations, SETTINGS, 5, None, None, None)
    pointers, thresholds = tables.pointers, tables.thresholds
    assert [row.pointer for row in pointers] == [1, 2, 3]
    assert [row.psnr is None for row in pointers] == [False, False, True]
    assert len(thresholds) == 5
    assert len({tuple(row.exits) for row in thresholds}) >= 4
    for row in pointers:
        assert_true(row, truth(net, costs, pictures(4), with_pointer(SETTINGS, row.pointer or 0)))
    for row in thresholds:
        settings = with_threshold(SETTINGS, row.threshold or 0, 3)
        assert_true(row, truth(net, costs, pictures(4), settings))
    settings = with_budget(SETTINGS, tables.budgets[4].budget or 0, tables.judged.rules[0].forecast)
    assert_true(tables.budgets[4], truth(net, costs, pictures(4), settings))


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
    middle = float(np.median(observed.scores[np.isfinite(observed.scores)]))
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
    looking = spent(observed, observed.time, with_budget(SETTINGS, 0.1, None)) * 40**2 / 1e6
    assert looking == pytest.approx(4 * ms)  # beside start, stage and tail of the first exit
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


def test_a_budget_is_met_on_held_out_images(net: Any, costs: ExitCosts) -> None:
    images = pictures(64)
    observed = observe(net, images[::2], SETTINGS, costs)
    for budget in (0.5, 0.6, 0.75, 0.9):
        chosen = choice(observed, budget).inference
        assert evaluate(observed, chosen).macs == pytest.approx(budget, rel=0.01)
        assert chosen.adaptive is not None
        restored = restore(net, torch.stack(images[1::2]), chosen)
        macs = [costs.fraction(SETTINGS.grid(40, 40), exits, tails_passed=False) for exits in restored.exits]
        assert macs == pytest.approx([budget] * len(macs), abs=0.4 / 25)  # a stage of one of 25 regions
        assert np.mean(macs) == pytest.approx(budget, rel=0.01)


def choice(observed: Observations, budget: float, settings: InferenceSettings = SETTINGS) -> Choice:
    return choose(observed, settings, judge(observed, budget, None, None), observed.macs, budget, 'budget')


def test_the_full_network_is_taken_where_it_costs_no_more(observations: Observations) -> None:
    for budget in (1.0, 7.0):
        full = choice(observations, budget)
        assert (full.inference.pointer, full.inference.adaptive, full.rule) == (3, None, None)


def test_impossible_budgets_name_what_is_possible(costs: ExitCosts, observations: Observations) -> None:
    low = f'{costs.regular[0]:.4g}'
    with pytest.raises(OptionError, match=rf'^budget: expected {low} \(pointer 1\) to 1 \(pointer 3\), got'):
        choice(observations, 0.3)


def made_up(looks: np.ndarray, errors: np.ndarray, regions: int = 1) -> Observations:
    """Images of some regions of one pixel and three exits, each of which costs a third; a row for each region."""
    number = len(looks)
    expense = Expense(np.array([1.0, 2, 3]) / 3, np.array([1.0, 3, 5]) / 3, np.array([1.0, 2, 3]) / 3, number)
    return Observations(
        np.zeros((number, 2)),
        looks,
        [f'score_{column}' for column in range(looks.shape[1])],
        errors,
        None,
        np.ones(number),
        np.arange(number) // regions,
        np.full(number // regions, regions),
        number,
        expense,
        expense,
        '',
    )


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> Observations:
    """Errors that follow the first score; the second one falls with them, the third one says nothing."""
    for name in ('score_0', 'score_1', 'score_2'):
        monkeypatch.setitem(EXIT_SCORES, name, lambda restored, previous: restored.mean((1, 2, 3)))
    rng = np.random.default_rng(0)
    worth = rng.uniform(1, 50, 400)
    errors = np.stack([worth, worth / 3, worth * 0], 1)
    return made_up(np.stack([worth, 50 - worth, rng.uniform(1, 50, 400)], 1), errors, regions=40)


def test_a_score_that_tells_the_gain_brings_what_an_oracle_does(spread: Observations) -> None:
    judged = judge(spread, 0.6, None, None)
    shares = {rule.name: rule.share for rule in judged.rules}
    assert len(shares) == 7 and judged.rules[0].name in ('score_0 + score_1 + score_2', 'score_0, leave below')
    assert shares['score_0, leave below'] == pytest.approx(1, abs=0.01)
    assert shares['score_1, leave above'] == pytest.approx(1, abs=0.03)
    assert shares['score_0, leave above'] == min(shares.values()) < 0.9
    assert shares['score_2, leave above'] < judged.mixture + 0.03
    assert judged.oracle == oracle_error(spread, 0.6)
    assert [rule.error for rule in judged.rules[1:]] == sorted(rule.error for rule in judged.rules[1:])


def test_all_scores_together_are_taken_unless_one_is_clearly_better(spread: Observations) -> None:
    rules = judge(spread, 0.6, None, None).rules
    assert rules[0].leave is None  # it and the first score tell all
    worth = spread.looks[:, 0]
    rough = worth * np.random.default_rng(2).uniform(0.5, 1.5, 400)
    turned = np.where(spread.images % 2, worth, 51 - worth)  # means the opposite on the other half of the images
    misled = replace(spread, looks=np.stack([rough, turned, worth * 0 + 1], 1))
    assert judge(misled, 0.6, None, None).rules[0].name == 'score_0, leave below'


def oracle_error(observed: Observations, budget: float) -> float:
    """By a plain greedy loop over the stages of all regions of an image, whose savings fall with depth."""
    total = 0.0
    for image in range(len(observed.whole)):
        errors = observed.differences[observed.images == image]
        stages = sorted(-(row[exit] - row[exit + 1]) for row in errors for exit in (0, 1))
        bought = round(3 * len(errors) * budget - len(errors))
        total += errors[:, 0].sum() + sum(stages[:bought])
    return pytest.approx(total)


def test_what_is_asked_for_is_judged_alone(spread: Observations) -> None:
    assert [rule.name for rule in judge(spread, 0.6, 'score_2', 'below').rules] == ['score_2, leave below']
    assert {rule.leave for rule in judge(spread, 0.6, None, 'above').rules} == {'above'}
    assert len(judge(spread, 0.6, 'score_1', None).rules) == 2


def test_shares_are_of_images_that_were_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that means the opposite on every other image is fitted on one half and fails on the other."""
    monkeypatch.setitem(EXIT_SCORES, 'score_0', lambda restored, previous: restored.mean((1, 2, 3)))
    worth = np.tile(np.linspace(1, 50, 10), 20)
    turned = np.where(np.arange(200) // 10 % 2, worth, 51 - worth)[:, None]
    errors = np.stack([worth, worth / 3, worth * 0], 1)
    (rule,) = judge(made_up(turned, errors, regions=10), 0.6, 'score_0', 'below').rules
    assert rule.share < 0.95
    together = judge(made_up(turned, errors, regions=10), 0.6, None, None).rules
    assert min(rule.share for rule in together if rule.leave is None) < 0.75


def test_the_pointer_is_recommended_where_scores_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """All regions gain alike by the second exit, nothing by the third but a few, which the score hides."""
    monkeypatch.setitem(EXIT_SCORES, 'score_0', lambda restored, previous: restored.mean((1, 2, 3)))
    rng = np.random.default_rng(1)
    errors = np.tile([10.0, 1e-3, 0.0], (200, 1))
    errors[::10] = [1.0, 0.9, 0.0]
    found = choice(made_up(rng.uniform(1, 9, (200, 1)), errors, regions=10), 0.667)
    assert (found.inference.pointer, found.rule) == (2, None)
    assert found.reason.startswith('pointer 2 agrees better with the full network than spending the rest by regions')


def test_the_truth_is_counted_beside(net: Any, costs: ExitCosts) -> None:
    images = pictures(2)
    truths = [image.flip(1) for image in images]
    observing = Observing(net, SETTINGS, costs)
    for image, truth_of_it in zip(images, truths, strict=True):
        observing.add(image, truth_of_it)
    chosen = with_budget(SETTINGS, 0.7, plain_forecast('noise', 'below', 3))
    row = evaluate(observing.result(), chosen)
    restored = torch.stack([restore(net, image[None], chosen).image[0] for image in images])
    square = (restored.clamp(0, 1) - torch.stack(truths)).square().mean()
    assert row.truth == pytest.approx(-10 * np.log10(float(square)), abs=1e-3)
    assert_true(row, truth(net, costs, images, chosen))
    observing.add(images[0])
    assert evaluate(observing.result(), chosen).truth is None


def test_tables_judge_at_half_depth_and_end_where_the_oracle_does(observations: Observations) -> None:
    tables = tabulate(observations, SETTINGS, 4, None, None, None)
    assert tables.judged.budget == pytest.approx((tables.pointers[0].macs + 1) / 2)
    assert [row.budget for row in tables.budgets] == [row.budget for row in tables.oracle]
    for row, best in zip(tables.budgets, tables.oracle, strict=True):
        assert row.macs == pytest.approx(best.macs, abs=0.02)
        assert best.psnr is None or (row.psnr is not None and row.psnr <= best.psnr + 1e-9)
    assert tables.budgets[0].psnr == tables.pointers[0].psnr and tables.budgets[-1].psnr is None


@pytest.mark.parametrize('overhead', [1.0, 1.3, 0.8])
def test_a_budget_of_time_is_met_with_what_the_parts_leave_out(spread: Observations, overhead: float) -> None:
    runs = []

    def measure(settings: InferenceSettings) -> float:
        runs.append(settings)
        return spent(spread, spread.time, settings) * overhead + 0.03

    judged = judge(spread, 0.6, None, None)
    chosen, taken = choose_by_time(spread, SETTINGS, judged, 0.63, 'budget_ms', measure)
    assert taken == measure(chosen.inference) == pytest.approx(0.63, rel=0.02)
    assert chosen.rule is not None and len(runs) <= 5
    full, taken = choose_by_time(spread, SETTINGS, judged, 50, 'budget_ms', measure)
    assert (full.inference.pointer, taken) == (3, pytest.approx(overhead + 0.03))


def test_settings_survive_the_file() -> None:
    adaptive = AdaptiveSettings(1.5, 'mean_gradient', 'previous', operator='roberts', leave='below')
    forecast = AdaptiveSettings(budget=0.5, forecast=Forecast(['noise', 'change'], [[0.5, 1.0, -3.0]]))
    for settings in (
        InferenceSettings(regions=3, pointer=2),
        InferenceSettings(region_size=9, adaptive=adaptive),
        InferenceSettings(regions=3, adaptive=forecast),
    ):
        assert read_settings(json.loads(json.dumps(as_block(settings))), 'val.inference') == settings
