"""Stages that end by milestones or by their loss."""

import random

import pytest

from basicsr_ext.schedule.stages import PlateauStages, Stages


def follow(stages: Stages, losses: list[float], first: int = 1) -> list[int]:
    """The stage of each iteration, asked just before it, of a training whose losses are given."""
    found = []
    for iteration, loss in enumerate(losses, start=first):
        found.append(stages.at(iteration))
        if stages.is_watching:
            stages.observe(iteration, loss)
    return found


def plain(losses: list[float], number: int, limit: int, window: int, tolerance: float) -> list[int]:
    """The same from the whole list of losses."""
    found: list[int] = []
    while len(found) < len(losses):
        stage, begin = (found[-1] + 1 if found else 1), len(found)
        length = len(losses) if stage == number else limit
        means = [sum(losses[i : i + window]) / window for i in range(begin, begin + length - window + 1, window)]
        for k in range(1, len(means)):
            if stage < number and means[k] >= min(means[:k]) * (1 - tolerance):
                length = (k + 1) * window
                break
        found += [stage] * length
    return found[: len(losses)]


def test_milestones_are_the_last_iterations_of_their_stages() -> None:
    stages = Stages([2, 2, 5])
    assert follow(stages, [0.0] * 7) == [1, 1, 3, 3, 3, 4, 4] and stages.state() is None


def test_stages_end_where_a_plain_loop_ends_them() -> None:
    for seed in range(40):
        rng = random.Random(seed)
        losses = [rng.uniform(0.8, 1) * 0.97**iteration for iteration in range(60)]
        settings = {'number': 4, 'limit': rng.randint(4, 20), 'window': rng.randint(1, 4), 'tolerance': 0.05}
        assert follow(PlateauStages(**settings), losses) == plain(losses, **settings), settings


def test_the_window_begins_with_the_stage() -> None:
    stages = PlateauStages(3, limit=7, window=2, tolerance=0.0)
    falling = [1 / n for n in range(1, 8)]  # to the limit, in the middle of a window
    assert follow(stages, [*falling, 5.0, 5.0, 5.0, 5.0, 0.0]) == [1] * 7 + [2] * 4 + [3]


def test_it_says_why_a_stage_ends() -> None:
    stages = PlateauStages(3, limit=3, window=1, tolerance=0.0)
    said = [stages.observe(iteration, loss) for iteration, loss in enumerate([3.0, 3.0, 3.0, 2.0, 1.0], start=1)]
    best = 'the best mean of 1 iterations is'
    assert said == [
        None,
        f'the loss has stopped falling, {best} 3',
        None,
        None,
        f'the stage is at its limit, {best} 1',
    ]
    assert not stages.is_watching


def test_stages_continue_where_they_were() -> None:
    losses = [1.0, 0.9, 0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4]
    whole = follow(PlateauStages(4, 5, 2, 0.01), losses)
    for stopped in range(1, len(losses)):
        first, resumed = PlateauStages(4, 5, 2, 0.01), PlateauStages(4, 5, 2, 0.01)
        before = follow(first, losses[:stopped])
        resumed.restore(first.state(), stopped)
        assert resumed.state() == first.state()
        assert before + follow(resumed, losses[stopped:], stopped + 1) == whole


@pytest.mark.parametrize(('iteration', 'ends'), [(3, []), (4, []), (5, [4]), (9, [4, 8]), (30, [4, 8])])
def test_without_a_record_the_stages_so_far_count_as_ended_at_their_limit(iteration: int, ends: list[int]) -> None:
    stages = PlateauStages(3, limit=4, window=1, tolerance=0.0)
    stages.restore(None, iteration)
    assert stages.ends == ends
