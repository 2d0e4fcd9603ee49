"""The iterations of a warm-up: the end that options say, the end that the loss decides, repeats."""

from typing import Any

import pytest
import torch

from basicsr_ext.errors import OptionError
from basicsr_ext.options.blocks import read_block
from basicsr_ext.schedule.plateau import Plateau
from basicsr_ext.schedule.warmup import AutoStop, Stop, Warmup, WarmupRule, plan_warmup
from basicsr_ext.training import learning_rate


def plan(rule: WarmupRule, **changes: Any) -> Warmup:
    known = {'total_iter': 3000, 'iterations_per_epoch': 12.5, 'drops': (), 'prepared': 0, 'where': 'datasets.train'}
    return plan_warmup(rule, **{**known, **changes})


def covered(warmup: Warmup, total: int = 3000) -> list[int]:
    return [iteration for iteration in range(1, total + 1) if warmup.covers(iteration)]


@pytest.mark.parametrize(
    ('stop', 'end'),
    [
        ({'iter': 7}, 7),
        ({'iter': 0}, 0),
        ({'epoch': 16}, 200),
        ({'epoch': 1}, 13),  # 12.5 iterations: the thirteenth uses samples of the first epoch
        ({'epoch': 0}, 0),
        ({'fraction': 16 / 300}, 160),
        ({'fraction': 1}, 3000),
    ],
)
def test_the_end_that_options_say(stop: dict[str, Any], end: int) -> None:
    warmup = plan(WarmupRule(Stop(**stop)))
    assert covered(warmup) == list(range(1, end + 1))
    assert warmup.is_decided and warmup.state() is None


def test_whole_epochs_have_no_iteration_too_many() -> None:
    for images in range(1, 200):  # 16 * (images / 3) * 3 / 16 is not always a whole number in floating point
        assert plan(WarmupRule(Stop(epoch=3)), iterations_per_epoch=images / 3).end == images


@pytest.mark.parametrize('stop', [{}, {'iter': 3, 'epoch': 1}, {'iter': -1}, {'fraction': 1.5}, {'epoch': -0.5}])
def test_a_stop_that_is_none_or_several_or_out_of_range_is_refused(stop: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match='expected (exactly one|0 to)'):
        read_block(Stop, stop, 'stop')


@pytest.mark.parametrize('auto', [{'window': 0}, {'tolerance': -0.1}, {'limit': 1.1}])
def test_auto_out_of_range_is_refused(auto: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f'{next(iter(auto))}: expected'):
        read_block(AutoStop, auto, 'auto')


def test_repeats_follow_each_drop() -> None:
    warmup = plan(WarmupRule(Stop(iter=3), repeat=4), drops=[11, 21], total_iter=22)
    assert covered(warmup, 22) == [1, 2, 3, 11, 12, 13, 14, 21, 22]
    assert warmup.intervals() == [(1, 3), (11, 14), (21, 22)]


# ---- drops of the learning rate ----


@pytest.mark.parametrize(
    'block',
    [
        {'type': 'MultiStepLR', 'milestones': [5, 12, 40], 'gamma': 0.5},
        {'type': 'MultiStepRestartLR', 'milestones': [1, 19], 'gamma': 0.5},
        {'type': 'StepLR', 'step_size': 6, 'gamma': 0.5},
    ],
)
@pytest.mark.parametrize('warmup_iter', [-1, 8])
def test_drops_are_where_the_rate_of_a_training_falls(block: dict[str, Any], warmup_iter: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = learning_rate.build(learning_rate.scheduler_class(block, 'scheduler'), optimizer, block)
    full = []  # the rate without its own warm-up
    for iteration in range(1, 21):
        learning_rate.set_learning_rate([schedule], iteration, warmup_iter)
        full.append(schedule.get_last_lr()[0])
    fallen = [iteration for iteration in range(2, 21) if full[iteration - 1] < full[iteration - 2]]
    assert learning_rate.drops(block, 20, 'repeat.at') == fallen


@pytest.mark.parametrize('block', [None, {'type': 'CosineAnnealingLR', 'T_max': 20}])
def test_a_schedule_without_drops_is_refused(block: dict[str, Any] | None) -> None:
    with pytest.raises(OptionError, match='repeat.at: expected train.scheduler to be MultiStepLR'):
        learning_rate.drops(block, 20, 'repeat.at')


# ---- auto ----


def follow(losses: list[float], **settings: Any) -> tuple[Warmup, list[bool]]:
    """A training whose losses are given; whether each iteration was a warm-up, asked just before it."""
    warmup = Warmup(Plateau(**settings))
    covers = []
    for iteration, loss in enumerate(losses, start=1):
        covers.append(warmup.covers(iteration))
        if covers[-1] and not warmup.is_decided:
            warmup.observe(iteration, loss)
    return warmup, covers


def test_auto_ends_one_window_after_the_first_without_progress() -> None:
    falling = [1.0] * 4 + [0.8] * 4 + [0.6] * 4 + [0.599] * 4  # 0.599 is within one per cent of 0.6
    warmup, covers = follow(falling + [0.0] * 10, window=4, tolerance=0.01, limit=100)
    assert warmup.end == 20 and covers == [True] * 20 + [False] * 6


def test_auto_compares_with_the_lowest_window() -> None:
    warmup, _ = follow([1.0, 0.5, 0.7, 0.6] + [0.1] * 6, window=1, tolerance=0.0, limit=100)
    assert warmup.end == 4


def test_auto_without_a_plateau_ends_at_the_limit() -> None:
    warmup, covers = follow([1 / n for n in range(1, 31)], window=2, tolerance=0.01, limit=13)
    assert covers == [True] * 13 + [False] * 17 and warmup.end == 13


def test_auto_never_exceeds_the_limit() -> None:
    warmup, covers = follow([1.0] * 20, window=4, tolerance=0.01, limit=10)
    assert warmup.end == 10 and covers == [True] * 10 + [False] * 10


@pytest.mark.parametrize('ahead', [0, 1, 3, 4])
def test_auto_is_decided_before_a_sampler_that_runs_ahead_by_a_window_asks(ahead: int) -> None:
    losses = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.35, *[0.4] * 16]
    warmup, plain = follow(losses, window=4, tolerance=0.01, limit=100)
    early = Warmup(Plateau(window=4, tolerance=0.01, limit=100))
    asked: list[bool] = []
    for iteration in range(1, len(losses) + 1):
        while len(asked) < min(iteration + ahead, len(losses)):  # workers prepare these before the step
            asked.append(early.covers(len(asked) + 1))
        if early.covers(iteration) and not early.is_decided:
            early.observe(iteration, losses[iteration - 1])
    assert asked == plain and early.end == warmup.end == 20


@pytest.mark.parametrize('stopped', [1, 4, 6, 15, 16, 20, 23])
def test_auto_resumes_where_it_was(stopped: int) -> None:
    losses = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.35, *[0.4] * 16]
    settings: dict[str, Any] = {'window': 4, 'tolerance': 0.01, 'limit': 100}
    _, whole = follow(losses, **settings)
    first, before = follow(losses[:stopped], **settings)
    resumed = Warmup(Plateau(**settings))
    resumed.restore(first.state())
    after = []
    for iteration in range(stopped + 1, len(losses) + 1):
        after.append(resumed.covers(iteration))
        if after[-1] and not resumed.is_decided:
            resumed.observe(iteration, losses[iteration - 1])
    assert before + after == whole


def test_auto_reads_negative_losses_too() -> None:
    warmup, _ = follow([-1.0] * 8, window=2, tolerance=0.01, limit=100)
    assert warmup.end == 6
    falling, _ = follow([-1.0, -1.1, -1.3, -1.6, -2.0, -2.5], window=1, tolerance=0.01, limit=6)
    assert not falling.is_decided


def test_auto_takes_the_mean_of_what_it_has_seen() -> None:
    """Begun in the middle of a window, as a run that is resumed with auto for the first time."""
    warmup = Warmup(Plateau(window=4, tolerance=0.0, limit=100))
    for iteration, loss in ((3, 1.0), (4, 1.0), (5, 0.9), (6, 0.9), (7, 0.9), (8, 0.9)):
        warmup.observe(iteration, loss)
    assert not warmup.is_decided


def test_auto_drops_a_part_of_a_window_of_another_length() -> None:
    first, _ = follow([8.0] * 3, window=4, tolerance=0.0, limit=100)
    resumed = Warmup(Plateau(window=5, tolerance=0.0, limit=100))
    resumed.restore(first.state())
    for iteration in (4, 5):
        resumed.observe(iteration, 1.0)
    state = resumed.state()
    assert state is not None and state['lowest'] == 1.0


def test_auto_needs_room_for_three_windows() -> None:
    assert plan(WarmupRule(Stop(auto=AutoStop())), total_iter=300).end == 30  # windows of ten
    with pytest.raises(OptionError, match='stop.auto.limit: expected at least three windows of 32 .*got 30'):
        plan(WarmupRule(Stop(auto=AutoStop(window=32))), total_iter=300)


def test_auto_needs_a_window_as_long_as_what_workers_prepare() -> None:
    rule = WarmupRule(Stop(auto=AutoStop(window=5)))
    assert plan(rule, prepared=5).end == 300  # a tenth of all iterations at most
    with pytest.raises(OptionError, match=r'datasets.train.stop.auto.window: expected at least 6 iterations.*got 5'):
        plan(rule, prepared=6)
