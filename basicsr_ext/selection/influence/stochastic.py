"""The influence paper's own way to an inverse product: one training image a step."""

from collections.abc import Callable

from torch import Tensor

from basicsr_ext.errors import DivergenceError
from basicsr_ext.runtime.saved_state import SavedState, alike, within

Product = Callable[[Tensor, int], Tensor]


def stochastic_solve(
    product: Product, vector: Tensor, times: int, scale: float, damping: float, saved: SavedState
) -> Tensor:
    """Algorithm 1 of the influence paper (after Agarwal et al., 2016, LiSSA).

    s <- v + s - (H_i s + damping s) / scale, `times` steps from s = v, each with the Hessian of one training image. It
    approaches scale (H + damping I)^-1 v; the result is divided by the scale.

    Reading chosen: the text prints "+ hv / scale", which diverges; the pseudo-code's minus is meant. The paper has no
    damping, which is 0 here by default.

    Args:
        product: (x, number of the step from 0) -> H_i x with the Hessian of that step's image.
        vector: v, (P,).
        times: number of steps.
        scale: above half the largest eigenvalue of every H_i + damping I.
        damping: absolute.
        saved: where the state is kept.

    Raises:
        DivergenceError: |s| grows without bound.
    """
    state, done, s = saved.load(), 0, vector.clone()
    if state is not None:
        with saved.fitting():
            done, s = within(state['step'], times), alike(state['s'], vector)
    norm = vector.norm().item()
    for step in range(done, times):
        s = vector + s - (product(s, step) + damping * s) / scale
        length = s.norm().item()
        # While every step contracts or keeps the length, |s| <= (step + 2) |v|; ten times that is no rounding.
        if not length <= 10 * (step + 2) * norm:
            raise DivergenceError(
                f'solver stochastic, iteration {step + 1}',
                f'|s| of at most {10 * (step + 2) * norm:.3g}',
                f'{length:.3g}: it grows without bound, because scale {scale:.3g} is below half the largest '
                "eigenvalue of some image's Hessian",
                'Raise rank.scale or set it to auto.',
            )
        saved.offer(lambda done=step + 1, value=s: {'step': done, 's': value})  # type: ignore[misc]
    return s / scale


def largest_eigenvalue(product: Callable[[Tensor], Tensor], start: Tensor, steps: int = 5) -> float:
    """Power iteration: the magnitude of the largest eigenvalue, from below."""
    vector, length = start / start.norm(), 0.0
    for _ in range(steps):
        image = product(vector)
        length = image.norm().item()
        if length == 0:
            break
        vector = image / length
    return length
