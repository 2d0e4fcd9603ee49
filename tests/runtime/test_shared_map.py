"""Work that ranks share out: threads stand for them, and lists for what they send each other."""

import threading
from typing import Any

import pytest
import torch

from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.shared_map import shared_map


class Ranks:
    """Threads that take part in `gather` as processes do."""

    def __init__(self, world: int, patch: pytest.MonkeyPatch) -> None:
        self.world, self.own, self.barrier = world, threading.local(), threading.Barrier(world)
        self.sent: list[Any] = [None] * world
        patch.setattr(distributed, 'rank_and_world', lambda: (self.own.rank, world))
        patch.setattr(distributed, 'gather', self.gather)

    def gather(self, value: Any) -> list[Any]:
        self.sent[self.own.rank] = value
        self.barrier.wait(10)
        values = list(self.sent)
        self.barrier.wait(10)
        return values

    def run(self, work: Any) -> None:
        def begin(rank: int) -> None:
            self.own.rank = rank
            work(rank)

        threads = [threading.Thread(target=begin, args=(rank,)) for rank in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)


@pytest.mark.parametrize('world', [1, 2, 3, 5])
def test_every_rank_gets_all_results_in_order_and_works_on_its_share(
    world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: dict[int, list[int]] = {}
    worked: dict[int, list[int]] = {rank: [] for rank in range(world)}

    def work(rank: int) -> None:
        def square(number: int) -> int:
            worked[rank].append(number)
            return number**2

        results[rank] = list(shared_map(square, range(10, 17)))

    Ranks(world, monkeypatch).run(work)
    assert results == dict.fromkeys(range(world), [number**2 for number in range(10, 17)])
    assert worked == {rank: list(range(10 + rank, 17, world)) for rank in range(world)}


def test_a_stop_asked_of_one_rank_stops_all_after_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks, taken, stopped = Ranks(2, monkeypatch), {0: [], 1: []}, []  # type: ignore[var-annotated]
    monkeypatch.setattr(interrupt, 'requested', lambda: ranks.own.rank == 1 and len(taken[1]) == 2)

    def work(rank: int) -> None:
        try:
            for number in shared_map(lambda number: number, range(9)):
                taken[rank].append(number)
        except interrupt.Interrupted:
            stopped.append(rank)

    ranks.run(work)
    assert taken == {0: [0, 1, 2, 3], 1: [0, 1, 2, 3]} and sorted(stopped) == [0, 1]


def test_a_part_of_a_sum_has_the_gradient_of_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, 'add_up', lambda values: values.add_(10))  # what other ranks have
    part = torch.tensor(3.0, requires_grad=True)
    total = distributed.add_up_parts(2 * part)
    total.square().backward()
    assert (total.item(), part.item()) == (16, 3)
    assert part.grad is not None and part.grad.item() == 2 * 16 * 2
