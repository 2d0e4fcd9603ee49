"""What RestorationModel reads from an option file."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval

from basicsr_ext.errors import OptionError
from basicsr_ext.training.best import BestOptions

Block = dict[str, Any]


@dataclass(frozen=True)
class ModelOptions:
    """Options at the top of the file.

    Attributes:
        use_amp: automatic mixed precision in float16 with loss scaling, or in bfloat16 with `amp_bf16`.
        amp_bf16: bfloat16 instead of float16; needs `use_amp`.
        use_channels_last: keep tensors in channels-last layout.
        use_compile: `torch.compile` the network; a block gives its arguments, such as `{mode: max-autotune}`.
        find_unused_parameters: as in BasicSR, for DistributedDataParallel.
    """

    use_amp: bool = False
    amp_bf16: bool = False
    use_channels_last: bool = False
    use_compile: bool | Block = False
    find_unused_parameters: bool = False

    def __post_init__(self) -> None:
        if self.amp_bf16 and not self.use_amp:
            raise OptionError('amp_bf16', 'use_amp: true beside it', 'false', 'Set both or neither.')


@dataclass(frozen=True)
class TrainOptions:
    """The block `train`.

    Attributes:
        total_iter: optimiser steps.
        optim_g: `type`, any optimiser of torch.optim or, where that is installed, of pytorch_optimizer, and its
            arguments. Of schedule-free ones the averaged weights are validated and saved.
        scheduler: `type`, MultiStepLR, MultiStepRestartLR, CosineAnnealingRestartLR (BasicSR's) or any of
            torch.optim.lr_scheduler that steps without a metric, and its arguments in iterations; None keeps the rate.
        warmup_iter: the rate is multiplied by iteration / warmup_iter up to this iteration; -1 for none.
        ema_decay: decay of the exponential moving average of weights and buffers; 0 for none.
        pixel_opt, perceptual_opt: a loss, as in BasicSR.
        losses: more losses; each a block with `type` and optionally `name`, which is logged as `l_<name>`.
        accum_iter: batches whose gradients are averaged for one optimiser step.
        grad_clip: largest norm of the gradient; None for none.
        nan_limit: training stops after so many non-finite gradients in a row; each one's step is skipped.
    """

    total_iter: Annotated[int, Ge(0)]
    optim_g: Block
    scheduler: Block | None = None
    warmup_iter: int = -1
    ema_decay: Annotated[float, Interval(ge=0, lt=1)] = 0
    pixel_opt: Block | None = None
    perceptual_opt: Block | None = None
    losses: list[dict] = field(default_factory=list)  # type: ignore[type-arg]
    accum_iter: Annotated[int, Ge(1)] = 1
    grad_clip: Annotated[float, Gt(0)] | None = None
    nan_limit: Annotated[int, Ge(1)] = 5

    def __post_init__(self) -> None:
        if self.needs_other_losses() and not self.named_losses():
            raise OptionError('pixel_opt', 'a loss here, in perceptual_opt or in losses', 'none', 'Add one.')

    def needs_other_losses(self) -> bool:
        """Whether `pixel_opt`, `perceptual_opt` and `losses` may not all be empty."""
        return True

    def named_losses(self) -> list[tuple[str, Block]]:
        """Every loss with the name it has in the log."""
        named = [('l_pix', self.pixel_opt), ('l_percep', self.perceptual_opt)]
        listed = [(f'l_{block.get("name", block.get("type"))}', block) for block in self.losses]
        return [(name, block) for name, block in named if block] + listed


@dataclass(frozen=True)
class ValOptions:
    """The block `val`.

    Attributes:
        val_freq: iterations between validations; not read by `test`.
        save_img: write the restored images.
        metrics: name -> `type` and arguments, as in BasicSR.
        best: which validation set and metric choose `net_g_best.pth`, such as `{dataset: Urban100, metric: psnr}`; by
            default the first ones.
        pbar: false hides how far a validation is; else a bar shows it on a terminal, elsewhere a line now and then.
        log_images: how many images of each set TensorBoard, and wandb with it, show at each validation: input, result
            and ground truth.
        suffix: of the saved images in `test`; None takes the name of the run.
        tile_size: run the network on tiles of this side in input pixels; None on whole images.
        tile_overlap: pixels that each tile sees beyond its sides.
    """

    save_img: bool = False
    val_freq: int | None = None
    metrics: Block | None = None
    best: BestOptions | None = None
    pbar: bool | None = None
    log_images: Annotated[int, Ge(0)] = 1
    suffix: str | None = None
    tile_size: Annotated[int, Ge(1)] | None = None
    tile_overlap: Annotated[int, Ge(0)] = 32
