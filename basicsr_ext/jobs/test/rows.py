"""The rows of a sweep: what changes from one to the next."""

from dataclasses import dataclass, replace
from typing import Any

from basicsr_ext.errors import under
from basicsr_ext.inference.calibration import with_pointer
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings
from basicsr_ext.models.flexir_options import FlexIRValOptions, SweepSettings

PAPER_THRESHOLDS = (1.0, 1.05, 1.1, 1.15)  # Table 5 of "FlexIR", times the score at the exit before
NEITHER: dict[str, Any] = {'threshold': None, 'budget': None}  # keys of a rule of which a sweep sets one


@dataclass(frozen=True)
class Row:
    """One way to restore all images.

    Attributes:
        name: in the table, and of the folder of its images.
        passes: settings, of whose results a row gives the means.
        pointer: the last exit, in a sweep of pointers, whose rows are networks of different size.
        weights: file to load first; None keeps the weights of the network.
    """

    name: str
    passes: tuple[InferenceSettings, ...]
    pointer: int | None = None
    weights: str | None = None


def kind_of(options: FlexIRValOptions) -> str:
    """What `val.sweep` varies: pointers, thresholds, budgets or weights."""
    swept = options.sweep
    return swept if isinstance(swept, str) else next(name for name, value in vars(swept).items() if value is not None)


def rows_of(options: FlexIRValOptions, exits: int) -> list[Row]:
    """The rows of `val.sweep`.

    Args:
        options: the block `val`, with a sweep.
        exits: that the network has.

    Raises:
        OptionError: the rule of `val.inference.adaptive` does not take a value of the sweep.
    """
    swept = options.sweep
    whole = options.settings or InferenceSettings(regions=1)  # as a test without val.inference
    parts = options.settings or InferenceSettings()
    if swept == 'pointers':
        rows = [Row(f'pointer {row.pointer}', (row,), row.pointer) for row in _regular(whole, exits)]
        return rows if whole.adaptive is None else [*rows, Row('adaptive', (whole,), whole.pointer or exits)]
    if swept == 'thresholds':
        return [_by_rule(parts, 'threshold', h, relative='previous') for h in PAPER_THRESHOLDS]
    if not isinstance(swept, SweepSettings):
        raise TypeError(f'{swept} is no sweep')
    rows = [_by_rule(parts, 'threshold', h) for h in swept.thresholds or ()]
    rows += [_by_rule(parts, 'budget', budget) for budget in swept.budgets or ()]
    is_told = whole.pointer is not None or whole.adaptive is not None
    passes = (whole,) if is_told else _regular(whole, exits)
    return rows + [Row(name, passes, weights=str(file)) for name, file in (swept.weights or {}).items()]


def _regular(settings: InferenceSettings, exits: int) -> tuple[InferenceSettings, ...]:
    """The same regions, all leaving at exit 1, 2, ..."""
    return tuple(with_pointer(settings, pointer) for pointer in range(1, exits + 1))


def _by_rule(settings: InferenceSettings, key: str, value: float, **more: Any) -> Row:
    """A row whose rule of leaving has this value, and these further ones; what else it says stays."""
    known = settings.adaptive or AdaptiveSettings(threshold=0)
    with under('val.inference.adaptive'):
        rule = replace(known, **{**NEITHER, key: value, **more})
    return Row(f'{key} {value}', (replace(settings, adaptive=rule),))
