"""Thresholds against pointers at equal cost: in numbers, in words and in the picture of a calibration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from basicsr_ext.inference.calibration import Operation
from basicsr_ext.inference.calibration_tables import Tables
from basicsr_ext.inference.exit_rules import ExitRule, Judged
from basicsr_ext.inference.forecast import Forecast
from basicsr_ext.reports import calibration_plot
from basicsr_ext.reports.calibration_words import Advantage, advantage, in_words, rules_in_words


def pointer(number: int, macs: float, psnr: float | None) -> Operation:
    return Operation(number, None, None, psnr, None, macs, 100 * macs, [])


def threshold(value: float, macs: float, psnr: float | None) -> Operation:
    return Operation(None, value, None, psnr, None, macs, 100 * macs, [])


POINTERS = [pointer(1, 0.25, 30.0), pointer(2, 0.5, 40.0), pointer(3, 1.0, None)]


def test_at_the_cost_of_a_pointer_the_gap_is_the_difference() -> None:
    assert advantage(POINTERS, [threshold(1.0, 0.5, 38.5)]).gaps == pytest.approx([-1.5])


def test_between_pointers_squared_errors_are_mixed() -> None:
    found = advantage(POINTERS, [threshold(1.0, 0.4, 33.0), threshold(2.0, 0.75, 45.0)]).gaps
    first = -10 * np.log10(0.4 * 1e-3 + 0.6 * 1e-4)  # two fifths of the regions leave by the first exit
    second = -10 * np.log10(0.5 * 1e-4)  # half of them are equal to the full network
    assert found == pytest.approx([33 - first, 45 - second])


def test_what_no_pointer_costs_is_not_compared() -> None:
    others = [threshold(1.0, 0.2, 20.0), threshold(2.0, 1.2, 50.0), threshold(3.0, 0.9, None)]
    assert advantage(POINTERS, others).gaps == []
    assert advantage(POINTERS, others).sentence == ''


@pytest.mark.parametrize(
    ('gaps', 'found'),
    [
        ([-1.0, -0.5], 'Thresholds lie below pointers at equal cost, by 0.50 to 1.00 dB, 0.75 on average;'),
        ([1.0, 0.5], 'Thresholds lie above pointers at equal cost, by 0.50 to 1.00 dB, 0.75 on average;'),
        ([-1.0, 0.5], 'Thresholds lie -1.00 to +0.50 dB from pointers at equal cost, -0.25 on average;'),
    ],
)
def test_the_gap_in_words(gaps: list[float], found: str) -> None:
    assert Advantage(gaps).sentence.startswith(found)


def rule(score: str, leave: str, share: float) -> ExitRule:
    return ExitRule([score], leave, share, 1 - share, Forecast(['noise'], [[1.0, 0.0]]))


RULES = Judged(0.6, [rule('noise', 'below', 0.9), rule('noise', 'above', 0.3)], 0.1, 0.7)


def test_the_best_rule_in_words() -> None:
    assert rules_in_words(RULES) == (
        'At a budget of 0.60, spending by noise, leave below brings 90% of what an oracle gains over the first exit; '
        'next noise, leave above, 30%; pointers mixed at random 70%.'
    )


@pytest.mark.parametrize(('full', 'said'), [(1.04, False), (1.31, True)])
def test_regions_that_cost_more_than_the_image_are_named(full: float, said: bool) -> None:
    tables = Tables([*POINTERS[:2], pointer(3, full, None)], [], [], [], RULES)
    assert any(f'costs {full:.2f} times as much as on the whole image' in each for each in in_words(tables)) == said


@pytest.mark.parametrize('truth', [None, 30.0])
def test_the_picture_says_it_too(monkeypatch: pytest.MonkeyPatch, truth: float | None) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(calibration_plot, 'save_figure', lambda figure, path: drawn.append(figure))
    thresholds = [threshold(1.0, 0.4, 20.0), threshold(2.0, 0.75, 25.0)]
    pointers = [replace(row, truth=truth) for row in POINTERS]
    budgets = [replace(pointers[0], pointer=None, budget=0.6)]
    tables = Tables(pointers, thresholds, budgets, budgets, RULES)
    calibration_plot.draw_calibration(tables, budgets[0], Path('c.png'))
    (figure,) = drawn
    for sentence in in_words(tables):
        assert sentence in ' '.join(figure.get_supxlabel().split())
    assert figure.get_suptitle().endswith('chosen: budget 0.6, 25% of the MACs of the full network')
    left, middle, right = figure.axes
    legend = [text.get_text() for text in middle.get_legend().get_texts()]
    expected = ['oracle, with a budget', 'pointer', 'threshold', 'budget', 'chosen: budget 0.6']
    assert legend == expected + ([] if truth else ['pointer 3, equal to the full network'])
    assert ('truth' in middle.get_ylabel()) == (truth is not None) and left.get_ylabel() == calibration_plot.FULL
    assert right.lines[0].get_xdata().tolist() == [0.9, 0.3]
