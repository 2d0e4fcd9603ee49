"""What a model of BasicSR carries through a run beside its networks: notes of the loop, which its states keep."""

from collections.abc import Callable
from typing import Any, Protocol, cast

Results = dict[str, dict[str, float]]  # image -> metric -> value


class CarryingModel(Protocol):
    """A model of ours, of BasicSR or of a user, with the notes of a run.

    Attributes:
        opt: the whole option file, completed.
        in_warmup: whether the iteration belongs to a pixel-shuffled warm-up.
        warmup_state: what such a warm-up has seen of its loss; None without one that decides by it.
        stage_state: what stages have seen of theirs; None without ones that end by it.
        validation_due: whether the validation of the newest state is still to be done.
        best_score: the score of the best checkpoint; see `best.best_score`.
        made_with: the options that decide how a state goes on; see `made_with`.
        validation_results: dataset -> the values of its images in the newest validation.
    """

    opt: dict[str, Any]
    in_warmup: bool
    warmup_state: dict[str, Any] | None
    stage_state: dict[str, Any] | None
    validation_due: bool
    best_score: dict[str, Any] | None
    made_with: dict[str, Any] | None
    validation_results: dict[str, Results]


AT_FIRST: dict[str, Callable[[], Any]] = {
    'in_warmup': bool,
    'warmup_state': lambda: None,
    'stage_state': lambda: None,
    'validation_due': bool,
    'best_score': lambda: None,
    'made_with': lambda: None,
    'validation_results': dict,
}


def carrying(model: Any) -> CarryingModel:
    """The model itself, with the notes that it lacks as they are at first."""
    for name, make in AT_FIRST.items():
        if not hasattr(model, name):
            setattr(model, name, make())
    return cast(CarryingModel, model)
