"""What figures have in common."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from basicsr_ext.runtime.figures import SMOOTHED, running_mean, save_figure, tidy


@pytest.mark.parametrize('count', [1, 5, 19, 40, 137])
def test_the_running_mean_is_that_of_the_last_few(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    window = max(1, count // SMOOTHED)
    expected = [values[max(0, end - window) : end].mean() for end in range(1, count + 1)]
    np.testing.assert_allclose(running_mean(values.tolist()), expected, atol=1e-12)


def test_tidy_axes(tmp_path: Path) -> None:
    figure = Figure()
    left, right, other = figure.subplots(1, 3)
    tidy(left, right, grid=True)
    tidy(other)
    for axis in (left, right, other):
        assert {side: spine.get_visible() for side, spine in axis.spines.items()} == {
            'left': True, 'bottom': True, 'top': False, 'right': False
        }  # fmt: skip
    assert [axis.xaxis.get_gridlines()[0].get_visible() for axis in (left, right, other)] == [True, True, False]
    save_figure(figure, tmp_path / 'x.png')
    assert (tmp_path / 'x.png').read_bytes().startswith(b'\x89PNG')
