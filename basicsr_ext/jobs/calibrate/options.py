"""The option file of the job `calibrate`."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.inference.settings import InferenceSettings, check_budget, read_settings
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.options.load import Options

FOUND = ('pointer', 'calibration')  # what calibration is for
FITTED = ('threshold', 'budget', 'forecast')  # below `adaptive`


@dataclass(frozen=True)
class CalibrateSettings:
    """The block `calibrate`.

    Attributes:
        budget: what restoring may cost, in parts of the multiply-accumulates of the full network on whole images, at
            most 1.
        budget_ms: what it may take instead, in milliseconds per megapixel of the input on this machine.
        inference: regions as in `val.inference`; below `adaptive` a score and a side to `leave`, where not the best of
            all is wanted; the tabulated thresholds are of that score.
        thresholds: how many are tabulated.
        images: so many are used, evenly spread over the datasets; None for all.
    """

    budget: Annotated[float, Gt(0)] | None = None
    budget_ms: Annotated[float, Gt(0)] | None = None
    inference: dict[str, Any] = field(default_factory=dict)
    thresholds: Annotated[int, Ge(2)] = 16
    images: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget_ms is not None:
            raise OptionError('budget_ms', 'no budget beside it', self.budget, 'Remove one of the two.')
        if self.budget is not None:
            check_budget(self.budget, 'budget')
        self.observed()

    def told(self) -> dict[str, str | None]:
        """The score and the side that are asked for."""
        adaptive = self.inference.get('adaptive') or {}
        return {key: adaptive.get(key) for key in ('score', 'leave')}

    def observed(self) -> InferenceSettings:
        """Regions and score, for all exits; the threshold has no meaning."""
        for key in FOUND:
            if key in self.inference:
                raise OptionError(f'inference.{key}', 'none, as calibration is to find it', 'one', 'Remove it.')
        adaptive = self.inference.get('adaptive') or {}
        if not isinstance(adaptive, dict) or any(key in adaptive for key in FITTED):
            raise OptionError(
                'inference.adaptive', f'a block without {" and ".join(FITTED)}', shown(adaptive), 'Correct it.'
            )
        return read_settings({**self.inference, 'adaptive': {**adaptive, 'threshold': 0}}, 'inference')


def _check(opt: Options, settings: CalibrateSettings) -> None:
    if settings.budget_ms is not None and opt['world_size'] > 1:
        raise OptionError(
            'calibrate.budget_ms',
            'one process, as what others do at the same time would be in the times',
            f'{opt["world_size"]} processes',
            'Start one process, or give calibrate.budget.',
        )


FILE = JobFile(
    job='calibrate',
    settings=CalibrateSettings,
    datasets={},
    networks={'g': 'trained, with exits, as FlexIR'},
    used=lambda settings: {'g': True},
    phase='test',
    check=_check,
)
