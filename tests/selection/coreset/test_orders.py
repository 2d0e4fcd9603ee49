"""Orders of a pool against plain loops, known values and exhaustive search."""

from itertools import combinations

import numpy as np
import pytest

from basicsr_ext.errors import OptionError
from basicsr_ext.selection.coreset.features import Curvature, Features, side_by_side
from basicsr_ext.selection.coreset.orders import ORDERS, Pool, in_turn, ordered
from basicsr_ext.selection.coreset.prediction import Objective, Total, falls, first_order, second_order


def features(images: int = 30, size: int = 5, seed: int = 0, with_curvature: bool = False) -> Features:
    rng = np.random.default_rng(seed)
    curvature = None
    if with_curvature:
        roots = rng.normal(size=(images, 2, 6))
        curvature = Curvature(np.array([1, 3]), roots @ roots.transpose(0, 2, 1) / 6, np.array([0.1, 0.2]))
    return Features(rng.normal(size=(images, size)), rng.normal(size=(4, size)) + 0.5, curvature)


def predicted(given: Features, rows: list[int]) -> float:
    """The second-order prediction, dense and alone."""
    mean, target = given.images[rows].mean(0), given.targets.mean(0)
    if given.curvature is None:
        return float(((mean - target) ** 2).sum() / 2 - (target**2).sum() / 2)
    matrix = np.eye(len(mean))
    along = given.curvature.along
    matrix[np.ix_(along, along)] = given.curvature.images[rows].mean(0) + np.diag(given.curvature.damping)
    move = np.linalg.inv(matrix) @ mean
    return float(-target @ move + move @ move / 2)


# ---- predictions ----


@pytest.mark.parametrize('with_curvature', [False, True])
def test_a_prediction_equals_the_dense_formula(with_curvature: bool) -> None:
    given, rows = features(with_curvature=with_curvature), [3, 7, 11]
    assert second_order(given, rows) == pytest.approx(predicted(given, rows), rel=1e-12)
    candidates = np.array([0, 5, 29])
    values = Objective(given).values(Total.of(given, rows), 4, candidates)
    np.testing.assert_allclose(values, [predicted(given, [*rows, row]) for row in candidates], rtol=1e-10)


def test_first_order_is_minus_the_mean_influence() -> None:
    given, rows = features(), [2, 9]
    expected = -np.mean([given.images[row] @ given.targets.mean(0) for row in rows])
    assert first_order(given, rows) == pytest.approx(expected)


def test_falls_are_those_of_every_beginning() -> None:
    given = features()
    order = np.random.default_rng(1).permutation(30)
    expected = [-predicted(given, order[:number].tolist()) for number in range(1, 31)]
    np.testing.assert_allclose(falls(given, order), expected, rtol=1e-10)


def test_levels_stand_side_by_side_with_equal_weight() -> None:
    levels = [features(seed=1, with_curvature=True), features(seed=2, with_curvature=True)]
    both = side_by_side([levels[0], Features(7 * levels[1].images, 7 * levels[1].targets, levels[1].curvature)])
    for start in (0, 5):
        assert np.linalg.norm(both.images[:, start : start + 5], axis=1).mean() == pytest.approx(1)
    norms = [np.linalg.norm(level.images, axis=1).mean() for level in levels]
    expected = sum(predicted(level, [4, 8]) / norm**2 for level, norm in zip(levels, norms, strict=True))
    assert second_order(both, [4, 8]) == pytest.approx(expected)


# ---- matching ----


def best_subset(given: Features, size: int) -> float:
    return min(predicted(given, list(rows)) for rows in combinations(range(len(given.images)), size))


@pytest.mark.parametrize('with_curvature', [False, True])
def test_matching_is_nearly_always_the_best_of_all_subsets_and_never_worse_than_a_swap(with_curvature: bool) -> None:
    found = 0
    for seed in range(12):
        given = features(12, 4, seed, with_curvature)
        rows = ordered('matching', Pool(given, 3))[:3].tolist()
        value, best = predicted(given, rows), best_subset(given, 3)
        swaps = [
            predicted(given, [*rows[:place], other, *rows[place + 1 :]])
            for place in range(3)
            for other in set(range(12)) - set(rows)
        ]
        assert value <= min(swaps) + 1e-9
        found += value == pytest.approx(best)
    assert found >= 9


def test_the_first_images_of_matching_are_greedy() -> None:
    given = features()
    order = ordered('matching', Pool(given, 6)).tolist()
    assert sorted(order) == list(range(30))
    for number in range(1, 6):  # among the chosen
        values = {row: predicted(given, [*order[: number - 1], row]) for row in order[number - 1 : 6]}
        assert min(values, key=values.__getitem__) == order[number - 1]
    for number in range(6, 12):  # among all that are left
        values = {row: predicted(given, [*order[:number], row]) for row in order[number:]}
        assert min(values, key=values.__getitem__) == order[number]


def test_matching_differs_from_taking_the_best_alone() -> None:
    """Copies of the most helpful image overshoot; matching takes it once."""
    target = np.array([[1.0, 1.0]])
    pool = Features(np.array([*[[3.0, 0.0]] * 5, [0.0, 2.0], [-1.0, 0.0], [0.0, -1.0], [0.0, 0.1]]), target)
    assert set(ordered('influence', Pool(pool, 2))[:2].tolist()) <= set(range(5))
    assert set(ordered('matching', Pool(pool, 2))[:2].tolist()) & {5}


def test_the_guard_keeps_the_mean_norm_of_the_pool() -> None:
    rng = np.random.default_rng(3)
    strong, weak = rng.normal(size=(20, 4)) * 3, rng.normal(size=(20, 4)) * 0.05
    given = Features(np.concatenate([strong, weak]), np.full((1, 4), 0.01))
    norms = np.linalg.norm(given.images, axis=1)
    free, kept = (ordered('matching', Pool(given, 6, guard=guard))[:6] for guard in ('none', 'norm'))
    assert norms[free].mean() < norms.mean() <= norms[kept].mean() + 1e-12
    assert predicted(given, kept.tolist()) < np.mean(
        [predicted(given, rng.choice(20, 6, replace=False).tolist()) for _ in range(200)]
    )


def test_groups_get_equal_shares() -> None:
    given, groups = features(), ['a'] * 20 + ['b'] * 10
    for name in ORDERS:
        order = ordered(name, Pool(given, 8, groups=groups, losses=np.arange(30.0)))
        assert sorted(order.tolist()) == list(range(30))
        assert [groups[row] for row in order[:8]].count('a') == 4, name


# ---- the others ----


def test_kcenter_equals_a_plain_loop() -> None:
    images = features().images
    rows = [int(np.argmin([np.linalg.norm(image - images.mean(0)) for image in images]))]
    while len(rows) < 30:
        nearest = [min(np.linalg.norm(image - images[row]) for row in rows) for image in images]
        rows.append(int(np.argmax(nearest)))
    assert ordered('kcenter', Pool(features(), 5)).tolist() == rows


def test_herding_follows_the_mean() -> None:
    images = features().images
    weights, rows = images.mean(0), []
    for _ in range(30):
        row = max(set(range(30)) - set(rows), key=lambda row: float(images[row] @ weights))
        rows.append(row)
        weights = weights + images.mean(0) - images[row]
    assert ordered('herding', Pool(features(), 5)).tolist() == rows
    chosen = [np.linalg.norm(images[rows[:6]].mean(0) - images.mean(0))]
    rng = np.random.default_rng(0)
    draws = [np.linalg.norm(images[rng.choice(30, 6, replace=False)].mean(0) - images.mean(0)) for _ in range(100)]
    assert chosen[0] < np.quantile(draws, 0.1)


def test_craig_equals_the_greedy_choice_without_laziness() -> None:
    images = features().images
    distances = np.linalg.norm(images[:, None] - images[None], axis=2)
    similar = 2 * np.linalg.norm(images, axis=1).max() - distances
    rows: list[int] = []
    for _ in range(7):
        gains = {row: similar[[*rows, row]].max(0).sum() for row in range(30) if row not in rows}
        rows.append(max(gains, key=gains.__getitem__))
    assert ordered('craig', Pool(features(), 7))[:7].tolist() == rows


def test_moderate_takes_the_median_distance_first() -> None:
    line = Features(np.array([[-6.0], [-3.0], [-1.0], [0.0], [2.0], [8.0]]), np.ones((1, 1)))  # mean 0, median 2.5
    assert ordered('moderate', Pool(line, 2)).tolist()[:2] == [1, 4]


def test_strata_of_equal_width_give_in_turn() -> None:
    scores = np.array([*np.linspace(0, 0.019, 40), 0.5, 1.0])  # 40 images in one stratum of 50, one each in two others
    given = Features(scores[:, None], np.ones((1, 1)))
    for seed in range(5):
        assert {40, 41} < set(ordered('stratified', Pool(given, 3, seed))[:3].tolist())
    first = {int(ordered('stratified', Pool(given, 3, seed))[:3].min()) for seed in range(20)}
    assert len(first) > 8  # which one of the 40 is drawn


def test_el2n_takes_the_largest_losses_and_needs_them() -> None:
    assert ordered('el2n', Pool(features(4), 2, losses=np.array([1.0, 4.0, 2.0, 3.0]))).tolist() == [1, 3, 2, 0]
    with pytest.raises(OptionError, match='rank.features: expected gradients for el2n'):
        ordered('el2n', Pool(features(), 2))


def test_random_depends_on_the_seed_alone() -> None:
    draws = [ordered('random', Pool(features(seed=seed), 3, seed=7)).tolist() for seed in (0, 1)]
    assert draws[0] == draws[1] != ordered('random', Pool(features(), 3, seed=8)).tolist()


def test_rows_are_taken_in_turn() -> None:
    assert in_turn(np.array([4, 0, 1, 2, 3]), ['a', 'a', 'b', 'b', 'b']).tolist() == [4, 0, 2, 1, 3]
