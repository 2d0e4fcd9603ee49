"""Mean and variance of the channels of an encoder over a whole dataset, image by image."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from basicsr_ext.alignment.gaussian_kl import channel_statistics, gaussian_kl
from basicsr_ext.networks.encoder import Images, encode
from basicsr_ext.runtime.distributed import rank_and_world
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.saved_state import SavedState, within
from basicsr_ext.runtime.shared_map import shared_map


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and variance of each channel over all places of all images.

    Attributes:
        mean, var: (C,), float64; the variance divides by the number of places.
    """

    mean: Tensor
    var: Tensor

    def divergence(self, target: 'ChannelStatistics') -> float:
        """`gaussian_kl` against a target."""
        return float(gaussian_kl(self.mean, self.var, target.mean, target.var))


class StreamedStatistics:
    """The statistics of everything that was passed to `update`, exact however it is cut into parts.

    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979, Eq. 2.1:
    means and sums of squared deviations of two parts are merged; nothing large is ever subtracted from something large.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def update(self, features: Tensor) -> None:
        """Add feature maps, N x C x h x w."""
        self.merge(*part_of(features))

    def merge(self, count: int, mean: Tensor, var: Tensor) -> None:
        """Add what `part_of` gives."""
        total, shift = self.count + count, mean - self.mean
        self.squares = self.squares + count * var + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def result(self) -> ChannelStatistics:
        """The statistics so far."""
        return ChannelStatistics(self.mean, self.squares / self.count)

    def state_dict(self) -> dict[str, Any]:
        """The state that `load_state_dict` continues from."""
        return {'count': self.count, 'mean': self.mean, 'squares': self.squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        count, mean, squares = state['count'], state['mean'], state['squares']
        if type(count) is not int or count < 0 or mean.shape != squares.shape or mean.dtype != squares.dtype:
            raise ValueError(f'{count} values of {tuple(mean.shape)}')
        self.count, self.mean, self.squares = count, mean, squares


def part_of(features: Tensor) -> tuple[int, Tensor, Tensor]:
    """Number of places, mean and variance of each channel of feature maps, N x C x h x w."""
    mean, var = (value.cpu() for value in channel_statistics(features.detach().double()))
    return features.numel() // features.shape[1], mean, var


@torch.no_grad()
def measure(
    images: Images,
    encoder: nn.Module,
    title: str,
    saved: SavedState | None = None,
    device: torch.device | str = 'cpu',
) -> ChannelStatistics:
    """The statistics of a dataset, reading one image at a time; ranks share the images out and get the same.

    Args:
        images: the dataset.
        encoder: has `features`; on `device`.
        title: of the progress bar.
        saved: where to continue from, if the work may be stopped and continued.
        device: that encodes.

    Raises:
        Interrupted: a stop was asked for; the state is saved.
    """
    streamed, state = StreamedStatistics(), saved.load() if saved else None
    start = 0
    if saved is not None and state is not None:
        with saved.fitting():
            start = within(state['images'], len(images))
            streamed.load_state_dict(state['statistics'])

    def part(index: int) -> tuple[int, Tensor, Tensor]:
        return part_of(encode(encoder, images[index][None].to(device)))

    with Progress(title, len(images), start, hidden=rank_and_world()[0] > 0) as progress:
        for done, found in enumerate(shared_map(part, range(start, len(images))), start + 1):
            streamed.merge(*found)
            if saved is not None:
                saved.offer(partial(_state, done, streamed))
            progress.update()
    if saved is not None and start < len(images):
        saved.save(_state(len(images), streamed))
    return streamed.result()


def _state(done: int, streamed: StreamedStatistics) -> dict[str, Any]:
    return {'images': done, 'statistics': streamed.state_dict()}
