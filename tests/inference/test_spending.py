"""Budgets spent on regions: against every assignment of exits, and restored images against a plain loop."""

import itertools
import logging
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.errors import OptionError
from basicsr_ext.inference import EXIT_SCORES, AdaptiveSettings, InferenceSettings, restore
from basicsr_ext.inference.exit_costs import ExitCosts, known_costs
from basicsr_ext.inference.exit_scores import region_scores
from basicsr_ext.inference.forecast import Forecast, fit_forecast, plain_forecast
from basicsr_ext.inference.spending import dither_of, spend
from tests.inference.test_adaptive import flexir, images

COSTS = np.array([1.0, 2.0, 3.0])


def cost_of(exits: np.ndarray, costs: np.ndarray = COSTS) -> float:
    return float(costs[exits - 1].sum())


# ---- spending ----


@pytest.mark.parametrize('seed', range(6))
def test_no_assignment_of_that_cost_leaves_less_error_where_errors_fall_ever_more_slowly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    falls = -np.sort(-rng.random((5, 2)), 1)
    errors = np.concatenate([falls.sum(1, keepdims=True), falls[:, 1:], np.zeros((5, 1))], 1)
    for budget in range(5, 16):
        exits = spend(errors, COSTS, budget)
        assert cost_of(exits) == budget
        every = [np.array(choice) for choice in itertools.product((1, 2, 3), repeat=5)]
        best = min(errors[np.arange(5), choice - 1].sum() for choice in every if cost_of(choice) == budget)
        assert errors[np.arange(5), exits - 1].sum() == pytest.approx(best)


def test_a_stage_that_saves_nothing_is_bought_with_the_next_one() -> None:
    errors = np.array([[10.0, 10.0, 0.0], [4.0, 2.0, 0.0]])
    assert spend(errors, COSTS, 4).tolist() == [3, 1]
    assert spend(errors, COSTS, 5).tolist() == [3, 2]


def test_what_is_spent_is_the_nearest_to_the_budget() -> None:
    errors = np.array([[3.0, 1.0, 0.0]] * 4)
    for budget in np.linspace(4, 12, 50):
        assert abs(cost_of(spend(errors, COSTS, budget)) - budget) <= 0.5 + 1e-6
    assert spend(errors, COSTS, 1).tolist() == [1] * 4  # below the first exit nothing can be saved
    assert spend(errors, COSTS, 99).tolist() == [3] * 4


def test_dithered_it_is_the_budget_on_average() -> None:
    errors = np.array([[3.0, 1.0, 0.0]] * 4)
    for budget in (4.3, 6.9, 11.5):
        every = [cost_of(spend(errors, COSTS, budget, dither)) for dither in (np.arange(1000) + 0.5) / 1000]
        assert np.mean(every) == pytest.approx(budget, abs=1e-3)
        assert max(abs(cost - budget) for cost in every) < 1


def test_images_are_dithered_differently_and_each_the_same_way() -> None:
    scores = np.random.default_rng(0).random((500, 16, 3)) * 30
    found = np.array([dither_of(each) for each in scores])
    assert np.histogram(found, 5, (0, 1))[0].tolist() == pytest.approx([100] * 5, abs=30)
    assert dither_of(scores[3]) == found[3]


# ---- forecasts ----


def test_a_forecast_is_that_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((200, 2)) * 50
    logs = np.log1p(scores)
    errors = np.exp(np.stack([2 + logs @ [1.0, -0.5], -1 + logs @ [0.3, 0.1], np.full(200, -np.inf)], 1))
    forecast = fit_forecast(['sharpness', 'noise'], scores, errors)
    np.testing.assert_allclose(forecast.weights, [[1.0, -0.5, 2], [0.3, 0.1, -1]], atol=0.04)
    np.testing.assert_allclose(np.log(forecast.errors(scores)[:, 0]), np.log(errors[:, 0]), atol=0.05)


def test_errors_that_are_foretold_never_rise_and_end_with_nothing() -> None:
    errors = Forecast(['noise'], [[1.0, 0.0], [2.0, 0.0]]).errors(np.array([[0.0], [5.0], [np.inf]]))
    assert np.isfinite(errors).all() and (np.diff(errors, axis=1) <= 0).all() and (errors[:, -1] == 0).all()


@pytest.mark.parametrize(('leave', 'first'), [('above', [2, 1, 1]), ('below', [1, 1, 2])])
def test_a_side_is_kept_whatever_the_data_say(leave: str, first: list[int]) -> None:
    scores = np.array([[1.0], [5.0], [20.0]])
    for sign in (1, -1):
        errors = np.concatenate([scores**sign, scores * 0], 1)
        fitted = fit_forecast(['noise'], scores, errors, leave)
        for forecast in (fitted, plain_forecast('noise', leave, 2)):
            assert spend(forecast.errors(scores), np.array([1.0, 2.0]), 4).tolist() == first


# ---- images ----


def looks_of(net: FlexIR, region: Tensor, settings: AdaptiveSettings) -> np.ndarray:
    before = net.begin(region)
    return region_scores(settings.exit_scores(), region, before.feature, net.step(before).feature).double().numpy()


def test_the_change_of_the_first_stage_is_that_of_features() -> None:
    before, after = torch.rand(2, 3, 5, 6, 4)
    found = region_scores([EXIT_SCORES['change']], torch.rand(3, 3, 6, 4), before, after)
    expected = [10 * float(((a**2).sum() / ((b - a) ** 2).sum()).log10()) for a, b in zip(before, after, strict=True)]
    assert found[:, 0].tolist() == pytest.approx(expected, rel=1e-5)


def cases() -> Iterator[AdaptiveSettings]:
    yield AdaptiveSettings(budget=0.6)
    yield AdaptiveSettings(budget=0.6, score='change')
    yield AdaptiveSettings(budget=0.85, score='sharpness', leave='above', operator='roberts')
    yield AdaptiveSettings(
        budget=0.7, forecast=Forecast(['noise', 'change'], [[1, -0.5, 0], [2, -0.2, -2], [0, 0, -3]])
    )


@pytest.mark.parametrize('adaptive', cases())
@pytest.mark.parametrize(('upscale', 'limit'), [(1, 150), (2, 10**6)])
@torch.no_grad()
def test_regions_of_images_equal_a_plain_loop(adaptive: AdaptiveSettings, upscale: int, limit: int) -> None:
    net, batch = flexir(upscale), images(2, (20, 24))
    settings = InferenceSettings(regions=3, adaptive=adaptive, batch_pixels=limit)
    grid = settings.grid(20, 24)
    costs = known_costs(net, 3, grid.region_size)
    share = np.array(costs.regular) * 8 * 8 / (20 * 24)  # regions of 7 x 8, padded to 8 x 8
    restored = restore(net, batch, settings)
    seen = set()
    for number in range(2):
        places = [(number, row, column) for row in range(3) for column in range(3)]
        regions = [grid.cut(batch, [place]) for place in places]
        looks = np.concatenate([looks_of(net, each, adaptive) for each in regions])
        exits = spend(adaptive.forecast_for(4).errors(looks), share, adaptive.budget or 0, dither_of(looks))
        assert restored.exits[number].flatten().tolist() == exits.tolist()
        seen |= set(exits.tolist())
        total = torch.zeros(1, 3, 20 * upscale, 24 * upscale)
        for (_, row, column), region, exit in zip(places, regions, exits, strict=True):
            net.pointer = int(exit)
            grid.scaled(upscale).add(total, net(region), [(0, row, column)])
        torch.testing.assert_close(restored.image[number], total[0], rtol=0, atol=1e-5)
        paid = costs.fraction(grid, restored.exits[number], settings.tails_passed)
        assert abs(paid - (adaptive.budget or 0)) <= 2 * (share[1] - share[0])  # two stages at once
    assert len(seen) > 1


def test_large_images_spend_their_budget_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = flexir(), images(1, (32, 32))
    settings = InferenceSettings(regions=4, adaptive=AdaptiveSettings(budget=0.6), batch_pixels=64)
    whole = restore(net, batch, settings).exits
    monkeypatch.setattr(sys.modules[restore.__module__], 'PLANNED_PIXELS', 256)  # of the 1024
    parts = restore(net, batch, settings).exits
    costs = known_costs(net, 3, (8, 8))
    for exits in (whole, parts):
        assert costs.fraction(settings.grid(32, 32), exits[0], False) == pytest.approx(0.6, abs=0.21 / 16)
    rows = torch.tensor(costs.regular)[parts[0] - 1].sum(1) / 4
    assert rows.cumsum(0).tolist() == pytest.approx([0.6, 1.2, 1.8, 2.4], abs=0.21 / 4)


def test_the_pointer_bounds_the_exits_that_a_budget_buys() -> None:
    net = flexir()
    settings = InferenceSettings(regions=2, pointer=2, adaptive=AdaptiveSettings(budget=1.0))
    assert restore(net, images(1, (16, 16)), settings).exits.eq(2).all()


def test_a_budget_below_the_first_exit(caplog: pytest.LogCaptureFixture) -> None:
    net, image = flexir(), images(1, (18, 18))
    costs: ExitCosts = known_costs(net, 3, (9, 9))

    def restored(budget: float, **regions: Any) -> Tensor:
        return restore(net, image, InferenceSettings(**regions, adaptive=AdaptiveSettings(budget=budget))).exits

    with pytest.raises(OptionError, match=r'budget: expected at least 0\.\d+, what the first exit costs on the whole'):
        restored(costs.regular[0] * 0.9)
    with caplog.at_level(logging.WARNING, logger='basicsr'):
        assert restored(costs.regular[0] * 1.1, regions=2, overlap=4).eq(1).all()  # 4 of 12 x 12 for one of 20 x 20
    assert 'is less than' in caplog.text and 'take fewer of them and less overlap' in caplog.text


def test_a_forecast_of_another_network_is_refused() -> None:
    adaptive = AdaptiveSettings(budget=0.5, forecast=Forecast(['noise'], [[1.0, 0.0]]))
    with pytest.raises(OptionError, match='expected weights for 3 exits of this network, got 1'):
        restore(flexir(), images(1), InferenceSettings(adaptive=adaptive))
