"""Solvers of (H + damping I) s = v against dense solutions, textbook conjugate gradients and Algorithm 1 as a loop."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from basicsr_ext.errors import DivergenceError
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.saved_state import SavedState
from basicsr_ext.selection.influence.krylov import Krylov, lanczos
from basicsr_ext.selection.influence.stochastic import largest_eigenvalue, stochastic_solve

DAMPINGS = [1e-3, 0.1, 1.0, 30.0]
Solve = Callable[[Callable[[Tensor, int], Tensor], SavedState], Tensor]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def symmetric(eigenvalues: list[float], dtype: torch.dtype = torch.float64) -> Tensor:
    """A matrix with these eigenvalues and random eigenvectors."""
    vectors, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), dtype=torch.float64))
    return (vectors @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ vectors.T).to(dtype)


def dense_solution(matrix: Tensor, damping: float, vector: Tensor) -> Tensor:
    return torch.linalg.solve(matrix + damping * torch.eye(len(matrix), dtype=matrix.dtype), vector)


def conjugate_gradients(matrix: Tensor, vector: Tensor, steps: int) -> Tensor:
    """Hestenes and Stiefel, 1952, from 0."""
    solution, residual = torch.zeros_like(vector), vector.clone()
    direction = residual.clone()
    for _ in range(steps):
        length = (residual @ residual) / (direction @ matrix @ direction)
        solution = solution + length * direction
        new = residual - length * matrix @ direction
        direction = new + (new @ new) / (residual @ residual) * direction
        residual = new
    return solution


def run_lanczos(matrix: Tensor, vector: Tensor, steps: int, folder: Path) -> tuple[Krylov, list[int]]:
    """What it leaves, and the numbers of the products it asked for."""
    asked: list[int] = []

    def product(x: Tensor, number: int) -> Tensor:
        asked.append(number)
        return matrix @ x

    return lanczos(product, vector, steps, SavedState(folder / 'state.pth')), asked


def relative_error(value: Tensor, expected: Tensor) -> float:
    return ((value - expected).norm() / expected.norm()).item()


# ---- Lanczos ----


@pytest.mark.parametrize('damping', DAMPINGS)
def test_lanczos_solves_exactly_after_as_many_steps_as_eigenvalues(tmp_path: Path, damping: float) -> None:
    matrix, vector = symmetric([0.0] * 20 + [0.5, 2.0, 2.0, 7.0] * 5), torch.randn(40, dtype=torch.float64)
    krylov, asked = run_lanczos(matrix, vector, 4, tmp_path)
    assert asked == [0, 1, 2, 3]
    assert relative_error(krylov.solve(damping), dense_solution(matrix, damping, vector)) < 1e-6


@pytest.mark.parametrize(('damping', 'steps'), [(1.0, 1), (30.0, 2), (0.1, 5), (1e-3, 9)])
def test_fewer_steps_are_conjugate_gradients(tmp_path: Path, damping: float, steps: int) -> None:
    matrix, vector = symmetric(torch.logspace(-2, 1, 40).tolist()), torch.randn(40, dtype=torch.float64)
    krylov, _ = run_lanczos(matrix, vector, steps, tmp_path)
    damped = matrix + damping * torch.eye(40, dtype=torch.float64)
    assert relative_error(krylov.solve(damping), conjugate_gradients(damped, vector, steps)) < 1e-9


def test_lanczos_in_float32_keeps_its_basis_orthonormal(tmp_path: Path) -> None:
    """Without reorthogonalisation the basis is lost when the largest eigenvalue has converged."""
    matrix = symmetric([1000.0, *torch.linspace(0.1, 1, 59).tolist()], torch.float32)
    vector = torch.randn(60)
    krylov, asked = run_lanczos(matrix, vector, 40, tmp_path)
    assert len(asked) == 40 and krylov.basis.dtype == torch.float32
    torch.testing.assert_close(krylov.basis @ krylov.basis.T, torch.eye(40), rtol=0, atol=1e-5)
    solution = krylov.solve(1.0)
    assert solution.dtype == torch.float32
    assert relative_error(solution, dense_solution(matrix, 1.0, vector)) < 1e-3


def test_ritz_values_lie_within_the_spectrum(tmp_path: Path) -> None:
    matrix, vector = symmetric([-1.0, *torch.linspace(0, 9, 39).tolist()]), torch.randn(40, dtype=torch.float64)
    former = 0.0
    for steps in (1, 3, 10, 40):
        folder = tmp_path / str(steps)
        values = run_lanczos(matrix, vector, steps, folder)[0].ritz_values
        assert values == sorted(values) and values[0] > -1 - 1e-9 and former <= values[-1] < 9 + 1e-9
        former = values[-1]
    assert values == pytest.approx(torch.linalg.eigvalsh(matrix).tolist(), abs=1e-9)


def test_lanczos_stops_when_the_space_is_exhausted(tmp_path: Path) -> None:
    matrix, vector = symmetric([1.0, 3.0] * 10), torch.randn(20, dtype=torch.float64)
    krylov, asked = run_lanczos(matrix, vector, 15, tmp_path)
    assert asked == [0, 1] and krylov.matrix.shape == (2, 2) and krylov.basis.shape == (2, 20)
    assert relative_error(krylov.solve(0.2), dense_solution(matrix, 0.2, vector)) < 1e-12


def test_lanczos_stops_at_the_size_of_the_matrix(tmp_path: Path) -> None:
    matrix, vector = symmetric([1.0, 2.0, 5.0]), torch.randn(3, dtype=torch.float64)
    krylov, asked = run_lanczos(matrix, vector, 50, tmp_path)
    assert asked == [0, 1, 2]
    assert relative_error(krylov.solve(0.0), dense_solution(matrix, 0.0, vector)) < 1e-12


def test_an_eigenvector_takes_one_product(tmp_path: Path) -> None:
    vector = 4 * torch.eye(5, dtype=torch.float64)[2]
    krylov, asked = run_lanczos(torch.diag(torch.tensor([1.0, 2, 3, 4, 5], dtype=torch.float64)), vector, 5, tmp_path)
    assert asked == [0] and krylov.ritz_values == [3.0]
    assert krylov.solve(1.0).tolist() == [0, 0, 1, 0, 0]


def test_negative_eigenvalue_is_an_error(tmp_path: Path) -> None:
    matrix, vector = symmetric([-0.25, 1.0, 2.0]), torch.randn(3, dtype=torch.float64)
    krylov, _ = run_lanczos(matrix, vector, 3, tmp_path)
    expected = (
        r'damping 0\.05: expected H \+ damping I to be positive definite, got the eigenvalue -0\.2\. '
        r'Raise rank\.damping\. With cg, take solver: gauss_newton'
    )
    with pytest.raises(DivergenceError, match=expected):
        krylov.solve(0.05)
    assert relative_error(krylov.solve(0.5), dense_solution(matrix, 0.5, vector)) < 1e-9


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('steps', [1, 3])
def test_product_that_is_not_finite_is_an_error(tmp_path: Path, bad: float, steps: int) -> None:
    """Otherwise every score would be NaN."""

    def product(x: Tensor, number: int) -> Tensor:
        return torch.where(torch.arange(4) == number, bad, x)

    with pytest.raises(DivergenceError, match='finite'):
        lanczos(product, torch.ones(4), steps, SavedState(tmp_path / 'state.pth')).solve(1.0)


# ---- Algorithm 1 ----


@pytest.mark.parametrize('damping', [0.0, 0.3])
def test_stochastic_is_algorithm_1(tmp_path: Path, damping: float) -> None:
    matrices = [symmetric((5 * torch.rand(6)).tolist()) for _ in range(30)]
    vector, scale, asked = torch.randn(6, dtype=torch.float64), 4.0, []

    def product(x: Tensor, step: int) -> Tensor:
        asked.append(step)
        return matrices[step] @ x

    found = stochastic_solve(product, vector, 30, scale, damping, SavedState(tmp_path / 'state.pth'))
    s = vector
    for matrix in matrices:
        s = vector + s - (matrix @ s + damping * s) / scale
    assert torch.equal(found, s / scale)
    assert asked == list(range(30))


@pytest.mark.parametrize(('damping', 'scale'), [(0.0, 25.0), (0.1, 4.0), (2.0, 6.0)])
def test_stochastic_converges_where_all_images_share_a_hessian(tmp_path: Path, damping: float, scale: float) -> None:
    matrix, vector = symmetric([1.0, 2.0, 3.0, 5.0]), torch.randn(4, dtype=torch.float64)
    solution = stochastic_solve(lambda x, _: matrix @ x, vector, 600, scale, damping, SavedState(tmp_path / 's.pth'))
    assert relative_error(solution, dense_solution(matrix, damping, vector)) < 1e-6


def test_divergence_names_iteration_norm_and_scale(tmp_path: Path) -> None:
    """With H = 40 and scale 10 a step multiplies s by -3 and adds v = 1."""
    s, lengths = 1.0, []
    while not lengths or lengths[-1] <= 10 * (len(lengths) + 1):
        s = 1 - 3 * s
        lengths.append(abs(s))
    expected = (
        rf'stochastic, iteration {len(lengths)}: expected \|s\| of at most .*, got {lengths[-1]:.3g}: .*scale 10 is'
    )
    with pytest.raises(DivergenceError, match=expected):
        stochastic_solve(lambda x, _: 40 * x, torch.ones(1), 100, 10.0, 0.0, SavedState(tmp_path / 'state.pth'))


def test_divergence_to_nan_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match='iteration 1: .*got nan'):
        stochastic_solve(lambda x, _: x * torch.nan, torch.ones(2), 9, 10.0, 0.0, SavedState(tmp_path / 'state.pth'))


def test_flat_directions_are_no_divergence(tmp_path: Path) -> None:
    """Where the Hessian is 0, s grows by v a step: the slowest case that Algorithm 1 allows."""
    found = stochastic_solve(lambda x, _: 0 * x, torch.ones(2), 1000, 10.0, 0.0, SavedState(tmp_path / 'state.pth'))
    assert found.tolist() == pytest.approx([100.1, 100.1])


def test_largest_eigenvalue_is_approached_from_below() -> None:
    matrix, start = symmetric([0.1, 0.5, 2.0, 8.0]), torch.randn(4, dtype=torch.float64)
    former = 0.0
    for steps in (1, 2, 5, 30):
        value = largest_eigenvalue(lambda x: matrix @ x, start, steps)
        assert former < value <= 8 + 1e-12
        former = value
    assert value == pytest.approx(8)
    assert largest_eigenvalue(lambda x: -matrix @ x, start, 30) == pytest.approx(8)
    assert largest_eigenvalue(lambda x: 0 * x, start) == 0


# ---- stopping ----

STEPS = 8
SPECTRUM = torch.linspace(0.1, 1, 12).tolist()


def solve_by_lanczos(product: Callable[[Tensor, int], Tensor], saved: SavedState) -> Tensor:
    return lanczos(product, torch.linspace(-1, 1, 12), STEPS, saved).solve(0.1)


def solve_stochastically(product: Callable[[Tensor, int], Tensor], saved: SavedState) -> Tensor:
    return stochastic_solve(product, torch.linspace(-1, 1, 12), STEPS, 1.0, 0.1, saved)


SOLVERS = pytest.mark.parametrize('solve', [solve_by_lanczos, solve_stochastically])


class Killed(Exception):
    """The process dies without a chance to save anything."""


@SOLVERS
@pytest.mark.parametrize('last', [0, 3, STEPS - 1])
def test_stopped_and_continued_is_never_stopped(tmp_path: Path, monkeypatch, solve: Solve, last: int) -> None:
    matrix, asked = symmetric(SPECTRUM, torch.float32), []

    def product(x: Tensor, number: int) -> Tensor:
        asked.append(number)
        return matrix @ x

    never_stopped = solve(product, SavedState(tmp_path / 'whole.pth'))
    assert asked == list(range(STEPS))
    asked.clear()
    monkeypatch.setattr(interrupt, 'requested', lambda: asked[-1] == last)
    with pytest.raises(interrupt.Interrupted):
        solve(product, SavedState(tmp_path / 'state.pth'))
    assert asked == list(range(last + 1))
    monkeypatch.setattr(interrupt, 'requested', lambda: False)
    assert torch.equal(solve(product, SavedState(tmp_path / 'state.pth')), never_stopped)
    assert asked == list(range(STEPS))


@SOLVERS
@pytest.mark.parametrize('last', [0, 3, STEPS - 1])
def test_killed_within_a_product_and_continued_is_never_stopped(tmp_path: Path, solve: Solve, last: int) -> None:
    matrix, alive = symmetric(SPECTRUM, torch.float32), False

    def product(x: Tensor, number: int) -> Tensor:
        if number == last and not alive:
            raise Killed
        return matrix @ x

    with pytest.raises(Killed):
        solve(product, SavedState(tmp_path / 'state.pth', interval=0))
    alive = True
    continued = solve(product, SavedState(tmp_path / 'state.pth', interval=0))
    assert torch.equal(continued, solve(product, SavedState(tmp_path / 'whole.pth')))


def test_state_is_written_now_and_then(tmp_path: Path) -> None:
    seldom, always = SavedState(tmp_path / 'seldom.pth', interval=1000), SavedState(tmp_path / 'always.pth', interval=0)
    for saved in (seldom, always):
        assert saved.load() is None
        saved.offer(lambda: {'step': 1})
    assert seldom.load() is None and always.load() == {'step': 1}
    seldom.save({'step': 2})
    assert seldom.load() == {'step': 2}
