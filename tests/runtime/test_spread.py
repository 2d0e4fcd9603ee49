"""A few of many, evenly spread."""

import pytest

from basicsr_ext.runtime.spread import spread, spread_to_ends


def test_known_values() -> None:
    assert spread(3, 9) == [0, 3, 6]
    assert spread_to_ends(3, 9) == [0, 4, 8]
    assert spread(2, 5) == [0, 2]
    assert spread_to_ends(4, 8) == [0, 2, 5, 7]
    assert spread_to_ends(1, 5) == [0]


@pytest.mark.parametrize('function', [spread, spread_to_ends])
@pytest.mark.parametrize('count', [0, 1, 2, 7, 100])
@pytest.mark.parametrize('number', [1, 2, 6, 50, 200])
def test_indices_differ_and_are_about_equally_far_apart(function, count: int, number: int) -> None:
    found = function(number, count)
    assert len(found) == min(number, count) == len(set(found)) and found == sorted(found)
    assert all(0 <= index < count for index in found)
    steps = {after - before for before, after in zip(found, found[1:], strict=False)}
    assert not steps or max(steps) - min(steps) <= 1
    if function is spread_to_ends and len(found) > 1:
        assert (found[0], found[-1]) == (0, count - 1)
