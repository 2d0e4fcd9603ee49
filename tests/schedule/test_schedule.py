"""The schedule: which sample is used when, and the randomness that hangs on it."""

import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch

from basicsr_ext.schedule.sampling import ScheduledIndex, ScheduledSampler, name_rng, sample_rng, seeded_globals

Moment = tuple[int, int, int, int]
# dataset size, batch size: divides, does not divide, batch larger than the dataset, single image
SIZES = [(8, 4), (8, 5), (3, 16), (1, 1), (1, 4)]


def moments(sampler: ScheduledSampler) -> list[Moment]:
    return [(int(index), index.seed, index.iteration, index.position) for index in sampler]


def values(sampler: ScheduledSampler) -> list[int]:
    return [int(index) for index in sampler]


def draws(index: int, purpose: str = 'crop') -> list[float]:
    return sample_rng(index, purpose).random(4).tolist()


def global_draws() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(()).item()


def seed_globals(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


# ScheduledIndex


def test_index_is_an_int() -> None:
    index = ScheduledIndex(3, seed=7, iteration=2, position=1)
    assert isinstance(index, int)
    assert index == 3 and hash(index) == hash(3) and 'abcd'[index] == 'd' and index % 2 == 1
    assert (index.seed, index.iteration, index.position) == (7, 2, 1)


def test_index_pickles_with_its_attributes() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(ScheduledIndex(3, seed=7, iteration=2, position=1), protocol))
        assert type(copy) is ScheduledIndex
        assert (int(copy), copy.seed, copy.iteration, copy.position) == (3, 7, 2, 1)


def test_index_at_keeps_the_moment() -> None:
    index = ScheduledIndex(3, seed=7, iteration=2, position=1)
    other = index.at(9)
    assert type(other) is ScheduledIndex
    assert (int(other), other.seed, other.iteration, other.position) == (9, 7, 2, 1)
    assert int(index) == 3


# ScheduledSampler


@pytest.mark.parametrize(('size', 'batch'), SIZES)
def test_sampler_yields_exactly_the_samples_of_the_iterations(size: int, batch: int) -> None:
    sampler = ScheduledSampler(size, batch, seed=0, start=4, stop=11)
    found = moments(sampler)
    assert len(sampler) == len(found) == (11 - 4) * batch
    assert [(i, p) for _, _, i, p in found] == [(i, p) for i in range(5, 12) for p in range(batch)]


@pytest.mark.parametrize('start', [5, 6])
def test_sampler_without_iterations_left_is_empty(start: int) -> None:
    sampler = ScheduledSampler(8, 5, seed=0, start=start, stop=5)
    assert len(sampler) == 0 and values(sampler) == []


@pytest.mark.parametrize(('size', 'batch'), SIZES)
def test_sampler_each_epoch_is_a_permutation(size: int, batch: int) -> None:
    stream = values(ScheduledSampler(size, batch, seed=0, start=0, stop=10 * size))
    assert len(stream) == 10 * size * batch
    for first in range(0, len(stream), size):
        assert sorted(stream[first : first + size]) == list(range(size))


@pytest.mark.parametrize('enlarge', [2, 5])
def test_sampler_enlarged_epoch_holds_each_item_that_often(enlarge: int) -> None:
    stream = values(ScheduledSampler(6, 4, seed=0, start=0, stop=6 * enlarge, enlarge=enlarge))
    for first in range(0, len(stream), 6 * enlarge):
        assert sorted(stream[first : first + 6 * enlarge]) == sorted(list(range(6)) * enlarge)
    assert any(sorted(stream[first : first + 6]) != list(range(6)) for first in range(0, len(stream), 6))


@pytest.mark.parametrize(('size', 'batch'), SIZES)
def test_sampler_resumes_where_it_was(size: int, batch: int) -> None:
    for start in (1, 5, 12):
        whole = moments(ScheduledSampler(size, batch, seed=3, start=0, stop=13))
        assert moments(ScheduledSampler(size, batch, seed=3, start=start, stop=13)) == whole[start * batch :]


@pytest.mark.parametrize(('size', 'batch'), SIZES)
def test_sampler_ranks_see_together_what_one_process_sees(size: int, batch: int) -> None:
    for world in (2, 3):
        stop = 7
        ranks = [moments(ScheduledSampler(size, batch, 5, 0, stop, rank, world, enlarge=2)) for rank in range(world)]
        together = [m for i in range(stop) for rank in ranks for m in rank[i * batch : (i + 1) * batch]]
        assert together == moments(ScheduledSampler(size, batch * world, 5, 0, stop, enlarge=2))


def test_sampler_epochs_and_seeds_differ() -> None:
    stream = values(ScheduledSampler(50, 10, seed=0, start=0, stop=15))
    epochs = [stream[:50], stream[50:100], stream[100:]]
    other = values(ScheduledSampler(50, 10, seed=1, start=0, stop=5))
    assert len({tuple(order) for order in [*epochs, other, list(range(50))]}) == 5


def test_sampler_is_the_same_at_every_iteration_over_it() -> None:
    sampler = ScheduledSampler(8, 5, seed=0, start=0, stop=4)
    first = moments(sampler)
    global_draws()
    assert moments(sampler) == first


@pytest.mark.parametrize(
    ('size', 'batch', 'epochs'), [(8, 4, [0, 0, 0, 1, 1]), (8, 5, [0, 0, 1, 1, 2]), (3, 16, [0, 5])]
)
def test_epoch_of_known_values(size: int, batch: int, epochs: list[int]) -> None:
    sampler = ScheduledSampler(size, batch, seed=0, start=0, stop=10)
    assert [sampler.epoch_of(iteration) for iteration in range(len(epochs))] == epochs


@pytest.mark.parametrize(('world', 'enlarge'), [(1, 1), (2, 1), (2, 3)])
def test_epoch_of_counts_the_samples_of_all_ranks(world: int, enlarge: int) -> None:
    sampler = ScheduledSampler(7, 5, seed=0, start=0, stop=10, rank=world - 1, world_size=world, enlarge=enlarge)
    epoch, left = 0, 7 * enlarge
    for iteration in range(1, 30):
        for _ in range(5 * world):
            if left == 0:
                epoch, left = epoch + 1, 7 * enlarge
            left -= 1
        assert sampler.epoch_of(iteration) == epoch


# The random generator of a sample


def test_sample_rng_is_a_function_of_seed_iteration_and_position() -> None:
    index = ScheduledIndex(3, seed=7, iteration=2, position=1)
    expected = draws(index)
    seed_globals(1)
    assert draws(pickle.loads(pickle.dumps(index))) == expected
    assert draws(index.at(8)) == expected
    others = [ScheduledIndex(3, *moment) for moment in [(8, 2, 1), (7, 3, 1), (7, 2, 0), (7, 1, 2), (2, 7, 1)]]
    assert len({tuple(draws(i)) for i in [index, *others]}) == 6


def test_sample_rng_purposes_are_independent() -> None:
    indices = [ScheduledIndex(0, 0, i, p) for i in range(1, 41) for p in range(50)]
    purposes = ('crop', 'augment', 'degrade', 'globals')
    numbers = np.array([[sample_rng(index, purpose).random() for index in indices] for purpose in purposes])
    correlation = np.corrcoef(numbers) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(len(indices))
    assert np.abs(numbers.mean(1) - 0.5).max() < 4 * np.sqrt(1 / 12 / len(indices))
    neighbours = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in numbers]
    assert np.abs(neighbours).max() < 4 / np.sqrt(len(indices))


def test_sample_rng_of_a_plain_int_is_seeded_from_random() -> None:
    seed_globals(5)
    first, second = draws(3), draws(3)
    assert first != second
    random.seed(5)
    np.random.seed(6)
    torch.manual_seed(6)
    assert [draws(3), draws(3)] == [first, second]


def test_sample_rng_of_a_scheduled_index_leaves_random_alone() -> None:
    state = random.getstate()
    draws(ScheduledIndex(3, 7, 2, 1))
    assert random.getstate() == state


def test_name_rng_depends_on_name_and_purpose_alone() -> None:
    expected = name_rng('a', 'degrade').random()
    seed_globals(3)
    assert name_rng('a', 'degrade').random() == expected
    assert len({expected, name_rng('b', 'degrade').random(), name_rng('a', 'crop').random()}) == 3


# The globals that stock datasets draw from


def test_seeded_globals_are_those_of_the_sample() -> None:
    index = ScheduledIndex(3, seed=7, iteration=2, position=1)

    def inside(index: ScheduledIndex, seed: int) -> tuple[float, float, float]:
        seed_globals(seed)
        with seeded_globals(index):
            return global_draws()

    expected = inside(index, 0)
    assert inside(index, 1) == expected
    others = [inside(ScheduledIndex(3, *moment), 0) for moment in [(8, 2, 1), (7, 3, 1), (7, 2, 0)]]
    for source in range(3):  # random, numpy and torch
        assert len({numbers[source] for numbers in [expected, *others]}) == 4


@pytest.mark.parametrize('error', [None, KeyError, KeyboardInterrupt])
def test_seeded_globals_give_back_the_states(error: type[BaseException] | None) -> None:
    def use() -> None:
        with seeded_globals(ScheduledIndex(3, 7, 2, 1)):
            random.gauss(0, 1)  # leaves half a pair in the state
            np.random.randn(3)
            global_draws()
            if error is not None:
                raise error

    seed_globals(0)
    random.gauss(0, 1)
    np.random.randn()
    before: tuple[Any, ...] = random.getstate(), np.random.get_state(), torch.get_rng_state()
    if error is None:
        use()
    else:
        with pytest.raises(error):
            use()
    assert random.getstate() == before[0]
    np.testing.assert_equal(np.random.get_state(), before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_seeded_globals_of_a_plain_int_change_nothing() -> None:
    seed_globals(4)
    expected = [global_draws(), global_draws()]
    seed_globals(4)
    with seeded_globals(3):
        inside = global_draws()
    assert [inside, global_draws()] == expected
