"""Option files of somebody else: nothing is imported, nothing blows up, every refusal is one line."""

import sys
import time
from pathlib import Path

import pytest

from basicsr_ext.errors import OptionError
from basicsr_ext.options.command_line import override
from basicsr_ext.options.load import find_file, load_options, read_yaml

LAUGHS = 'a0: &a0 [x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 9)}]\n' for n in range(1, 12)
)
MERGES = 'a0: &a0 {x: 1}\n' + ''.join(f'a{n}: &a{n}\n  <<: [{", ".join([f"*a{n - 1}"] * 9)}]\n' for n in range(1, 12))


@pytest.mark.parametrize(
    'text, said',
    [
        (LAUGHS, 'expected at most 200000 values'),
        (MERGES, 'expected at most 200000 values'),
        ('a: &a [*a]', 'blocks inside each other'),
        ('a: ' + '[' * 100 + ']' * 100, 'blocks inside each other'),
        ('a: ' + '[' * 5000, 'blocks inside each other'),
        ('a: ' + '1' * 5000, 'expected whole numbers below 2**63'),
        ('a: 0x' + 'f' * 5000, 'expected whole numbers below 2**63'),
        ('a: -9223372036854775809', 'expected whole numbers below 2**63'),
        ('a: 2024-13-45', 'expected plain YAML, got month must be in 1..12'),
        ('a: !!bool x', 'expected plain YAML'),
        ('a: !!int x', 'expected plain YAML'),
        ("a: !!int ''", 'expected plain YAML'),
        ('a: !!timestamp x', 'expected plain YAML'),
        ('a: !!binary é', 'expected plain YAML'),
        ('a: \x01', 'expected plain YAML'),
        ('a: [1', 'expected plain YAML'),
        ('a: *b', 'expected plain YAML'),
        ('? *b\n: 1', 'expected plain YAML'),
        ('a: ' + 'x' * 2_100_000, 'expected at most 2000000 characters'),
    ],
)
def test_one_line_and_soon(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'x.yml').write_text(text)
    began = time.process_time()
    with pytest.raises(OptionError) as error:
        load_options(tmp_path / 'x.yml')
    assert said in str(error.value) and 'x.yml' in str(error.value)
    assert '\n' not in str(error.value) and len(str(error.value)) < 500
    assert time.process_time() - began < 5


def test_ordinary_anchors_stay() -> None:
    text = 'base: &base {type: Adam, lr: 1e-4}\nmore:\n  <<: *base\n  lr: 2e-4\nseed: -9223372036854775807\nhex: 0xff'
    found = read_yaml(text)
    assert found['more'] == {'type': 'Adam', 'lr': 2e-4} and found['hex'] == 255 and found['seed'] == 1 - 2**63


def test_an_override_is_read_alike() -> None:
    with pytest.raises(OptionError, match=r'--set .*: expected plain YAML, got month'):
        override({'a': 1}, 'a=2024-13-45')


@pytest.mark.parametrize(
    'path', ['evil.sub/x', 'evil/../x', 'evil', 'evil/', '/x', '../x', 'os.path/x', 'evil//etc/x', '']
)
def test_a_file_of_a_package_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    (tmp_path / 'evil/sub').mkdir(parents=True)
    (tmp_path / 'evil/__init__.py').write_text(f'open({str(tmp_path / "was_here")!r}, "w")')
    (tmp_path / 'evil/sub/__init__.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OptionError, match='expected'):
        find_file(f'pkg://{path}')
    assert find_file('pkg://evil/x') == str(tmp_path / 'evil/x')
    assert 'evil' not in sys.modules and not (tmp_path / 'was_here').exists()
