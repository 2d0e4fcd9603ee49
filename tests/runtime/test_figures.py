"""What figures have in common."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from basicsr_ext.runtime.figures import SMOOTHED, Caption, running_mean, save_figure, short_name, sizes_in_words, tidy


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


@pytest.mark.parametrize('width', [4, 12])
def test_words_around_a_figure_stay_inside_it(width: int) -> None:
    figure = Figure(figsize=(width, 3), layout='constrained')
    axis = figure.subplots()
    notes = ['The quick brown fox jumps over the lazy dog, ' * 5, 'second']
    Caption('What is measured on many images of a set, ' * 4, notes).put(figure)
    figure.draw_without_rendering()
    drawn = axis.get_tightbbox()
    above, below = (text.get_window_extent() for text in (figure._suptitle, figure._supxlabel))
    assert max(above.x1, below.x1) < figure.bbox.x1
    assert below.y1 <= drawn.y0 and drawn.y1 <= above.y0  # nothing overlaps
    assert figure.get_supxlabel().endswith('\nsecond')


def test_long_names_lose_their_middle() -> None:
    assert short_name('a/b.png') == 'a/b.png'
    assert short_name('folder/of/images/0001.png', 12) == '0001.png'
    assert short_name('folder/a_very_long_name_of_0001.png', 12) == 'a_very…1.png'
    assert len(short_name('x' * 99, 21)) == 21


def test_sizes_in_words() -> None:
    assert sizes_in_words([(3, 4), (3, 4)]) == '3 x 4 pixels (height x width)'
    assert sizes_in_words([(9, 4), (3, 4), (4, 4)]) == '3 x 4 to 9 x 4 pixels (height x width)'
