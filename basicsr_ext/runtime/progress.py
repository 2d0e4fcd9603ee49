"""How far a long work is: a bar on a terminal; elsewhere, as in SLURM or a notebook, a line in the log now and then."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

from basicsr.utils import get_root_logger
from tqdm import tqdm

T = TypeVar('T')

FIRST, LONGEST = 10.0, 300.0  # seconds to the first line, and between lines, whose distance doubles


class Progress:
    """Counts what is done of a work, and tells it.

    Args:
        title: of the work.
        total: how much there is to do.
        done: what an earlier run did of it.
        unit: one of what is counted.
        hidden: say nothing, as all processes but the first.
        clock: gives seconds.
    """

    def __init__(
        self,
        title: str,
        total: float,
        done: float = 0,
        unit: str = 'image',
        hidden: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.total, self.start, self.done = title, total, 0.0, 0.0
        self.unit, self.hidden, self.clock = unit, hidden, clock
        self.has_bar = not hidden and sys.stderr is not None and sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=title, unit=unit, leave=False, disable=not self.has_bar)
        self.begun, self.wait = clock(), FIRST
        self.due, self.is_continued = self.begun + FIRST, False
        self.skip(done)

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.close()

    def update(self, number: float = 1, **values: float) -> None:
        """Count what was done, and tell it if it is time to.

        Args:
            number: of units.
            values: shown beside them, such as a loss.
        """
        if self.is_continued:
            get_root_logger().info(f'Continuing: {self._done()} ({self.title}).')
            self.is_continued = False
        self.done += number
        if self.has_bar:
            if values:
                self.bar.set_postfix({name: f'{value:.3g}' for name, value in values.items()}, refresh=False)
            self.bar.update(number)
        elif not self.hidden and self.clock() >= self.due and self.done < self.total:
            self.wait = min(2 * self.wait, LONGEST)
            self.due = self.clock() + self.wait
            get_root_logger().info(', '.join([self._line(), *(f'{key} {value:.3g}' for key, value in values.items())]))

    def skip(self, number: float) -> None:
        """Count what an earlier run did, which says nothing about the speed; it is told before what comes next."""
        self.start += number
        self.done += number
        if self.has_bar:
            self.bar.initial += number
            self.bar.update(number)
        self.is_continued = self.is_continued or (number > 0 and not self.hidden)

    def drop(self, number: float) -> None:
        """Leave out what turns out not to be needed."""
        self.total -= number
        if self.has_bar:
            self.bar.total -= number

    def _done(self) -> str:
        return f'{_number(self.done)} of {_number(self.total)} {self.unit}s'

    def _line(self) -> str:
        rate = (self.done - self.start) / max(self.clock() - self.begun, 1e-9)
        left = timedelta(seconds=round((self.total - self.done) / rate)) if rate > 0 else 'unknown time'
        speed = f'{rate:.3g} {self.unit}s/s' if rate >= 1 or rate <= 0 else f'{1 / rate:.3g} s/{self.unit}'
        return f'{self.title}: {self._done()}, {speed}, {left} left'


def _number(value: float) -> str:
    return f'{value:.1f}'.removesuffix('.0')


def with_progress(
    things: Iterable[T], title: str, total: int, unit: str = 'image', hidden: bool = False
) -> Iterator[T]:
    """The things, one after the other, counted."""
    with Progress(title, total, unit=unit, hidden=hidden) as progress:
        for thing in things:
            yield thing
            progress.update()
