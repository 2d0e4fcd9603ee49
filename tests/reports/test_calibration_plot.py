"""Thresholds against pointers at equal cost: in numbers, in words and in the picture of a calibration."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from basicsr_ext.inference.calibration import Operation
from basicsr_ext.reports import calibration_plot
from basicsr_ext.reports.calibration_words import Advantage, advantage


def pointer(number: int, macs: float, psnr: float | None) -> Operation:
    return Operation(number, None, psnr, macs, 100 * macs, [])


def threshold(value: float, macs: float, psnr: float | None) -> Operation:
    return Operation(None, value, psnr, macs, 100 * macs, [])


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


def test_the_picture_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(calibration_plot, 'save_figure', lambda figure, path: drawn.append(figure))
    thresholds = [threshold(1.0, 0.4, 20.0), threshold(2.0, 0.75, 25.0)]
    calibration_plot.draw_calibration(POINTERS, thresholds, thresholds[1], Path('c.png'))
    (figure,) = drawn
    assert advantage(POINTERS, thresholds).sentence in figure.get_supxlabel()
    assert figure.get_suptitle().endswith('chosen: threshold 2, 75% of the MACs of the full network')
    legend = [text.get_text() for text in figure.axes[2].get_legend().get_texts()]
    assert legend == ['pointer', 'threshold', 'chosen', 'pointer 3, equal to the full network']
