"""Names of images: alike, and flat."""

import pytest

from basicsr_ext.errors import DataError
from basicsr_ext.images.names import flat_name, flat_names, twins


def test_twins_are_all_that_share_a_name() -> None:
    assert twins(['a', 'b', 'a', 'c', 'b'], ['1', '2', '3', '4', '5']) == ['1', '2', '3', '5']
    assert twins(['a', 'b'], ['a.png', 'b.png']) == [] == twins([], [])


@pytest.mark.parametrize(
    ('name', 'flat'), [('a', 'a'), ('x/y/a', 'x_y_a'), ('a b', 'a_b'), (' x / a  b ', 'x_a_b'), ('a.b', 'a.b')]
)
def test_flat_names_have_neither_folders_nor_blanks(name: str, flat: str) -> None:
    assert flat_name(name) == flat
    assert flat_names([name, 'other'], ['1', '2'], 'here') == [flat, 'other']


def test_flat_names_that_nobody_could_read_are_refused() -> None:
    with pytest.raises(DataError, match='here: expected names that differ where / and blanks become _, got x/a.png; x'):
        flat_names(['x/a', 'x_a'], ['x/a.png', 'x_a.png'], 'here')
    with pytest.raises(DataError, match=r'here: expected images that are not hidden, got \.x/a\.png'):
        flat_names(['.x/a', 'b'], ['.x/a.png', 'b.png'], 'here')
