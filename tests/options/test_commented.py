"""Options as text with comments."""

from dataclasses import dataclass

import pytest

from basicsr_ext.options.commented import commented, in_one_line, notes_of
from basicsr_ext.options.load import read_yaml


@dataclass(frozen=True)
class Patches:
    """Some.

    Attributes:
        size: side of a patch; None takes `all`.
        name, scale: as in BasicSR.
    """

    name: str
    size: int | None = None
    scale: int = 1


@pytest.mark.parametrize(
    'value',
    ['1e4', 'yes', '', ' a', 'a # b', 'a: b', 'a, b', "it's", '"', 'é\u2028', '~', 'null', '2026-01-01', '[x]', '{',
     '- a', 1e-6, 0, True, None, ['1e4', 'a, b', 2], [], 'tab\there', 'pkg://a/b', '&a', '*a', '!a', '%a', '@a', '0x1',
     'C:\\a'],
)  # fmt: skip
def test_a_value_is_read_back_as_it_was_written(value: object) -> None:
    options = {'key': value, 'block': {'key': value}, 'list': [value, value]}
    assert read_yaml(f'key: {in_one_line(value)}  # why') == {'key': value}
    assert read_yaml(commented(options, {'key': 'why', 'block.key': 'long ' * 40}, 'what\nit is')) == options


def test_a_comment_stands_beside_its_key_or_above_it() -> None:
    notes = {'block': 'of keys', 'block.size': 'in pixels', 'block.why': 'because ' * 20}
    lines = commented({'name': 'it', 'block': {'size': 3, 'why': None}}, notes, 'One.\nTwo.').splitlines()
    assert lines[:7] == ['# One.', '# Two.', '', 'name: it', '', 'block:  # of keys', '  size: 3  # in pixels']
    assert all(line.startswith('  # because') and len(line) <= 120 for line in lines[7:9])
    assert lines[9:] == ['  why: ~']


def test_the_docstring_of_a_dataclass_says_what_keys_mean() -> None:
    assert notes_of(Patches, 'train', {'size': 3, 'name': 'x'}) == {'train.size': 'side of a patch; ~ takes all'}
    assert notes_of(Patches, '', {'size': 3}) == {'size': 'side of a patch; ~ takes all'}
    assert notes_of(Patches, '', {'scale': 2}) == {}
