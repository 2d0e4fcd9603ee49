"""The examples in the docstrings of the functions of `import basicsr_ext as bx`."""

import doctest
import importlib
from pathlib import Path

import pytest

import basicsr_ext as bx

FUNCTIONS = ['align', 'calibrate', 'distill', 'mine', 'rank', 'Restorer', 'read_manifest']


@pytest.mark.parametrize('name', FUNCTIONS)
def test_the_example_of_a_docstring(name: str, tmp_path: Path) -> None:
    function = getattr(bx, name)
    finder = doctest.DocTestFinder(recurse=False)
    globals_ = {'folder': tmp_path}
    examples = finder.find(function, name, importlib.import_module(function.__module__), extraglobs=globals_)
    assert sum(len(example.examples) for example in examples)
    for example in examples:
        assert not doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example).failed


def test_all_names_are_there_and_documented() -> None:
    assert set(bx.__all__) <= set(dir(bx))
    for name in set(bx.__all__) - {'__version__'}:
        assert (getattr(bx, name).__doc__ or '').strip()


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ranks'"):
        bx.ranks  # noqa: B018
