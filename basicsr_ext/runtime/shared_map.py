"""Work on many things, one after the other, that the processes of a group share out."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from basicsr_ext.runtime import distributed, interrupt

P = TypeVar('P')
T = TypeVar('T')


def shared_map(work: Callable[[P], T], things: Sequence[P]) -> Iterator[T]:
    """What `map(work, things)` gives, in its order, on every rank, however many there are.

    In each round every rank works on one thing, and gets the results of the others, which are pickled: tensors of the
    CPU, and nothing large. All ranks have to take all results.

    Raises:
        Interrupted: a stop was asked for on any rank, when the results of the round are taken.
    """
    rank, world = distributed.rank_and_world()
    for start in range(0, len(things), world):
        own = things[start : start + world][rank : rank + 1]
        parts = distributed.gather(([work(thing) for thing in own], interrupt.requested()))
        for results, _ in parts:
            yield from results
        if any(is_asked for _, is_asked in parts):
            raise interrupt.Interrupted
