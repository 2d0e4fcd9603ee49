"""Fixtures of all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import basicsr_ext  # noqa: F401  before any test imports BasicSR, which it repairs
from tests.helpers.named_files import make_pictures
from tests.helpers.processes import end_all


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """End what a failed test has started."""
    yield
    end_all()


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with `images/`: two colour PNGs of 208 x 200 pixels."""
    monkeypatch.chdir(tmp_path)
    make_pictures(Path('images'))
    yield tmp_path
