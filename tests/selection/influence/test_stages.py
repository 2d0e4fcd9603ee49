"""Candidates of a first stage and drawn tiles, against full rankings and plain loops."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from basicsr_ext.archs.filter_bank_encoder_arch import FilterBankEncoder
from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.own_pairs import OwnPairs
from basicsr_ext.errors import OptionError
from basicsr_ext.images.pixels import bgr_8bit, bgr_to_grey
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.selection.complexity.criteria import CRITERIA
from basicsr_ext.selection.coreset.encoder_features import EncoderScan
from basicsr_ext.selection.coreset.kcenter_order import farthest_first
from basicsr_ext.selection.influence import precision_trial
from basicsr_ext.selection.influence.batches import Batch, ImageBatches, Tiling
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss, smooth_loss
from basicsr_ext.selection.influence.drawn_tiles import draw
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.first_stage import FirstStage, first_stage
from basicsr_ext.selection.influence.settings import CandidateSettings, RankSettings, SettleSettings
from basicsr_ext.selection.influence.settling import overlap_of_draws
from tests.selection.influence.test_influence import Images, Pair

IMAGES = 7


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 1, 3, padding=1)).double()


def pairs(count: int, height: int = 8, width: int = 8) -> list[Pair]:
    return [tuple(torch.rand(2, 1, height, width, dtype=torch.float64)) for _ in range(count)]


def engine_of(
    net: nn.Module,
    train: ImageBatches,
    test: ImageBatches,
    folder: Path,
    scored: list[int] | None = None,
    **settings: Any,
) -> InfluenceEngine:
    return InfluenceEngine(
        Derivatives(net), train, test, smooth_loss, RankSettings(**settings), 0, folder, 'cpu', scored
    )


# ---- candidates ----


@pytest.mark.parametrize('settings', [{'iterations': 4}, {'solver': 'stochastic'}, {'method': 'graddot'}], ids=str)
def test_candidates_have_the_scores_of_the_full_ranking(tmp_path: Path, net: nn.Module, settings) -> None:
    train, test = (ImageBatches(Images(each), 2) for each in (pairs(IMAGES), pairs(2)))
    full = engine_of(net, train, test, tmp_path / 'full', **settings)
    some = engine_of(net, train, test, tmp_path / 'some', [1, 2, 6], **settings)
    assert some.work() == full.work() - IMAGES + 3
    expected = full.scores()[[1, 2, 6]]
    with Progress('Ranking', some.work()) as progress:
        np.testing.assert_allclose(some.scores(progress), expected, rtol=1e-9)
    assert progress.done == pytest.approx(progress.total)


def pictures(count: int = IMAGES, side: int = 24) -> tuple[list[Tensor], CleanImages]:
    torch.manual_seed(2)
    images = [torch.rand(3, side, side) * (0.2 + 0.1 * number) for number in range(count)]
    return images, CleanImages(OwnPairs(images, 'images'))


def stage_of(by: str, folder: Path, seed: int = 0, **size: Any) -> FirstStage:
    return first_stage(CandidateSettings(by, **size), pictures()[1], FilterBankEncoder(), seed, folder)


def test_random_candidates_depend_on_the_seed_alone(tmp_path: Path) -> None:
    orders = [stage_of('random', tmp_path, seed, size=3).order.tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(IMAGES))


@pytest.mark.parametrize('by', ['entropy', 'std', 'gradient'])
def test_candidates_by_complexity_are_the_most_complex(tmp_path: Path, by: str) -> None:
    values = [CRITERIA[by](bgr_to_grey(bgr_8bit(image))) for image in pictures()[0]]
    stage = stage_of(by, tmp_path, ratio=0.4)
    assert stage.order.tolist() == sorted(range(IMAGES), key=lambda row: -values[row])
    assert stage.candidates == sorted(stage.order[:3].tolist())


def test_kcenter_is_greedy_then_by_distance(tmp_path: Path) -> None:
    folder, device = tmp_path / 'features', torch.device('cpu')
    features = EncoderScan(pictures()[1], FilterBankEncoder(), folder, 'images', device).values()
    features = (features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)

    def distance(row: int, others: list[int]) -> float:
        return min(float(np.linalg.norm(features[row] - features[other])) for other in others)

    chosen = [int(np.linalg.norm(features, axis=1).argmin())]
    for _ in range(2):
        chosen.append(max(set(range(IMAGES)) - set(chosen), key=lambda row: distance(row, chosen)))
    others = sorted(set(range(IMAGES)) - set(chosen), key=lambda row: -distance(row, chosen))
    assert stage_of('kcenter', tmp_path / 'stage', size=3).order.tolist() == [*chosen, *others]


@pytest.mark.parametrize('number', [1, 4, 9])
def test_fewer_centres_are_the_first_of_more(number: int) -> None:
    features = np.random.default_rng(0).normal(size=(9, 3))
    order = farthest_first(features, number)
    assert order[:number].tolist() == farthest_first(features, 9)[:number].tolist()
    assert sorted(order.tolist()) == list(range(9))


def test_the_others_follow_without_a_score() -> None:
    stage = FirstStage(np.array([4, 1, 3, 0, 2]), 2)
    columns = stage.of_all({'influence': [0.5, 0.7], 'rank': [2, 1]})  # of the images 1 and 4
    np.testing.assert_array_equal(columns['influence'], [np.nan, 0.5, np.nan, np.nan, 0.7])
    assert columns['rank'] == [4, 2, 5, 3, 1]
    assert columns['candidate'] == [False, True, False, False, True]


def test_candidates_are_a_share_rounded_up_or_a_number() -> None:
    assert CandidateSettings('random', ratio=0.1).number(41) == 5
    assert CandidateSettings('random', ratio=0.07).number(100) == 7
    assert CandidateSettings('random', size=4).number(4) == 4
    with pytest.raises(OptionError, match='rank.candidates.size: expected at most the 3 images'):
        CandidateSettings('random', size=4).number(3)


# ---- tiles ----


@pytest.mark.parametrize(('parts', 'number'), [([0.25] * 4, 3), ([0.5, 0.2, 0.2, 0.1], 1), ([0.7, 0.2, 0.1], 2)])
def test_drawn_weights_are_the_parts_on_average(parts: list[float], number: int) -> None:
    generator, mean, draws = np.random.default_rng(0), np.zeros(len(parts)), 4000
    for _ in range(draws):
        drawn = draw(parts, number, generator)
        assert sum(drawn.values()) == pytest.approx(1) and len(drawn) <= number
        assert list(drawn) == sorted(drawn)
        if max(parts) <= 1 / number:
            assert set(drawn.values()) == {1 / number} and len(drawn) == number
        for place, weight in drawn.items():
            mean[place] += weight / draws
    np.testing.assert_allclose(mean, parts, atol=0.03)


@pytest.mark.parametrize('number', [1, 3])
def test_scores_of_tiles_are_those_of_all_tiles_on_average_over_the_draws(
    tmp_path: Path, net: nn.Module, number: int
) -> None:
    image, test, tiling = Images(pairs(1)), ImageBatches(Images(pairs(1)), 2), Tiling(4, 2)

    def score(train: ImageBatches, name: str) -> float:
        return float(engine_of(net, train, test, tmp_path / name, method='graddot').scores()[0, 0])

    found: dict[tuple[float, ...], float] = {}
    for seed in range(60):
        train = ImageBatches(image, 2, tiling, 0, number, seed)
        drawn = tuple(float(gt.sum()) for batch in next(train.load([[0]])) for gt in batch.gt)
        if tuple(sorted(drawn)) not in found:
            found[tuple(sorted(drawn))] = score(train, str(seed))
    assert len(found) == len(list(combinations(range(4), number)))
    whole = score(ImageBatches(image, 2), 'whole')
    assert np.mean(list(found.values())) == pytest.approx(whole, rel=1e-6)
    assert max(found.values()) - min(found.values()) > 1e-3 * abs(whole)


def test_drawn_tiles_count_in_the_curvature(tmp_path: Path, net: nn.Module) -> None:
    train, test = Images(pairs(3)), ImageBatches(Images(pairs(1)), 2)
    drawing = ImageBatches(train, 2, Tiling(4, 1), 0, 1, 5)
    tiles = [
        (batch.lq[row], batch.gt[row])
        for unit in drawing.load([[0], [1], [2]])
        for batch in unit
        for row in range(len(batch.lq))
    ]
    assert len(tiles) == 3
    engine = engine_of(net, drawing, test, tmp_path, damping=0.1, iterations=40)
    size = engine.derivatives.size
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for unit in drawing.load([[0], [1], [2]]):
        for batch in unit:
            columns = [engine.derivatives.gauss_newton_product(batch, row) for row in torch.eye(size).double()]
            matrix += torch.stack(columns) / 3
    damping = 0.1 * torch.linalg.eigvalsh(matrix)[-1]
    target = engine.derivatives.gradient(next(test.load([[0]]))[0], smooth_loss)
    solved = torch.linalg.solve(matrix + damping * torch.eye(size), target)
    rows = [engine.derivatives.gradient(batch, smooth_loss) for unit in drawing.load([[0], [1], [2]]) for batch in unit]
    scores = engine.scores()[:, 0] * engine.loss_curvature
    np.testing.assert_allclose(scores, [float(row @ solved) / 3 for row in rows], rtol=1e-5)


def test_drawn_tiles_depend_on_image_and_seed_alone() -> None:
    images = Images(pairs(4))

    def drawn(seed: int, units: list[list[int]], workers: int = 0) -> dict[int, list[float]]:
        found: dict[int, list[float]] = {}
        for unit in ImageBatches(images, 2, 3, workers, 2, seed).load(units):
            for batch in unit:
                for image, gt in zip(batch.images.tolist(), batch.gt, strict=True):
                    found.setdefault(image, []).append(float(gt.sum()))
        return found

    whole = drawn(1, [[0, 1], [2, 3]])
    assert drawn(1, [[3, 0], [2, 1]], workers=1) == whole
    assert drawn(1, [[2]]) == {2: whole[2]}
    assert drawn(2, [[0, 1], [2, 3]]) != whole
    assert all(len(tiles) == 2 for tiles in whole.values())


def test_images_of_few_tiles_are_taken_whole() -> None:
    images = Images([*pairs(1), *pairs(1, 4, 8)])
    tiles = {index: next(ImageBatches(images, 8, 4, 0, 2).load([[index]])) for index in (0, 1)}
    assert sum(len(batch.lq) for batch in tiles[0]) == 2 == sum(len(batch.lq) for batch in tiles[1])
    (batch,) = tiles[1]
    assert torch.equal(torch.cat(list(batch.gt), -1), images.pairs[1][1])


# ---- draws until the first part is settled ----


@pytest.mark.parametrize(('rounds', 'noise'), [(2, 0.3), (4, 0.3), (8, 1.0), (3, 0.0)])
def test_the_expected_overlap_is_that_with_the_ranking_without_chance(rounds: int, noise: float) -> None:
    rng, images, size = np.random.default_rng(5), 400, 40
    expected, found = [], []
    for trial in range(20):
        true = rng.standard_normal(images)
        drawn = true + noise * rng.standard_normal((rounds, images))
        first, of_true = (set(np.argsort(-scores)[:size].tolist()) for scores in (drawn.mean(0), true))
        found.append(len(first & of_true) / size)
        expected.append(overlap_of_draws(drawn, size, np.random.default_rng(trial)))
    assert np.mean(expected) == pytest.approx(np.mean(found), abs=0.06)
    assert noise > 0 or expected == [1.0] * 20


def test_tiles_are_drawn_until_the_first_images_are_settled(tmp_path: Path, net: nn.Module) -> None:
    torch.manual_seed(4)
    train = ImageBatches(Images([*pairs(4, 8, 8), *pairs(8, 16, 16)]), 2, Tiling(4), tiles_per_image=4, seed=7)
    test = ImageBatches(Images(pairs(2)), 2)
    settle = SettleSettings(size=3, overlap=0.8, rounds=30)
    engine = engine_of(net, train, test, tmp_path / 'settled', method='graddot', tiles_per_image=4, settle=settle)
    with Progress('Ranking', engine.work()) as progress:
        scores = engine.scores(progress)[:, 0]
    assert progress.done == pytest.approx(progress.total)
    number = engine.chosen['draws']
    assert 2 <= number < 30 and engine.chosen['overlap'] >= 0.8
    rounds = []
    for draws in range(number):  # a plain loop over the same draws
        again = ImageBatches(train.dataset, 2, Tiling(4), tiles_per_image=4, seed=7).drawn_again(draws)
        own = engine_of(net, again if draws else train, test, tmp_path / f'{draws}', method='graddot')
        rounds.append(own.scores()[:, 0])
    np.testing.assert_array_equal(np.isnan(rounds[1]), [True] * 4 + [False] * 8)  # four tiles are all of the small
    np.testing.assert_allclose(scores[4:], np.mean(rounds, 0)[4:], rtol=1e-9)
    np.testing.assert_allclose(scores[:4], rounds[0][:4], rtol=1e-9)
    for draws in range(2, number):
        firsts = np.where(np.isnan(rounds[1]), rounds[0], np.stack(rounds[:draws]))
        assert overlap_of_draws(firsts, 3, np.random.default_rng([engine.order[0], draws - 1])) < 0.8


def test_draws_that_do_not_settle_it_are_said(tmp_path: Path, net: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    train = ImageBatches(Images(pairs(8, 16, 16)), 2, Tiling(4), tiles_per_image=1)
    settle = SettleSettings(size=3, overlap=1, rounds=2)
    engine = engine_of(
        net, train, ImageBatches(Images(pairs(2)), 2), tmp_path, method='graddot', tiles_per_image=1, settle=settle
    )
    assert engine.scores().shape == (8, 1)
    assert engine.chosen['draws'] == 2 and 'less than 100%' in caplog.text


# ---- scores in bfloat16 where a trial says so ----


class Rounded(Derivatives):
    """What bfloat16 gives is turned to the other order where `wrong`."""

    wrong = False

    def directional(self, batch: Batch, loss: ImageLoss, directions: Tensor) -> Tensor:
        found = super().directional(batch, loss, directions)
        return -found if self.bfloat16 and self.wrong else found


@pytest.mark.parametrize(
    ('wrong', 'seconds', 'precision'),
    [(False, [2, 1], 'bfloat16'), (False, [1, 1], 'float32'), (True, [2, 1], 'float32')],
)
def test_scores_are_in_bfloat16_where_a_trial_agrees_and_is_faster(
    tmp_path: Path, net: nn.Module, monkeypatch: pytest.MonkeyPatch, wrong: bool, seconds: list[float], precision: str
) -> None:
    net, kept = net.float(), tmp_path / 'chosen'
    train = ImageBatches(Images([tuple(pair.float() for pair in each) for each in pairs(240)]), 8)
    test = ImageBatches(Images([tuple(pair.float() for pair in each) for each in pairs(2)]), 2)
    moments = iter(np.cumsum([0, seconds[0], 0, seconds[1]]).tolist())
    monkeypatch.setattr(precision_trial.time, 'perf_counter', lambda: next(moments))

    def scores(precision: str, folder: Path) -> InfluenceEngine:
        derivatives = Rounded(net, bfloat16=precision == 'bfloat16')
        derivatives.wrong = wrong
        settings = RankSettings(method='graddot', precision=precision)
        return InfluenceEngine(derivatives, train, test, smooth_loss, settings, 0, folder)

    engine = scores('auto', kept)
    found = engine.scores()
    assert engine.chosen['precision'] == precision
    assert engine.chosen['agreement'] == pytest.approx(-1 if wrong else 1, abs=0.02)
    again = scores('auto', kept)  # a stopped ranking keeps what was chosen: the clock is not asked again
    np.testing.assert_array_equal(again.scores(), found)
    exact = scores('float32', tmp_path / 'float32').scores()
    assert np.array_equal(found, exact) == (precision == 'float32')
    np.testing.assert_allclose(found, exact, atol=0.05 * np.abs(exact).max())


def test_few_images_are_not_tried(tmp_path: Path, net: nn.Module) -> None:
    train, test = (ImageBatches(Images(each), 2) for each in (pairs(IMAGES), pairs(2)))
    engine = engine_of(net, train, test, tmp_path, method='graddot', precision='auto')
    engine.scores()
    assert 'precision' not in engine.chosen
