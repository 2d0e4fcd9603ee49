"""Influence scores against closed forms, retraining and plain loops; batches of images and tiles."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.utils.data import Dataset

from basicsr_ext.archs.dncnn_arch import DnCNN
from basicsr_ext.errors import DataError, DivergenceError
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.saved_state import SavedState
from basicsr_ext.selection.influence import engine as influence
from basicsr_ext.selection.influence.batches import Batch, ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives, smooth_loss
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.score_notes import ScoreNotes
from basicsr_ext.selection.influence.settings import RankSettings

Pair = tuple[Tensor, Tensor]
SEED = 5


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


class Images(Dataset[dict[str, Any]]):
    """Pairs (lq, gt) as a dataset; remembers which were asked for."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        lq, gt = self.pairs[index]
        return {'lq': lq, 'gt': gt, 'gt_path': f'image {index}'}


# ---- a linear network, whose Hessian is known ----


def linear_net(weight: Tensor) -> nn.Module:
    net = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    net.weight.data = weight.reshape(1, 1, 3, 3).clone()
    return net


def design(lq: Tensor) -> Tensor:
    """The matrix that maps the nine weights to the output pixels, (pixels, 9)."""
    padded = np.pad(lq[0].numpy(), 1)
    height, width = lq.shape[-2:]
    columns = [padded[y : y + height, x : x + width].ravel() for y in range(3) for x in range(3)]
    return torch.from_numpy(np.stack(columns, 1))


def linear_pairs(
    count: int, weight: Tensor, noise: float = 0.1, sizes: Sequence[tuple[int, int]] = ((6, 7),)
) -> list[Pair]:
    """Images that a linear network with these weights restores up to the noise."""
    pairs = []
    for index in range(count):
        lq = torch.randn(1, *sizes[index % len(sizes)], dtype=torch.float64)
        gt = (design(lq) @ weight).reshape(lq.shape) + noise * torch.randn_like(lq)
        pairs.append((lq, gt))
    return pairs


def gradient(pair: Pair, weight: Tensor) -> Tensor:
    """Of half the mean square of the residual, which is the smooth loss where no residual is larger than 1."""
    matrix = design(pair[0])
    residual = matrix @ weight - pair[1].flatten()
    assert residual.abs().max() < 1
    return matrix.T @ residual / len(residual)


def hessian(pair: Pair) -> Tensor:
    matrix = design(pair[0])
    return matrix.T @ matrix / len(matrix)


def mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(0)


def closed_form(train: list[Pair], test: list[Pair], weight: Tensor, damping: float) -> np.ndarray:
    """(1 / n) g_test^T (H + damping I)^-1 g_i, one image per row."""
    damped = mean([hessian(pair) for pair in train]) + damping * torch.eye(9, dtype=torch.float64)
    solution = torch.linalg.solve(damped, mean([gradient(pair, weight) for pair in test]))
    return np.array([gradient(pair, weight) @ solution / len(train) for pair in train])


def make_engine(
    net: nn.Module,
    train: Sequence[Pair],
    test: Sequence[Pair],
    folder: Path,
    loss: Callable[[Tensor, Tensor], Tensor] = smooth_loss,
    num_workers: int = 0,
    **settings: Any,
) -> InfluenceEngine:
    rank = RankSettings(**settings)
    tiling = None if rank.tile_size == 'auto' else rank.tile_size
    batches = [ImageBatches(Images(pairs), rank.batch_size, tiling, num_workers) for pairs in (train, test)]
    return InfluenceEngine(Derivatives(net), *batches, loss, rank, SEED, folder)


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-6) -> bool:
    return bool(np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected))


@pytest.fixture
def weights() -> tuple[Tensor, Tensor]:
    """What makes the images, and a network near it."""
    truth = torch.randn(9, dtype=torch.float64) / 3
    return truth, truth + 0.05 * torch.randn(9, dtype=torch.float64)


# ---- scores against the closed form ----


@pytest.mark.parametrize('solver', ['gauss_newton', 'cg'])
@pytest.mark.parametrize('damping', [0.0, 1e-4, 0.1])
def test_krylov_solvers_equal_the_closed_form(tmp_path: Path, weights, solver: str, damping: float) -> None:
    truth, trained = weights
    train, test = linear_pairs(8, truth, sizes=[(6, 7), (5, 9)]), linear_pairs(3, truth)
    engine = make_engine(linear_net(trained), train, test, tmp_path, solver=solver, damping=damping)
    scores = engine.scores()
    largest = torch.linalg.eigvalsh(mean([hessian(pair) for pair in train]))[-1].item()
    assert scores.shape == (8, 1) and scores.dtype == np.float64
    assert close(scores[:, 0], closed_form(train, test, trained, damping * largest))
    assert engine.chosen['largest_eigenvalue'] == pytest.approx(largest)
    assert engine.chosen['damping'] == pytest.approx([damping * largest])
    assert engine.chosen['products'] == 9 and engine.chosen['curvature_images'] == 8


@pytest.mark.parametrize('damping', [0.0, 0.1])
@pytest.mark.parametrize('scale', ['auto', 3.0])
def test_stochastic_solver_equals_the_closed_form_for_one_hessian(tmp_path: Path, weights, scale, damping) -> None:
    truth, trained = weights
    lq = linear_pairs(1, truth, sizes=[(16, 16)])[0][0]  # many pixels, so that its Hessian is well conditioned
    train = [(lq, (design(lq) @ truth).reshape(lq.shape) + 0.1 * torch.randn_like(lq)) for _ in range(6)]
    test = linear_pairs(3, truth)
    engine = make_engine(
        linear_net(trained), train, test, tmp_path, solver='stochastic', scale=scale, damping=damping, times=150
    )
    scores = engine.scores()[:, 0]
    used, largest = engine.chosen['scale'], torch.linalg.eigvalsh(hessian(train[0]))[-1].item()
    assert used == scale or 0.8 * largest < used <= largest * (1 + 1e-12)
    assert close(scores, closed_form(train, test, trained, damping * used))


def test_stochastic_solver_is_algorithm_1_over_the_shuffled_images(tmp_path: Path, weights) -> None:
    truth, trained = weights
    train, test = linear_pairs(5, truth), linear_pairs(2, truth)
    engine = make_engine(
        linear_net(trained), train, test, tmp_path, solver='stochastic', scale=6.0, damping=0.01, times=12
    )
    assert sorted(engine.order) == list(range(5)) and engine.order != list(range(5))
    v = s = mean([gradient(pair, trained) for pair in test])
    for step in range(12):
        s = v + s - (hessian(train[engine.order[step % 5]]) @ s + 0.06 * s) / 6
    expected = np.array([gradient(pair, trained) @ s / 6 / 5 for pair in train])
    assert close(engine.scores()[:, 0], expected, 1e-9)
    assert engine.chosen == {'times': 12, 'scale': 6.0, 'damping': [0.06], 'loss_curvature': pytest.approx(1)}


def test_stochastic_solver_takes_one_step_an_image_by_default(tmp_path: Path, weights) -> None:
    truth, trained = weights
    train, test = linear_pairs(5, truth), linear_pairs(2, truth)
    found = [
        make_engine(linear_net(trained), train, test, tmp_path / str(times), solver='stochastic', times=times)
        for times in (None, 5)
    ]
    assert np.array_equal(found[0].scores(), found[1].scores())
    assert found[0].chosen['damping'] == [0.0]


def test_stochastic_solver_that_diverges_is_an_error(tmp_path: Path, weights) -> None:
    truth, trained = weights
    train, test = linear_pairs(5, truth), linear_pairs(2, truth)
    engine = make_engine(linear_net(trained), train, test, tmp_path, solver='stochastic', scale=0.05, times=99)
    with pytest.raises(DivergenceError, match=r'solver stochastic, iteration \d+: .*scale 0\.05'):
        engine.scores()


def test_curvature_of_some_images(tmp_path: Path, weights) -> None:
    truth, trained = weights
    train, test = linear_pairs(8, truth), linear_pairs(3, truth)
    engine = make_engine(linear_net(trained), train, test, tmp_path, curvature_images=3, damping=0.1)
    scores = engine.scores()[:, 0]
    curvature = mean([hessian(train[index]) for index in engine.order[:3]])
    damped = curvature + 0.1 * torch.linalg.eigvalsh(curvature)[-1] * torch.eye(9, dtype=torch.float64)
    solution = torch.linalg.solve(damped, mean([gradient(pair, trained) for pair in test]))
    assert close(scores, np.array([gradient(pair, trained) @ solution / 8 for pair in train]))


def test_gauss_newton_matrix_of_images_beyond_the_quadratic_part_is_not_hidden(tmp_path: Path) -> None:
    """Residuals larger than 1 have no curvature: without damping there is no solution."""
    zero = torch.zeros(9, dtype=torch.float64)
    pairs = [(lq, gt + 50) for lq, gt in linear_pairs(3, zero)]
    with pytest.raises(DivergenceError, match='expected H \\+ damping I to be positive definite, got the eigenvalue 0'):
        make_engine(linear_net(zero), pairs, pairs, tmp_path).scores()


# ---- scores against retraining ----


def fit(train: Sequence[Pair]) -> Tensor:
    """The weights with the least mean loss, by the normal equations."""
    right = mean([design(lq).T @ gt.flatten() / gt.numel() for lq, gt in train])
    return torch.linalg.solve(mean([hessian(pair) for pair in train]), right)


def test_scores_predict_the_loss_without_each_image(tmp_path: Path) -> None:
    """The test images differ from the training images, so that moving the weights matters to first order."""
    truth = torch.randn(9, dtype=torch.float64) / 3
    train = linear_pairs(25, truth, noise=0.2, sizes=[(12, 12), (10, 15)])
    test = linear_pairs(6, truth + 0.05 * torch.randn(9, dtype=torch.float64), noise=0.1)

    def test_loss(weight: Tensor) -> float:
        return mean([(design(lq) @ weight - gt.flatten()).square().mean() / 2 for lq, gt in test]).item()

    trained = fit(train)
    retrained = [fit(train[:index] + train[index + 1 :]) for index in range(25)]
    true = np.array([test_loss(weight) for weight in retrained]) - test_loss(trained)
    predicted = make_engine(linear_net(trained), train, test, tmp_path, damping=0.0).scores()[:, 0]
    assert spearmanr(predicted, true).statistic > 0.99
    assert close(predicted, true, 0.1)


# ---- scores against plain loops ----


def small_net() -> nn.Module:
    """58 parameters; near enough to a minimum for a Hessian that is mostly positive."""
    net = DnCNN(1, 1, num_feat=3, num_layers=2).double()
    for parameter in net.parameters():
        parameter.data *= 0.5
    return net


def mixed_pairs(count: int) -> list[Pair]:
    """Noisy images of several sizes, in no order."""
    pairs = []
    for index in range(count):
        gt = torch.rand(1, *[(8, 10), (8, 10), (12, 5), (10, 8)][index * 7 % 4], dtype=torch.float64)
        pairs.append((gt + 0.1 * torch.randn_like(gt), gt))
    return pairs


def l1_loss(output: Tensor, gt: Tensor) -> Tensor:
    return (output - gt).abs().mean(dim=(1, 2, 3))


def net_gradient(net: nn.Module, pair: Pair, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    total = loss(net(pair[0][None]), pair[1][None]).sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(total, list(net.parameters()))])


@pytest.mark.parametrize('loss', [l1_loss, smooth_loss])
def test_graddot_is_the_product_of_gradients(tmp_path: Path, loss) -> None:
    net, train, test = small_net(), mixed_pairs(7), mixed_pairs(3)
    scores = make_engine(net, train, test, tmp_path, loss, method='graddot').scores()
    g_test = mean([net_gradient(net, pair, loss) for pair in test])
    expected = np.array([[net_gradient(net, pair, loss) @ g_test / 7] for pair in train])
    assert scores.shape == (7, 1) and close(scores, expected, 1e-10)


def test_loss_is_the_loss_of_the_image(tmp_path: Path) -> None:
    net, train = small_net(), mixed_pairs(7)
    scores = make_engine(net, train, mixed_pairs(2), tmp_path, l1_loss, method='loss').scores()
    with torch.no_grad():
        expected = np.array([[l1_loss(net(lq[None]), gt[None]).item()] for lq, gt in train])
    assert scores.shape == (7, 1) and close(scores, expected, 1e-12)


def test_random_is_a_permutation_that_the_seed_fixes(tmp_path: Path) -> None:
    net, train = small_net(), mixed_pairs(20)
    engine = make_engine(net, train, train, tmp_path, method='random')
    scores = engine.scores()
    assert sorted(scores[:, 0]) == list(range(20)) and scores[:, 0].tolist() != list(range(20))
    assert np.array_equal(scores, engine.scores())
    batches = ImageBatches(Images(train), 2)
    other = InfluenceEngine(engine.derivatives, batches, batches, l1_loss, engine.settings, SEED + 1, tmp_path)
    assert not np.array_equal(scores, other.scores())


@pytest.mark.parametrize(
    ('solver', 'tile_size'), [('gauss_newton', None), ('gauss_newton', 5), ('cg', 5), ('stochastic', 5)]
)
def test_influence_is_the_product_with_the_dense_inverse(tmp_path: Path, solver: str, tile_size: int | None) -> None:
    """For a network that is not linear, tiles as images of their own with the weights of the mean."""
    net, train, test = small_net(), mixed_pairs(5), mixed_pairs(3)
    settings = {'damping': [0.3], 'iterations': 58, 'times': 9, 'scale': 4.0, 'batch_size': 2, 'tile_size': tile_size}
    engine = make_engine(net, train, test, tmp_path, l1_loss, solver=solver, **settings)
    scores = engine.scores()[:, 0]

    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    shapes = {name: p.shape for name, p in net.named_parameters()}

    def outputs(flat: Tensor, lq: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes.values()])
        named = {name: part.reshape(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
        return torch.func.functional_call(net, named, (lq[None],))

    def curvature(pair: Pair) -> Tensor:
        lq, gt = pair
        if solver == 'gauss_newton':
            jacobian = torch.func.jacrev(outputs)(flat, lq).reshape(gt.numel(), -1)
            return jacobian.T @ jacobian / gt.numel()
        return torch.func.hessian(lambda flat: smooth_loss(outputs(flat, lq), gt[None]).sum())(flat)

    def mean_over_tiles(value: Callable[[Pair], Tensor], pair: Pair) -> Tensor:
        if tile_size is None:
            return value(pair)
        spans = [{8: (0, 3), 10: (0, 5), 12: (0, 4, 7), 5: (0,)}[side] for side in pair[1].shape[-2:]]
        corners = [(y, x) for y in spans[0] for x in spans[1]]
        return mean([value(tuple(image[:, y : y + 5, x : x + 5] for image in pair)) for y, x in corners])

    g_test = mean([mean_over_tiles(lambda tile: net_gradient(net, tile, l1_loss), pair) for pair in test])
    h = [mean_over_tiles(curvature, pair) for pair in train]
    identity = torch.eye(len(flat), dtype=torch.float64)
    if solver == 'stochastic':
        solution = g_test
        for step in range(9):
            damped = h[engine.order[step % 5]] + 1.2 * identity
            solution = g_test + solution - damped @ solution / 4
        solution = solution / 4
    else:
        largest = torch.linalg.eigvalsh(mean(h))[-1]
        solution = torch.linalg.solve(mean(h) + 0.3 * largest * identity, g_test)
    g = [mean_over_tiles(lambda tile: net_gradient(net, tile, l1_loss), pair) for pair in train]
    assert close(scores, np.array([one @ solution / 5 for one in g]))


# ---- what scores must not depend on ----


@pytest.mark.parametrize(('solver', 'tile_size'), [('gauss_newton', 6), ('cg', None), ('stochastic', 6)])
def test_batches_and_workers_do_not_change_scores(tmp_path: Path, solver: str, tile_size: int | None) -> None:
    net, train, test = small_net(), mixed_pairs(7), mixed_pairs(4)
    settings = {'solver': solver, 'tile_size': tile_size, 'damping': 0.5, 'iterations': 3, 'scale': 8.0}
    one = make_engine(net, train, test, tmp_path / 'one', batch_size=1, **settings).scores()
    for size in (2, 3):
        scores = make_engine(net, train, test, tmp_path / str(size), batch_size=size, **settings).scores()
        assert close(scores, one, 1e-9)
    worker = make_engine(net, train, test, tmp_path / 'worker', batch_size=1, num_workers=1, **settings).scores()
    assert np.array_equal(worker, one)


@pytest.mark.parametrize('solver', ['gauss_newton', 'cg', 'stochastic'])
def test_several_dampings_are_separate_runs(tmp_path: Path, solver: str) -> None:
    net, train, test = small_net(), mixed_pairs(5), mixed_pairs(2)
    settings = {'solver': solver, 'iterations': 4, 'scale': 8.0}
    together = make_engine(net, train, test, tmp_path / 'all', damping=[0.3, 0.9, 0.5], **settings)
    scores = together.scores()
    assert scores.shape == (5, 3)
    for column, damping in enumerate([0.3, 0.9, 0.5]):
        alone = make_engine(net, train, test, tmp_path / str(column), damping=damping, **settings)
        assert close(scores[:, column], alone.scores()[:, 0], 1e-10)
        assert together.chosen['damping'][column] == alone.chosen['damping'][0]


# ---- stopping ----

RUNS = [
    {'method': 'loss'},
    {'method': 'graddot'},
    {'solver': 'gauss_newton', 'iterations': 3, 'damping': [0.1, 0.2]},
    {'solver': 'cg', 'iterations': 2, 'damping': 0.5},
    {'solver': 'stochastic', 'times': 4, 'damping': [0.0, 0.1], 'scale': 4.0},
    {'solver': 'stochastic', 'times': 2},
]


@pytest.mark.parametrize('settings', RUNS, ids=[' '.join(map(str, run.values())) for run in RUNS])
def test_stopped_anywhere_and_continued_is_never_stopped(tmp_path: Path, monkeypatch, settings) -> None:
    net, train, test = small_net().float(), mixed_pairs(4), mixed_pairs(3)
    train, test = ([(lq.float(), gt.float()) for lq, gt in pairs] for pairs in (train, test))
    calls, limit = 0, -1

    def requested() -> bool:
        nonlocal calls
        calls += 1
        return 0 <= limit < calls

    monkeypatch.setattr(interrupt, 'requested', requested)
    whole = make_engine(net, train, test, tmp_path / 'whole', l1_loss, **settings)
    expected = whole.scores()
    total = calls
    assert total >= 3
    for limit in range(total):
        folder, calls = tmp_path / str(limit), 0
        with pytest.raises(interrupt.Interrupted):
            make_engine(net, train, test, folder, l1_loss, **settings).scores()
        monkeypatch.setattr(interrupt, 'requested', lambda: False)
        continued = make_engine(net, train, test, folder, l1_loss, **settings)
        assert np.array_equal(continued.scores(), expected)
        assert continued.chosen == whole.chosen
        monkeypatch.setattr(interrupt, 'requested', requested)


@pytest.mark.parametrize(
    ('settings', 'work'),
    [
        ({'method': 'random'}, 0),
        ({'method': 'loss'}, 5),
        ({'method': 'graddot'}, 3 + 5),
        ({'iterations': 4, 'curvature_images': 2}, 3 + 4 * 2 + 2 + 5),
        ({'iterations': 4, 'batch_size': 2, 'solver': 'cg', 'damping': 1.0}, 3 + 4 * 5 + 5 + 5),
        ({'solver': 'stochastic', 'times': 7, 'damping': [0.1, 0.2]}, 3 + 5 + 2 * 7 + 5 + 5),
        ({'solver': 'stochastic', 'scale': 1e3}, 3 + 5 + 5 + 5),
    ],
)
def test_all_that_is_done_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], work: int
) -> None:
    monkeypatch.setattr(SavedState, 'offer', lambda saved, make: saved.save(make()))
    net, train, test = small_net(), mixed_pairs(5), mixed_pairs(3)
    scaling = 5 if settings.get('solver') == 'stochastic' and 'scale' not in settings else 0
    curvature = settings.get('curvature_images', 5) if 'method' not in settings else 0
    for found in (0, work - scaling - curvature):  # the second time all but the scale and the loss's curvature is found
        engine = make_engine(net, train, test, tmp_path, **settings)
        with Progress('Ranking', engine.work()) as progress:
            engine.scores(progress)
        assert progress.total == work and progress.done == pytest.approx(work)
        assert progress.start == found


def test_products_that_are_not_needed_are_not_counted(tmp_path: Path) -> None:
    weight = torch.randn(9, dtype=torch.float64)
    pairs = linear_pairs(1, weight, sizes=[(1, 2)])
    engine = make_engine(linear_net(0.9 * weight), pairs, pairs, tmp_path, iterations=9)
    with Progress('Ranking', engine.work()) as progress:
        engine.scores(progress)
    assert progress.total == progress.done == 1 + engine.chosen['products'] + 2 < engine.work()


def test_continuing_does_not_repeat_what_is_done(tmp_path: Path, monkeypatch) -> None:
    net, train, test = small_net(), mixed_pairs(5), mixed_pairs(3)
    settings = {'iterations': 3, 'batch_size': 1}
    first = make_engine(net, train, test, tmp_path, **settings)
    first.progress = Progress('Ranking', 5)
    seen: list[int] = []

    def score(of: Derivatives, batch: Batch) -> Tensor:
        seen.extend(batch.images.tolist())
        return of.losses(batch, l1_loss)[:, None]

    monkeypatch.setattr(interrupt, 'requested', lambda: len(seen) == 2)
    with pytest.raises(interrupt.Interrupted):
        first._image_scores(score)
    assert seen == [0, 1]
    monkeypatch.setattr(interrupt, 'requested', lambda: False)
    second = make_engine(net, train, test, tmp_path, **settings)
    second.progress = Progress('Ranking', 5)
    second._image_scores(score)
    assert seen == [0, 1, 2, 3, 4]
    assert (second.progress.start, second.progress.done) == (2, 5)


def test_finished_notes_and_states_are_used_again(tmp_path: Path, monkeypatch) -> None:
    net, train, test = small_net(), mixed_pairs(5), mixed_pairs(3)
    expected = make_engine(net, train, test, tmp_path, iterations=3).scores()

    def refuse(*_: Any) -> Tensor:
        raise AssertionError('computed again')

    monkeypatch.setattr(Derivatives, 'directional', refuse)
    monkeypatch.setattr(Derivatives, 'gradient', refuse)
    assert np.array_equal(make_engine(net, train, test, tmp_path, iterations=3).scores(), expected)


def test_notes_of_a_killed_run_are_on_disk(tmp_path: Path) -> None:
    killed = ScoreNotes(tmp_path, 0)
    killed.write(0, [[1.0], [2.0]])
    other = ScoreNotes(tmp_path, 1)
    assert other.known == {0: [[1.0], [2.0]]}
    other.close()
    killed.close()


def test_notes_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    notes = ScoreNotes(tmp_path, 0)
    notes.write(0, [[0.1, 1e-300], [2.0, 3.0]])
    notes.write(2, [[4.0, 5.0], [6.0, 7.0]])
    notes.close()
    path = tmp_path / 'scores_0.jsonl'
    content = path.read_text()
    for length in range(content.index('\n', 1), len(content.rstrip())):
        path.write_text(content[:length])
        notes = ScoreNotes(tmp_path, 0)
        assert notes.known == {0: [[0.1, 1e-300], [2.0, 3.0]]}
        notes.write(4, [[8.0, 9.0]])
        notes.close()
        notes = ScoreNotes(tmp_path, 1)
        assert notes.known == {0: [[0.1, 1e-300], [2.0, 3.0]], 4: [[8.0, 9.0]]}
        notes.close()


@pytest.mark.parametrize('factor', [0.0, float('nan')])
def test_test_set_without_gradient_is_an_error(tmp_path: Path, weights, factor: float) -> None:
    pairs = linear_pairs(3, weights[0])
    test = [(lq, factor * gt) for lq, gt in pairs]
    with pytest.raises(
        DataError, match=r'datasets\.test: expected a finite gradient of the test loss that is not zero'
    ):
        make_engine(linear_net(torch.zeros(9, dtype=torch.float64)), pairs, test, tmp_path).scores()


def test_scale_auto_looks_at_a_few_images(tmp_path: Path, weights, monkeypatch) -> None:
    truth, trained = weights
    train, test = linear_pairs(6, truth), linear_pairs(2, truth)
    monkeypatch.setattr(influence, 'SCALE_IMAGES', 3)
    engine = make_engine(linear_net(trained), train, test, tmp_path, solver='stochastic')
    engine.scores()
    largest = max(torch.linalg.eigvalsh(hessian(train[index]))[-1].item() for index in engine.order[:3])
    assert 0.7 * largest < engine.chosen['scale'] <= largest * (1 + 1e-12)


# ---- batches ----


def numbered(height: int, width: int, scale: int = 1) -> Pair:
    """lq whose pixels are all different, and gt that repeats them."""
    lq = torch.arange(height * width, dtype=torch.float32).reshape(1, height, width)
    return lq, lq.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


@pytest.mark.parametrize('scale', [1, 2])
def test_tiles_cover_every_pixel_evenly(scale: int) -> None:
    for size in [(8, 8), (9, 8), (17, 8), (23, 11), (5, 30), (3, 4), (100, 7)]:
        pair = numbered(*size, scale)
        batches = next(ImageBatches(Images([pair]), 3, 8 * scale).load([[0]]))
        rows = [(lq, gt) for batch in batches for lq, gt in zip(batch.lq, batch.gt, strict=True)]
        sides = [min(8, side) for side in size]
        assert len(rows) == -(-size[0] // 8) * -(-size[1] // 8)  # as few as there can be
        assert torch.cat([lq.flatten() for lq, _ in rows]).unique().tolist() == list(range(size[0] * size[1]))
        for lq, gt in rows:
            top, left = divmod(int(lq[0, 0, 0]), size[1])
            bottom, right = top + sides[0], left + sides[1]
            assert torch.equal(lq, pair[0][:, top:bottom, left:right])
            assert torch.equal(gt, pair[1][:, top * scale : bottom * scale, left * scale : right * scale])
        assert all(len(batch.lq) <= 3 for batch in batches)
        assert sum(batch.weights.sum().item() for batch in batches) == pytest.approx(1)


def test_whole_images_have_weight_1_and_are_grouped_by_size() -> None:
    pairs = [numbered(4, 5), numbered(6, 5), numbered(4, 5), numbered(4, 5, 2), numbered(4, 5)]
    batches = next(ImageBatches(Images(pairs), 5).load([[0, 1, 2, 3, 4]]))
    assert [batch.images.tolist() for batch in batches] == [[0, 2, 4], [1], [3]]
    assert [batch.weights.tolist() for batch in batches] == [[1, 1, 1], [1], [1]]
    for batch in batches:
        for lq, gt, image in zip(batch.lq, batch.gt, batch.images, strict=True):
            assert torch.equal(lq, pairs[image][0]) and torch.equal(gt, pairs[image][1])


def test_weights_of_each_image_sum_to_1() -> None:
    pairs = [numbered(20, 9), numbered(8, 8), numbered(9, 20), numbered(8, 17)]
    total = torch.zeros(4)
    for batch in next(ImageBatches(Images(pairs), 4, 8).load([[0, 1, 2, 3]])):
        total.index_add_(0, batch.images, batch.weights)
    torch.testing.assert_close(total, torch.ones(4))


def test_units_hold_all_images_once() -> None:
    batches = ImageBatches(Images([numbered(2, 2)] * 7), 3)
    assert batches.images == 7
    assert batches.units() == [[0, 1, 2], [3, 4, 5], [6]]
    assert batches.units([6, 2, 4, 1]) == [[6, 2, 4], [1]]
    assert batches.units([]) == []


@pytest.mark.parametrize('workers', [0, 1])
def test_units_do_not_depend_on_workers_or_order(workers: int) -> None:
    images = Images(mixed_pairs(6))
    whole = list(ImageBatches(images, 2, 6).load([[0, 1], [2, 3], [4, 5]]))
    state = torch.get_rng_state()
    again = list(ImageBatches(images, 2, 6, workers).load([[4, 5], [0, 1]]))
    assert torch.equal(state, torch.get_rng_state())  # the job's own random numbers are left alone
    for unit, expected in zip(again, [whole[2], whole[0]], strict=True):
        assert len(unit) == len(expected)
        for batch, same in zip(unit, expected, strict=True):
            for name in ('lq', 'gt', 'images', 'weights'):
                assert torch.equal(getattr(batch, name), getattr(same, name))


def test_one_row_of_a_batch() -> None:
    batch = next(ImageBatches(Images([numbered(9, 4), numbered(9, 4)]), 4, 5).load([[0, 1]]))[0]
    row = batch.row(2)
    assert torch.equal(row.lq, batch.lq[2:3]) and torch.equal(row.gt, batch.gt[2:3])
    assert row.images.tolist() == [1] and row.weights.tolist() == [1] and batch.weights.tolist() == [0.5] * 4


@pytest.mark.parametrize(
    ('lq', 'gt', 'text'),
    [
        ((4, 4), None, 'image 1: expected ground truth to rank with, got none'),
        (
            (4, 4),
            (6, 6),
            r'image 1: expected gt a whole number of times as large as lq, got \(1, 6, 6\) and \(1, 4, 4\)',
        ),
        ((4, 4), (8, 4), r'image 1: expected gt a whole number of times as large as lq'),
        ((4, 4), (2, 2), r'image 1: expected gt a whole number of times as large as lq'),
    ],
)
def test_pairs_that_do_not_fit_are_errors(lq: tuple[int, int], gt: tuple[int, int] | None, text: str) -> None:
    pair = torch.zeros(1, *lq), None if gt is None else torch.zeros(1, *gt)
    with pytest.raises(DataError, match=text):
        list(ImageBatches(Images([numbered(4, 4), pair]), 2).load([[0, 1]]))


def test_samples_without_the_key_gt_are_errors() -> None:
    class Single(Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {'lq': torch.zeros(1, 4, 4), 'lq_path': 'single.png'}

    with pytest.raises(DataError, match='single.png: expected ground truth to rank with, got none'):
        list(ImageBatches(Single(), 1).load([[0]]))
