"""What a distillation is asked for: the block `distill` of an option file."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from basicsr_ext.errors import OptionError
from basicsr_ext.options.calls import LossBlock
from basicsr_ext.selection.subsets.quotas import Ratio, Size, size_or_ratio


@dataclass(frozen=True)
class NetworkSettings:
    """How the network whose gradients are matched evolves.

    It starts from the weights of the option file, or from random ones that depend on seed and round. As in gradient
    matching (Zhao et al., 2021, Algorithm 1) it can be trained a little on the synthetic images in between, so that
    these suit networks at several stages, and be replaced by a fresh one.

    Attributes:
        matching_steps: steps after which it starts again, with other random weights; None keeps it to the end.
        train_steps: steps of ordinary training on synthetic images, by Adam; 0 for none.
        train_every: matching steps between two such trainings.
        lr: learning rate of this training.
    """

    matching_steps: Annotated[int, Ge(1)] | None = 100
    train_steps: Annotated[int, Ge(0)] = 0
    train_every: Annotated[int, Ge(1)] = 10
    lr: Annotated[float, Gt(0)] = 1e-4


@dataclass(frozen=True)
class VaeSettings:
    """Which autoencoder of diffusers turns latents into images.

    Attributes:
        path: a folder, or a name on the Hugging Face hub.
        subfolder: of both, where there is one.
        preset: `sd3` gives the two numbers below; None takes those of its configuration.
        scaling_factor, shift_factor: z = (latent - shift) * scaling.
        bfloat16: keep and run it in bfloat16, which halves its memory.
    """

    path: str
    subfolder: str | None = None
    preset: Literal['sd3'] | None = None
    scaling_factor: float | None = None
    shift_factor: float | None = None
    bfloat16: bool = False


@dataclass(frozen=True)
class DistillSettings:
    """How many images the result has, which of them are real, and how the others are made.

    Attributes:
        size: images of the result.
        ratio: the same as a part of all N images; ceil(ratio N).
        kept: which part of the result are real images, the first of the ranking; 0 makes all synthetic, 1 only selects.
        manifest: the ranking; needed if images are kept.
        column: its ranks.
        per_group: give each group of the ranking an equal share.
        image_size: side of the synthetic images in pixels.
        mode: what is optimised: `pixel`, the images themselves, or `latent`, codes of the autoencoder `vae`.
        vae: the autoencoder of `latent`.
        start: `real` patches of the images that the ranking has next (without ranking, of random images), or `noise`.
        degradation: `known` makes the input as the dataset does; `learned` optimises it as well, from the real input.
        grad_match, loss: blocks of registered losses: that of the gradients, and that of the restoration.
        anchor: weight of the mean squared distance of the variables to those of the real patch they started from.
        steps: matching steps.
        batch_size: synthetic images of a step.
        real_batch_size: real patches of a step; None takes `batch_size`.
        lr: of the variables, by Adam.
        networks: how the network evolves whose gradients are matched.
        picture_freq: steps between two pictures of the images as they form.
    """

    size: Size | None = None
    ratio: Ratio | None = None
    kept: Annotated[float, Interval(ge=0, le=1)] = 0.5
    manifest: str | None = None
    column: str = 'rank'
    per_group: bool = False
    image_size: Annotated[int, Ge(1)] = 128
    mode: Literal['pixel', 'latent'] = 'pixel'
    vae: VaeSettings | None = None
    start: Literal['real', 'noise'] = 'real'
    degradation: Literal['known', 'learned'] = 'known'
    grad_match: LossBlock = field(default_factory=lambda: {'type': 'GradientMatchingLoss'})
    loss: LossBlock = field(default_factory=lambda: {'type': 'L1Loss'})
    anchor: Annotated[float, Ge(0)] = 1.0
    steps: Annotated[int, Ge(1)] = 1000
    batch_size: Annotated[int, Ge(1)] = 8
    real_batch_size: Annotated[int, Ge(1)] | None = None
    lr: Annotated[float, Gt(0)] = 0.005
    networks: NetworkSettings = field(default_factory=NetworkSettings)
    picture_freq: Annotated[int, Ge(1)] = 100

    def __post_init__(self) -> None:
        size_or_ratio(self.size, self.ratio)
        if self.kept > 0 and self.manifest is None:
            raise OptionError('manifest', f'a ranking for kept: {self.kept}', 'none', 'Add it or set kept: 0.')
        if self.per_group and self.manifest is None:
            raise OptionError('per_group', 'a ranking with groups', 'no manifest', 'Add it or remove per_group.')
        if (self.vae is None) == (self.mode == 'latent'):
            expected = 'a block with a path' if self.vae is None else 'none'
            raise OptionError('vae', f'{expected} with mode: {self.mode}', self.vae, 'Correct one of them.')
