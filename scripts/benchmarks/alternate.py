"""Measure several variants in turn, so that a machine whose speed drifts treats them alike."""

import random
import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """The work, timed; `time.process_time` counts the processor's seconds alone."""

    def run() -> float:
        start = clock()
        work()
        return clock() - start

    return run


def alternate(variants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every variant once a round, in an order that changes, after one round that does not count.

    Args:
        variants: name -> a function that does the work and returns what it measured.
        rounds: how many count.

    Returns:
        The measurements of each variant in the order of the rounds.
    """
    for run in variants.values():
        run()
    measured: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for number in range(rounds):
        random.Random(number).shuffle(
            order
        )  # a machine that slows down under load would favour who follows a light one
        for name in order:
            measured[name].append(variants[name]())
    return measured


def median_ratio(measured: dict[str, list[float]], name: str, peer: str) -> float:
    """The median over the rounds of one variant's measurement divided by its peer's of the same round."""
    return statistics.median(a / b for a, b in zip(measured[name], measured[peer], strict=True))


def print_table(measured: dict[str, list[float]], unit: str, peer: str) -> None:
    """Median of every variant, and its median ratio to the peer."""
    print(f'{"variant":<58}{unit:>14}{"ratio":>8}')
    for name, values in measured.items():
        print(f'{name:<58}{statistics.median(values):14.4g}{median_ratio(measured, name, peer):8.2f}')
