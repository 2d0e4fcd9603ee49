"""What long works tell where there is no terminal."""

import io
import logging
import re

import pytest

from basicsr_ext.runtime.progress import Progress, with_progress


class Clock:
    """Time that passes as it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


def test_lines_at_growing_distances(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, at = Clock(), []
    with Progress('Reading', 4000, clock=clock) as progress:
        for _ in range(4000):
            clock.now += 1
            before = len(caplog.messages)
            progress.update(loss=0.5)
            at += [clock.now] * (len(caplog.messages) - before)
    assert at[:7] == [10, 30, 70, 150, 310, 610, 910] and at[-1] < 4000
    assert caplog.messages[0] == 'Reading: 10 of 4000 images, 1 images/s, 1:06:30 left, loss 0.5'


def test_what_was_done_before_is_told_and_does_not_count_as_speed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    with Progress('cg', 10, 3, 'product', clock=clock) as progress:
        for _ in range(4):
            clock.now += 10
            progress.update(0.5)
    assert caplog.messages == [
        'Continuing: 3 of 10 products (cg).',
        'cg: 3.5 of 10 products, 20 s/product, 0:02:10 left',
        'cg: 4.5 of 10 products, 20 s/product, 0:01:50 left',
    ]


def test_what_is_found_on_the_way_is_told_before_what_comes_next(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress('Ranking', 20, clock=Clock()) as progress:
        progress.update(2)
        progress.skip(3)
        progress.skip(4)
        progress.drop(5)
        assert not caplog.messages
        progress.update()
    assert caplog.messages == ['Continuing: 9 of 15 images (Ranking).']
    assert (progress.done, progress.start) == (10, 7)


def test_the_other_processes_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    with Progress('Reading', 4, 1, hidden=True, clock=clock) as progress:
        clock.now = 1000
        progress.update()
    assert list(with_progress('abc', 'Reading', 3)) == ['a', 'b', 'c'] and not caplog.messages


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('sys.stderr', Terminal())
    with Progress('Reading', 9) as progress:
        progress.update(loss=0.25)
        progress.skip(1)
        progress.drop(5)
        progress.update()
        assert re.match(r'Reading:  75%.* 3/4 .*image/s, loss=0\.25', str(progress.bar))
