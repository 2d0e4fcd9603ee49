"""Fixtures of all tests."""

from collections.abc import Iterator

import pytest

import basicsr_ext  # noqa: F401  before any test imports BasicSR, which it repairs
from tests.helpers.processes import end_all


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """End what a failed test has started."""
    yield
    end_all()
