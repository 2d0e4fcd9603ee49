"""The picture of where regions left: what it says of the rule, the cost and the shares."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from basicsr_ext.inference import exit_map
from basicsr_ext.inference.exit_map import draw_exit_map, rule_in_words
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings


@pytest.mark.parametrize(
    ('adaptive', 'found'),
    [
        (None, 'All regions leave at exit 3.'),
        (AdaptiveSettings(12.5), 'first exit whose sharpness (MGVG of its grey image in 8-bit levels, no unit; higher'),
        (AdaptiveSettings(12.5), 'is above the threshold 12.5; else at exit 3.'),
        (AdaptiveSettings(1.5, relative='previous'), 'is above 1.5 times that at the exit before; else at exit 3.'),
        (AdaptiveSettings(2, 'mean_gradient', 'input'), 'is above 2 times that of the input; else at exit 3.'),
        (AdaptiveSettings(40, 'change'), 'first exit whose PSNR to what the exit before gave (dB;'),
    ],
)
def test_the_rule_in_words(adaptive: AdaptiveSettings | None, found: str) -> None:
    assert found in rule_in_words(InferenceSettings(adaptive=adaptive), 3)


def test_the_map_says_cost_rule_shares_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(exit_map, 'save_figure', lambda figure, path: drawn.append(figure))
    grid = InferenceSettings(regions=2).grid(20, 40)
    exits = torch.tensor([[1, 1], [3, 1]])
    draw_exit_map(np.zeros((20, 40), np.uint8), grid, exits, 3, Path('map.png'), cost=0.625, rule='Some rule.')
    draw_exit_map(np.zeros((20, 40), np.uint8), grid, exits, 3, Path('map.png'))
    figure, plain = drawn
    assert figure.get_suptitle() == 'Where regions leave the network, at 62% of the cost of the full network'
    assert figure.get_supxlabel().startswith('Some rule.')
    assert figure.get_supxlabel().endswith('Whole image, 20 x 40 pixels (height x width), 2 x 2 regions.')
    shares = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert shares == ['exit 1: 75% of the area', 'exit 2: 0% of the area', 'exit 3: 25% of the area']
    assert plain.get_suptitle() == 'Where regions leave the network' and 'Cost' not in plain.get_supxlabel()
