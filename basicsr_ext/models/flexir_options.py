"""What FlexIRModel reads from an option file beyond RestorationModel."""

from dataclasses import dataclass, field
from functools import cached_property

from basicsr_ext.errors import OptionError
from basicsr_ext.inference.settings import InferenceSettings, with_calibration
from basicsr_ext.models.restoration_options import Block, ModelOptions, TrainOptions, ValOptions


@dataclass(frozen=True)
class FlexIRModelOptions(ModelOptions):
    """Options at the top of the file.

    Attributes:
        find_unused_parameters: needed under DistributedDataParallel while some branches are not active.
    """

    find_unused_parameters: bool = True


@dataclass(frozen=True)
class FlexIRTrainOptions(TrainOptions):
    """The block `train`.

    Attributes:
        progressive: activate branch after branch (PSD); false trains all from the start (SD).
        milestones: iterations after which the branches 2, 3, ... become active; None takes n equal stages, n being the
            number of branches, over the first half of the training.
        detach_between_blocks: every RSTB learns from its own branch alone.
        distillation_opt: the loss of the branches.
    """

    progressive: bool = True
    milestones: list[int] | None = None
    detach_between_blocks: bool = False
    distillation_opt: Block = field(default_factory=lambda: {'type': 'ProgressiveDistillationLoss'})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.milestones is not None and not self.progressive:
            raise OptionError('milestones', 'none with progressive: false', 'some', 'Remove one of the two.')
        if self.milestones is not None and (
            sorted(self.milestones) != self.milestones or min(self.milestones, default=1) < 0
        ):
            raise OptionError('milestones', 'iterations in ascending order', self.milestones, 'Correct them.')

    def needs_other_losses(self) -> bool:
        """Whether `pixel_opt`, `perceptual_opt` and `losses` may not all be empty."""
        return False

    def pointer(self, iteration: int, branches: int) -> int:
        """The number of branches that are active in an iteration, counted from 1 (S of FlexIR, Algorithm 1).

        Reading chosen: the paper does not give the schedule; the default is that of `milestones` above.
        """
        if not self.progressive:
            return branches
        if self.milestones is None:
            return min(branches, 1 + 2 * branches * max(0, iteration - 1) // max(1, self.total_iter))
        return 1 + sum(iteration > milestone for milestone in self.milestones)


@dataclass(frozen=True)
class FlexIRValOptions(ValOptions):
    """The block `val`.

    Attributes:
        inference: regions, pointer and exits; None restores whole images, or tiles, at the pointer of the network.
    """

    inference: InferenceSettings | None = None

    def __post_init__(self) -> None:
        if self.inference is not None and self.tile_size is not None:
            raise OptionError('tile_size', '~ beside inference', self.tile_size, 'Write inference.region_size instead.')
        _ = self.settings  # raises what is wrong with its calibration

    @cached_property
    def settings(self) -> InferenceSettings | None:
        """The block `inference`, or what its calibration says."""
        return None if self.inference is None else with_calibration(self.inference, 'inference')
