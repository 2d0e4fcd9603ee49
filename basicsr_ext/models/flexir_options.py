"""What FlexIRModel reads from an option file beyond RestorationModel."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.inference.settings import InferenceSettings, with_calibration
from basicsr_ext.models.restoration_options import Block, ModelOptions, TrainOptions, ValOptions
from basicsr_ext.options.file_names import check_file_name
from basicsr_ext.schedule.stages import PlateauStages, Stages


@dataclass(frozen=True)
class FlexIRModelOptions(ModelOptions):
    """Options at the top of the file.

    Attributes:
        find_unused_parameters: needed under DistributedDataParallel while some branches are not active.
    """

    find_unused_parameters: bool = True


@dataclass(frozen=True)
class EarlyEnds:
    """Stages that end when the loss has stopped falling (see `Plateau`); `milestones: auto` takes the defaults.

    Attributes:
        window: iterations over which the loss is averaged; None takes a tenth of the largest length of a stage, but at
            least 32, and at most a quarter of that length. Nothing is decided before two windows.
        tolerance: relative fall below which a window counts as none.
    """

    window: Annotated[int, Ge(1)] | None = None
    tolerance: Annotated[float, Interval(ge=0, le=1)] = 0.01


@dataclass(frozen=True)
class FlexIRTrainOptions(TrainOptions):
    """The block `train`.

    Attributes:
        progressive: activate branch after branch (PSD); false trains all from the start (SD).
        milestones: iterations after which the branches 2, 3, ... become active; None takes n equal stages, n being the
            number of branches, over the first half of the training; `auto`, or a block with its settings, ends each of
            them as soon as the loss of its branch, the newest one alone, has stopped falling.
        detach_between_blocks: every RSTB learns from its own branch alone.
        distillation_opt: the loss of the branches.
    """

    progressive: bool = True
    milestones: list[int] | Literal['auto'] | EarlyEnds | None = None
    detach_between_blocks: bool = False
    distillation_opt: Block = field(default_factory=lambda: {'type': 'ProgressiveDistillationLoss'})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.milestones is not None and not self.progressive:
            raise OptionError('milestones', 'none with progressive: false', 'some', 'Remove one of the two.')
        if isinstance(self.milestones, list) and (
            sorted(self.milestones) != self.milestones or min(self.milestones, default=1) < 0
        ):
            raise OptionError('milestones', 'iterations in ascending order', self.milestones, 'Correct them.')

    def needs_other_losses(self) -> bool:
        """Whether `pixel_opt`, `perceptual_opt` and `losses` may not all be empty."""
        return False

    def stages(self, branches: int) -> Stages:
        """The stages of the training; in stage S the branches 1 to S are active (FlexIR, Algorithm 1).

        Reading chosen: the paper does not give the schedule; the default is that of `milestones` above.

        Raises:
            OptionError: another number of milestones than branches need, or a window that leaves no room to decide.
        """
        if not self.progressive:
            return Stages([-1] * (branches - 1))
        if self.milestones is None:
            return Stages([-(-number * self.total_iter // (2 * branches)) for number in range(1, branches)])
        if isinstance(self.milestones, list):
            if len(self.milestones) != branches - 1:
                expected = f'{branches - 1}, one for each branch but the first'
                raise OptionError('train.milestones', expected, len(self.milestones), 'Add or remove some.')
            return Stages(self.milestones)
        early = EarlyEnds() if self.milestones == 'auto' else self.milestones
        return _stages_until_plateaus(early, branches, self.total_iter)


def _stages_until_plateaus(early: EarlyEnds, branches: int, total_iter: int) -> PlateauStages:
    limit = max(1, total_iter // (2 * branches))
    window = early.window or min(max(32, limit // 10), max(1, limit // 4))
    if early.window is not None and 2 * window > limit:
        raise OptionError(
            'train.milestones.window',
            f'at most {limit // 2} iterations, half of the {limit} that a stage may last',
            window,
            'Lower it, raise train.total_iter, or write milestones: ~.',
        )
    return PlateauStages(branches, limit, window, early.tolerance)


@dataclass(frozen=True)
class SweepSettings:
    """What `test` does with one network in turn, a row of a table each; one of these keys.

    Attributes:
        thresholds: of `val.inference.adaptive`, in place of its own, or of a rule with defaults alone.
        budgets: likewise, instead of a threshold.
        weights: name -> file of weights, loaded as `path.pretrain_network_g` is. Where `val.inference` names neither
            `pointer` nor `adaptive`, the values of a row are means over all exits, as in Table 6 of the paper.
    """

    thresholds: list[float] | None = None
    budgets: list[Annotated[float, Interval(gt=0, le=1)]] | None = None
    weights: Block | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1:
            raise OptionError('', 'one of thresholds, budgets and weights', ' and '.join(given) or 'none', 'Keep one.')
        ((name, values),) = given.items()
        if not values or len(set(values)) < len(values):
            raise OptionError(name, 'one or more that differ', shown(values), 'Correct them.')
        for row, file in (self.weights or {}).items():
            check_file_name(row, 'weights')
            if not isinstance(file, str):
                raise OptionError(f'weights.{row}', 'a file', shown(file), 'Correct it.')


@dataclass(frozen=True)
class FlexIRValOptions(ValOptions):
    """The block `val`.

    Attributes:
        inference: regions, pointer and exits; None restores whole images, or tiles, at the pointer of the network.
        sweep: of `test` alone, which then writes a table, `sweep.md`, instead of `metrics.json`. `pointers`: a row for
            each pointer, and one as `inference.adaptive` says where that is given; `thresholds`: the paper's, 1, 1.05,
            1.1 and 1.15 times the score at the exit before; or a block that names thresholds, budgets or weights.
    """

    inference: InferenceSettings | None = None
    sweep: Literal['pointers', 'thresholds'] | SweepSettings | None = None

    def __post_init__(self) -> None:
        settings = self.settings  # raises what is wrong with its calibration
        has_regions = self.inference is not None or self.sweep is not None
        if has_regions and self.tile_size is not None:
            raise OptionError(
                'tile_size', '~ beside inference and sweep', self.tile_size, 'Write inference.region_size instead.'
            )
        if self.sweep is not None and not self.metrics:
            raise OptionError('metrics', 'what a sweep measures', 'none', 'Add one.')
        has_weights = isinstance(self.sweep, SweepSettings) and self.sweep.weights is not None
        if has_weights and settings is not None and settings.weights is not None:
            raise OptionError(
                'inference.calibration',
                'none beside sweep.weights, as it was made for one file of weights',
                shown(self.inference and self.inference.calibration),
                'Copy its block `inference` to the option file.',
            )

    @cached_property
    def settings(self) -> InferenceSettings | None:
        """The block `inference`, or what its calibration says."""
        return None if self.inference is None else with_calibration(self.inference, 'inference')
