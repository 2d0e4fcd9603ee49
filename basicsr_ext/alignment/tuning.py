"""Training of the network that brings the images of a small dataset to the distribution of a large one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Gt
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from basicsr_ext.alignment.channel_statistics import ChannelStatistics, measure
from basicsr_ext.alignment.gaussian_kl import gaussian_kl
from basicsr_ext.errors import DataError, DivergenceError, OptionError
from basicsr_ext.networks.encoder import Images, encode
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.saved_state import SavedState, within


class Crop(NamedTuple):
    """A part of an image: index of the image, the upper left corner, the sides, in pixels."""

    image: int
    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """The part, C x height x width."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


# From tuned parts of images, 1 x C x height x width or a batch of one size, and where they come from, to a scalar.
RestorationLoss = Callable[[Tensor, Sequence[Crop]], Tensor]


@dataclass(frozen=True)
class TuningSettings:
    """The settings of the tuner's training.

    Attributes:
        iterations: steps of Adam.
        patch_size: side of the random crops of a step, in pixels; None takes whole images, one after the other.
        batch_size: crops or images of a step.
        lr: learning rate at the start; it falls to 0 as a cosine.
        pixel_weight: weight of the mean squared difference to the original, images being in [0, 1]: with 1000, a change
            of 8 levels counts about as much as a divergence of 1.
        kl_weight: weight of the divergence of the statistics from those of the target.
        restoration_weight: weight of the loss of a restoration network.
    """

    iterations: Annotated[int, Ge(1)] = 400
    patch_size: Annotated[int, Ge(1)] | None = 48
    batch_size: Annotated[int, Ge(1)] = 4
    lr: Annotated[float, Gt(0)] = 2e-4
    pixel_weight: Annotated[float, Ge(0)] = 1000.0
    kl_weight: Annotated[float, Ge(0)] = 1.0
    restoration_weight: Annotated[float, Ge(0)] = 0.0


class Tuning:
    """Minimise pixel_weight * |T(x) - x|^2 + kl_weight * KL(tuned || target) + restoration_weight * L_r over T.

    TripleD, Eq. 4. KL compares the mean and variance of each channel of a frozen encoder over the *whole* tuned subset
    with those of the target, as diagonal Gaussians. A batch cannot stand for the subset: its own statistics are noisy,
    and pulling every batch to the target would make all images alike. The statistics of the tuned subset are therefore
    those of the subset before tuning, known exactly, plus the change that the tuner makes on the batch: the moments of
    T(x) minus those of x, which is unbiased, nearly free of noise, and exact at T(x) = x. Gradients flow through it.

    Readings chosen: L2 is the mean squared difference; both statistics are over places and images together, so crops
    are drawn in proportion to the pixels of the images. Step i draws from (seed, i) alone.

    Ranks share the crops of a step out. Means are over the crops of all of them and gradients are added, so that they
    learn what one process learns, but for rounding, if the tuner treats each image for itself.

    Args:
        tuner: T; trained in place.
        images: the subset.
        encoder: frozen, has `features`.
        target: statistics to reach; None keeps those of the subset, which restrains a restoration loss.
        settings: weights and steps.
        seed: of the crops.
        restoration_loss: L_r, needed where its weight is not 0.

    Raises:
        OptionError: a weight of the restoration loss without the loss.
        DataError: images smaller than a crop.
    """

    def __init__(
        self,
        tuner: nn.Module,
        images: Images,
        encoder: nn.Module,
        target: ChannelStatistics | None,
        settings: TuningSettings,
        seed: int,
        restoration_loss: RestorationLoss | None = None,
    ) -> None:
        if settings.restoration_weight and restoration_loss is None:
            raise OptionError('restoration_weight', '0 without a restoration network', 'more', 'Give a network.')
        self.tuner, self.images, self.encoder, self.settings, self.seed = tuner, images, encoder, settings, seed
        self.restoration_loss = restoration_loss
        self.device = next(tuner.parameters()).device
        self.sizes = [tuple(images[index].shape[-2:]) for index in range(len(images))]
        small = [size for size in self.sizes if settings.patch_size and min(size) < settings.patch_size]
        if small:
            raise DataError(
                'patch_size', f'images of at least {settings.patch_size} pixels per side', small[0], 'Lower it.'
            )
        self.before = measure(images, encoder, 'Subset', device=self.device)
        # Statistics relative to the mean before: a divergence does not see a shift, and small numbers lose no digits.
        self.origin, self.var = self.before.mean.to(self.device), self.before.var.to(self.device)
        target = self.before if target is None else target
        self.target = (target.mean - self.before.mean).to(self.device), target.var.to(self.device)

    def run(self, saved: SavedState | None = None) -> None:
        """Train to the end.

        Args:
            saved: where to continue from, if the work may be stopped and continued.

        Raises:
            Interrupted: a stop was asked for; the state is saved.
            DivergenceError: the loss is not a number.
        """
        optimizer = torch.optim.Adam(self.tuner.parameters(), self.settings.lr)
        state, done, total = saved.load() if saved else None, 0, self.settings.iterations
        if saved is not None and state is not None:
            with saved.fitting():
                done = within(state['step'], total)
                self.tuner.load_state_dict(state['tuner'])
                optimizer.load_state_dict(state['optimizer'])

        def current() -> dict[str, Any]:
            return {'step': step, 'tuner': self.tuner.state_dict(), 'optimizer': optimizer.state_dict()}

        self.tuner.train()
        with Progress('Tuner', total, done, 'step', hidden=distributed.rank_and_world()[0] > 0) as progress:
            for step in range(done + 1, total + 1):
                terms = self.step(step, optimizer)
                progress.update(1, **terms)
                if step % max(1, total // 10) == 0:
                    shown = ', '.join(f'{name} {value:.4g}' for name, value in terms.items())
                    get_root_logger().info(f'Tuner, step {step} of {total}: {shown}')
                if saved is not None:
                    saved.offer(current)
                elif distributed.any_rank(interrupt.requested()):
                    raise interrupt.Interrupted
        self.tuner.eval()

    def step(self, number: int, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """One step of training, counted from 1; returns the terms of the loss before it, without their weights."""
        for group in optimizer.param_groups:
            group['lr'] = self.settings.lr * (1 + math.cos(math.pi * (number - 1) / self.settings.iterations)) / 2
        terms = self.losses(number)
        loss = torch.stack([getattr(self.settings, f'{name}_weight') * value for name, value in terms.items()]).sum()
        if not torch.isfinite(loss):
            raise DivergenceError(f'tuner, step {number}', 'a finite loss', loss.item(), 'Lower lr.')
        optimizer.zero_grad()
        if loss.requires_grad:  # not where there are fewer crops than ranks
            loss.backward()
        distributed.add_up_gradients(self.tuner.parameters())
        optimizer.step()
        return {name: float(value.detach()) for name, value in terms.items()}

    def losses(self, step: int) -> dict[str, Tensor]:
        """The terms of the loss at a step, those of weight 0 left out; `pixel` is always there."""
        rank, world = distributed.rank_and_world()
        batches = self._read(self.crops(step)[rank::world])
        pairs = [(images, self.tuner(images)) for images, _ in batches]
        squares = [(tuned - images).square().flatten() for images, tuned in pairs]
        terms = {'pixel': _mean_of_all(torch.cat([torch.zeros(0, device=self.device), *squares]))}
        if self.settings.kl_weight:
            terms['kl'] = self._divergence(pairs)
        if self.restoration_loss is not None and self.settings.restoration_weight:
            values = [
                self.restoration_loss(tuned, crops) * len(crops)
                for (_, tuned), (_, crops) in zip(pairs, batches, strict=True)
            ]
            own = sum(values, torch.zeros((), device=self.device))
            terms['restoration'] = distributed.add_up_parts(own) / self.settings.batch_size
        return terms

    def crops(self, step: int) -> list[Crop]:
        """The parts of the images that a step sees."""
        rng = np.random.default_rng((self.seed, step))
        areas = np.array([height * width for height, width in self.sizes], dtype=float)
        crops = []
        for index in rng.choice(len(areas), self.settings.batch_size, p=areas / areas.sum()).tolist():
            height, width = self.sizes[index]
            side = self.settings.patch_size
            if side is None:
                crops.append(Crop(index, 0, 0, height, width))
            else:
                top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
                crops.append(Crop(index, int(top), int(left), side, side))
        return crops

    def _read(self, crops: list[Crop]) -> list[tuple[Tensor, list[Crop]]]:
        """One batch of patches, or whole images one by one, since their sizes may differ."""
        parts = [crop.of(self.images[crop.image]).to(self.device) for crop in crops]
        if self.settings.patch_size is not None and parts:
            return [(torch.stack(parts), crops)]
        return [(part[None], [crop]) for part, crop in zip(parts, crops, strict=True)]

    def _divergence(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        with torch.no_grad():
            mean, second = self._moments([images for images, _ in pairs])
        tuned_mean, tuned_second = self._moments([tuned for _, tuned in pairs])
        shift = tuned_mean - mean
        return gaussian_kl(shift, self.var + tuned_second - second - shift.square(), *self.target)

    def _moments(self, batches: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and mean square of each channel, about the mean of the subset before tuning."""
        maps = [encode(self.encoder, images).transpose(0, 1).flatten(1) for images in batches]
        empty = self.origin.new_empty(len(self.origin), 0)
        values = torch.cat([empty, *maps], dim=1).double() - self.origin[:, None]
        return _mean_of_all(values), _mean_of_all(values.square())


def _mean_of_all(values: Tensor) -> Tensor:
    """The mean over the last axis, on which each rank has its own values."""
    number = distributed.add_up(torch.full((), values.shape[-1], dtype=torch.float64, device=values.device))
    return distributed.add_up_parts(values.sum(-1)) / number.item()
