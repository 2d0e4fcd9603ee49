"""The settings of inference."""

import json
from dataclasses import dataclass, fields
from functools import partial
from inspect import signature
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from annotated_types import Ge, Gt
from torch import Tensor, nn

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.inference.exit_scores import EXIT_SCORES, ExitScore
from basicsr_ext.inference.forecast import Forecast, plain_forecast
from basicsr_ext.inference.regions import Partition, RegionGrid
from basicsr_ext.options.blocks import NameIn, read_block
from basicsr_ext.options.calls import check_call
from basicsr_ext.options.load import find_file
from basicsr_ext.runtime.checkpoint import weights_digest

DEFAULT_REGIONS = 2
Scores = TypeVar('Scores', Tensor, np.ndarray)
LESS_COSTLY = (
    'Regions cost more than the whole image where they overlap or where windows do not divide them: take fewer of them '
    'and less overlap, or regions: 1 without adaptive.'
)
CPU_BATCH_PIXELS, BATCH_PIXELS = 2**14, 2**18


def check_budget(budget: float, where: str) -> None:
    """Refuse more than the full network on the whole image costs.

    Raises:
        OptionError: the budget is above 1.
    """
    if budget > 1:
        raise OptionError(where, 'at most 1, what the full network on the whole image costs', budget, LESS_COSTLY)


@dataclass(frozen=True)
class AdaptiveSettings:
    """The rule by which regions leave the network: each at the first exit whose score passes a threshold, or those with
    the least to gain, so that an image costs a budget.

    Attributes:
        threshold: h; a region leaves at the first exit whose score is beyond it.
        score: a name in `EXIT_SCORES`; None for `sharpness`, the paper's, with a threshold, and for `mean_gradient`
            with a budget.
        relative: None for the threshold itself; `previous` for h times the score of the exit before, so that the second
            exit is the first to be left by; `input` for h times the score of the input.
        operator, mean: arguments of the score, which has to have them; None for its default.
        leave: regions leave whose score is `above` the threshold, as in the paper, or `below`; with a budget, those
            that have less to gain. None for `above` with a threshold and for `change`, else for `below`.
        budget: what an image costs instead, in parts of the multiply-accumulates of the full network on the whole
            image; overlaps and padding of regions count. All regions pass the first stage; then their exits are planned
            by what their input looks like and what the stage changed, so that no exit runs but the one that a region
            leaves by. Each image costs it to a stage of a region, many images on average.
        forecast: of what regions have to gain, which `calibrate` fits; None for the score alone.
    """

    threshold: float | None = None
    score: Annotated[str, NameIn(EXIT_SCORES)] | None = None
    relative: Literal['previous', 'input'] | None = None
    operator: Literal['forward', 'roberts'] | None = None
    mean: Literal['trimmed', 'whole'] | None = None
    leave: Literal['above', 'below'] | None = None
    budget: Annotated[float, Gt(0)] | None = None
    forecast: Forecast | None = None

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.budget is None):
            both = 'neither' if self.threshold is None else 'both'
            raise OptionError('threshold', 'a value, or a budget instead', both, 'Write one of the two.')
        if self.budget is not None:
            check_budget(self.budget, 'budget')
        self._check_forecast()
        if self.forecast is None:
            check_call(EXIT_SCORES[self.score_name], self._arguments(), 'score', given=2)
        if self.relative is not None and (self.threshold is None or self.threshold < 0 or self.score == 'change'):
            raise OptionError(
                'relative',
                '~ with a budget, for a negative threshold and for the score change',
                f'{shown(self.relative)} with threshold {self.threshold} and score {self.score}',
                'Remove it or change those.',
            )

    def _check_forecast(self) -> None:
        if self.forecast is None:
            return
        for key in ('threshold', 'score', 'leave'):
            if getattr(self, key) is not None:
                raise OptionError('forecast', f'no {key} beside it', shown(getattr(self, key)), 'Remove one of both.')

    def _arguments(self) -> dict[str, str]:
        return {key: value for key in ('operator', 'mean') if (value := getattr(self, key)) is not None}

    @property
    def score_name(self) -> str:
        """The name of the score, its default filled in."""
        return self.score or ('mean_gradient' if self.threshold is None else 'sharpness')

    @property
    def side(self) -> str:
        """On which side of the threshold, or of others, regions leave: `above` or `below`."""
        usual = 'above' if self.threshold is not None or self.score == 'change' else 'below'
        return self.leave or usual

    def leaves(self, scores: Scores) -> Scores:
        """Which scores are beyond the threshold; of a tensor or an array, of its shape."""
        return scores > self.threshold if self.side == 'above' else scores < self.threshold  # type: ignore[operator]

    def exit_score(self) -> ExitScore:
        """The function, its arguments set."""
        return self.with_arguments(self.score_name)

    def exit_scores(self) -> list[ExitScore]:
        """The functions that a budget is spent by, in the order of its forecast."""
        return [
            self.with_arguments(name) for name in ([self.score_name] if self.forecast is None else self.forecast.scores)
        ]

    def with_arguments(self, name: str) -> ExitScore:
        """A function of `EXIT_SCORES` with those of `operator` and `mean` that it has."""
        score: Any = EXIT_SCORES[name]
        known = {key: value for key, value in self._arguments().items() if key in signature(score).parameters}
        return partial(score, **known) if known else score

    def forecast_for(self, exits: int) -> Forecast:
        """The forecast, or what the score alone says of a network with so many exits.

        Raises:
            OptionError: the forecast is of a network with another number of exits.
        """
        if self.forecast is None:
            return plain_forecast(self.score_name, self.side, exits)
        if len(self.forecast.weights) != exits - 1:
            raise OptionError(
                'val.inference.adaptive.forecast',
                f'weights for {exits - 1} exits of this network',
                len(self.forecast.weights),
                'Run calibrate for it.',
            )
        return self.forecast


@dataclass(frozen=True)
class InferenceSettings:
    """The settings of restoring an image.

    Attributes:
        regions: the image is cut into so many regions along each side; 1 for the whole image; 2, the paper's four
            regions, if neither this nor `region_size` is given.
        region_size: side of the regions in pixels of the input instead; as many as are needed. Memory then does not
            grow with the image but for its pixels.
        overlap: pixels of the input that neighbouring regions share at least; they are blended there.
        pointer: P, the last exit; None for the pointer of the network.
        adaptive: when regions leave before; None for regular inference, in which all leave at P.
        batch_pixels: so many pixels of the input, and at least one region, are computed at the same time; None for 2^14
            on a CPU, whose caches hold no more of a FlexIR, and for 2^18 on other devices.
        weights: digest of the weights that these settings were calibrated for; None for any.
        calibration: `calibration.json` that the job `calibrate` wrote for a budget, instead of all other keys.
    """

    regions: Annotated[int, Ge(1)] | None = None
    region_size: Annotated[int, Ge(1)] | None = None
    overlap: Annotated[int, Ge(0)] = 0
    pointer: Annotated[int, Ge(1)] | None = None
    adaptive: AdaptiveSettings | None = None
    batch_pixels: Annotated[int, Ge(1)] | None = None
    weights: str | None = None
    calibration: str | None = None

    def __post_init__(self) -> None:
        if self.regions is not None and self.region_size is not None:
            raise OptionError(
                'region_size', 'no regions beside it', f'{self.region_size} and {self.regions}', 'Remove one.'
            )
        if self.region_size is not None and self.overlap >= self.region_size:
            raise OptionError(
                'overlap', f'less than region_size = {self.region_size}', self.overlap, 'Correct the value.'
            )

    def batch_limit(self, device: str) -> int:
        """`batch_pixels`, or its default for a type of device."""
        return self.batch_pixels or (CPU_BATCH_PIXELS if device == 'cpu' else BATCH_PIXELS)

    @property
    def tails_passed(self) -> bool:
        """Whether every exit runs that a region passes, as a threshold needs it."""
        return self.adaptive is not None and self.adaptive.budget is None

    def check_weights(self, net: nn.Module, where: str) -> None:
        """Refuse a network that these settings were not calibrated for: its exits cost something else.

        Args:
            net: with its weights.
            where: path of the calibration in the option file, named in errors.

        Raises:
            OptionError: it has other weights.
        """
        if self.weights is not None and weights_digest(net) != self.weights:
            raise OptionError(
                where,
                'a calibration of these weights',
                'one of others',
                'Run calibrate with them, or copy its block `inference` to the option file to use it nevertheless.',
            )

    def grid(self, height: int, width: int) -> RegionGrid:
        """The regions of an image of this size."""
        if self.region_size is not None:
            return RegionGrid(*(Partition.by_size(side, self.region_size, self.overlap) for side in (height, width)))
        number = DEFAULT_REGIONS if self.regions is None else self.regions
        return RegionGrid(*(Partition.by_number(side, number, self.overlap) for side in (height, width)))


def read_settings(block: Any, where: str) -> InferenceSettings:
    """Turn an option block into settings.

    Args:
        block: the mapping from the option file.
        where: path of the block in the option file, named in errors.

    Raises:
        OptionError: an unknown or missing key, a value of the wrong type or range, or a calibration that is none.
    """
    return with_calibration(read_block(InferenceSettings, block, where), where)


def with_calibration(settings: InferenceSettings, where: str) -> InferenceSettings:
    """The settings of the calibration that some name, or these themselves.

    Raises:
        OptionError: there is no such file, or it holds no settings; other keys beside it.
    """
    if settings.calibration is None:
        return settings
    path = f'{where}.calibration'
    alone = InferenceSettings(calibration=settings.calibration)
    others = [each.name for each in fields(settings) if getattr(settings, each.name) != getattr(alone, each.name)]
    if others:
        raise OptionError(path, 'no other key beside it', ', '.join(others), 'Remove one of both.')
    return read_block(InferenceSettings, _calibrated(settings.calibration, path), path)


def _calibrated(path: Any, where: str) -> Any:
    """The block `inference` of what `calibrate` wrote, and the digest of the weights."""
    try:
        with open(find_file(str(path)), encoding='utf-8') as file:
            content = json.load(file)
        found, weights = content['inference'], content['weights']
    except OSError as error:
        raise OptionError(where, 'a file', f'{shown(path)}: {error.strerror}', 'Run calibrate first.') from error
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(where, 'what calibrate wrote', shown(path), 'Run calibrate again.') from error
    if found is None:
        raise OptionError(where, 'a calibration with a budget', f'{shown(path)} without', 'Add calibrate.budget.')
    return {**found, 'weights': weights}
