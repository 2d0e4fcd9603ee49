"""(H + damping I)^-1 v for every damping at once, from a few products H x."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from basicsr_ext.errors import DivergenceError
from basicsr_ext.runtime.saved_state import SavedState, alike, within

Product = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Krylov:
    """The result of Lanczos' process.

    Attributes:
        basis: (K, P), orthonormal; the first row is v / |v|.
        matrix: (K, K), H in this basis, float64.
        norm: |v|.
    """

    basis: Tensor
    matrix: Tensor
    norm: float

    @property
    def ritz_values(self) -> list[float]:
        """Estimates of eigenvalues of H, ascending; the last one approaches the largest from below."""
        values: list[float] = torch.linalg.eigvalsh(self.matrix).tolist()
        return values

    def solve(self, damping: float) -> Tensor:
        """The Galerkin solution of (H + damping I) s = v: the K-th iterate of conjugate gradients (Golub and Van Loan,
        Matrix Computations, 4th ed., 11.3).

        Raises:
            DivergenceError: H + damping I has a negative eigenvalue, so that s would mean nothing.
        """
        self._refuse_indefinite(damping)
        start = torch.zeros(len(self.matrix), dtype=torch.float64)
        start[0] = self.norm
        damped = self.matrix + damping * torch.eye(len(self.matrix), dtype=torch.float64)
        return self.basis.T @ torch.linalg.solve(damped, start).to(self.basis)

    def whitening(self, damping: float) -> tuple[Tensor, Tensor]:
        """W with W^T W = (H + damping I)^-1 in the basis, row after row along the Ritz vectors, and what H becomes.

        Returns:
            (K, K), float64: of coordinates x in the basis, (W x) . (W y) = x^T (H + damping I)^-1 y. (K,), float64, in
            [0, 1]: the diagonal of H between such vectors, theta / (theta + damping) with the Ritz values theta.

        Raises:
            DivergenceError: as `solve`.
        """
        self._refuse_indefinite(damping)
        values, vectors = torch.linalg.eigh(self.matrix)
        return (vectors / (values + damping).sqrt()).T, values / (values + damping)

    def _refuse_indefinite(self, damping: float) -> None:
        smallest = self.ritz_values[0] + damping
        if smallest <= 0:
            raise DivergenceError(
                f'damping {damping:.3g}',
                'H + damping I to be positive definite',
                f'the eigenvalue {smallest:.3g}',
                'Raise rank.damping. With cg, take solver: gauss_newton, whose matrix has no negative eigenvalues; '
                'with bfloat16, take float32, which rounds less.',
            )


def lanczos(product: Product, vector: Tensor, steps: int, saved: SavedState) -> Krylov:
    """Lanczos' process with full reorthogonalisation (Golub and Van Loan, 10.3).

    Args:
        product: (x, number of the product from 0) -> H x, for a symmetric H.
        vector: v, (P,), not zero.
        steps: number of products K; fewer where the space is exhausted before.
        saved: where the state is kept.

    Raises:
        DivergenceError: a product is not finite.
    """
    norm = vector.norm().item()
    basis: list[Tensor] = [vector / norm]
    diagonal: list[float] = []
    side: list[float] = []
    state = saved.load()
    if state is not None:
        with saved.fitting():
            basis = [alike(row, vector) for row in state['basis']]
            diagonal, side = ([float(value) for value in state[key]] for key in ('diagonal', 'side'))
            if not len(basis) - 1 == len(side) == within(len(diagonal), min(steps, len(vector))):
                raise ValueError(f'{len(basis)} vectors, {len(diagonal)} and {len(side)} numbers')
    for number in range(len(diagonal), min(steps, len(vector))):
        image = product(basis[-1], number)
        if not torch.isfinite(image).all():
            raise DivergenceError(
                f'curvature product {number + 1}',
                'finite values',
                'others',
                'Set rank.precision: float32, or look for damaged images or weights.',
            )
        diagonal.append(_dot(image, basis[-1]))
        for _ in range(2):  # once is not orthogonal to rounding, twice is (Parlett, The Symmetric Eigenvalue Problem)
            for row in basis:
                image = image - _dot(image, row) * row
        length = image.norm().item()
        if length <= 100 * torch.finfo(vector.dtype).eps * max(map(abs, diagonal)):
            break
        side.append(length)
        basis.append(image / length)
        saved.offer(lambda: {'basis': basis, 'diagonal': diagonal, 'side': side})
    size = len(diagonal)
    upper = torch.diag(torch.tensor(side[: size - 1], dtype=torch.float64), 1)
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + upper + upper.T
    return Krylov(torch.stack(basis[:size]), matrix, norm)


def _dot(a: Tensor, b: Tensor) -> float:
    return (a.double() @ b.double()).item()
