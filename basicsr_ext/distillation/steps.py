"""Which synthetic images a matching step takes, and which steps can be made at the same time."""

from collections.abc import Callable

import numpy as np


def steps_of_pass(count: int, batch_size: int) -> int:
    """The steps in which each of `count` synthetic images is taken once: so many ranks have work at the same time."""
    return -(-count // batch_size)


def in_rounds(done: int, last: int, size: int, ends: Callable[[int], bool]) -> list[list[int]]:
    """The steps `done + 1` to `last` in rounds of steps that do not need each other's results.

    Args:
        done, last: steps are counted from 1.
        size: of a round, at most.
        ends: whether a step has to be the last one of its round.
    """
    rounds: list[list[int]] = []
    is_full = True
    for step in range(done + 1, last + 1):
        if is_full:
            rounds.append([])
        rounds[-1].append(step)
        is_full = len(rounds[-1]) == size or ends(step)
    return rounds


def items_of_step(step: int, count: int, batch_size: int, seed: int) -> list[int]:
    """The synthetic images of a matching step: every pass takes each once, in an order that depends on seed and pass.

    Args:
        step: counted from 1.
        count: of all images.
        batch_size: of a step; the last one of a pass may have fewer.
        seed: of the order.
    """
    number, place = divmod(step - 1, steps_of_pass(count, batch_size))
    order = np.random.default_rng((seed, number)).permutation(count)
    return sorted(order[place * batch_size : (place + 1) * batch_size].tolist())
