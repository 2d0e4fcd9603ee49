"""Fixtures of all tests."""

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import basicsr_ext  # noqa: F401  before any test imports BasicSR, which it repairs

# isort: split
import pytest
from basicsr.utils import logger as basicsr_logger

from basicsr_ext.data import sound_files
from basicsr_ext.jobs import pace
from basicsr_ext.training.loop import TrainingRun
from tests.helpers.named_files import make_pictures
from tests.helpers.processes import end_all


@pytest.fixture(autouse=True, scope='module')
def garbage_is_looked_for_in_what_is_new() -> None:
    """A job that ends with an error looks through all objects, which takes a fifth of a second with all modules."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """End what a failed test has started."""
    yield
    end_all()


@pytest.fixture(autouse=True)
def every_test_finds_the_same_logger() -> Iterator[None]:
    """BasicSR's logger, set up once, with the handlers of `caplog` alone."""
    logger = logging.getLogger('basicsr')
    handlers, logger.handlers = logger.handlers, []
    logger.propagate = True
    basicsr_logger.initialized_logger['basicsr'] = True
    yield
    for handler in (*handlers, *logger.handlers):
        handler.close()
    logger.handlers = []


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's cache stays as it was."""
    monkeypatch.setattr(sound_files, 'cache', lambda: tmp_path_factory.getbasetemp() / 'cache')


@pytest.fixture
def curves() -> None:
    """Let trainings draw their curves."""


@pytest.fixture(autouse=True)
def no_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing of curves, most of the time of a small training, where a test does not ask for `curves`."""
    if 'curves' not in request.fixturenames:
        monkeypatch.setattr(TrainingRun, '_draw_curve', lambda self: None)


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try trainings for a tenth of a second where their pace is measured."""
    monkeypatch.setattr(pace, 'TRIED', 0.1)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with `images/`: two colour PNGs of 208 x 200 pixels."""
    monkeypatch.chdir(tmp_path)
    make_pictures(Path('images'))
    yield tmp_path
