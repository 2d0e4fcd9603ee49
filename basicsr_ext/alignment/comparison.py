"""How well a small dataset agrees with a large one, before and after tuning: numbers, and samples for pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from basicsr_ext.alignment.channel_statistics import ChannelStatistics
from basicsr_ext.networks.encoder import Images, encode
from basicsr_ext.runtime.shared_map import shared_map
from basicsr_ext.runtime.spread import spread

IMAGES, PLACES = 200, 10000  # of a dataset that are looked at for pictures, at most
PROBABILITIES = np.linspace(0.005, 0.995, 100)  # of the quantiles that are compared


def compare(target: ChannelStatistics, before: ChannelStatistics, after: ChannelStatistics) -> dict[str, Any]:
    """The divergences from the target, and by channel the differences of mean and standard deviation.

    Differences are in standard deviations of the target, so that channels can be compared; null where it has none.
    """
    scale = target.var.sqrt()
    channels = [
        {
            f'{name}_{when}': _number(difference / scale[channel])
            for when, found in (('before', before), ('after', after))
            for name, difference in (
                ('mean', found.mean[channel] - target.mean[channel]),
                ('std', found.var[channel].sqrt() - scale[channel]),
            )
        }
        for channel in range(len(scale))
    ]
    return {
        'kl': {'before': before.divergence(target), 'after': after.divergence(target)},
        'channels': channels,
    }


def _number(value: torch.Tensor) -> float | None:
    return float(value) if value.isfinite() else None


@dataclass(frozen=True)
class Change:
    """The mean and the largest absolute difference that tuning made to pixels, in 8-bit levels."""

    mean: float
    largest: float


def change(originals: Images, tuned: Images) -> Change:
    """Compare images one by one, which ranks share out; each counts by its pixels."""

    def compared(index: int) -> tuple[float, int, float]:
        difference = 255 * (tuned[index] - originals[index]).abs().double()
        return float(difference.sum()), difference.numel(), float(difference.max())

    total, values, largest = 0.0, 0, 0.0
    for each, number, most in shared_map(compared, range(len(originals))):
        total, values, largest = total + each, values + number, max(largest, most)
    return Change(total / values, round(largest, 3))


@torch.no_grad()
def sample_features(
    images: Images, encoder: nn.Module, seed: int = 0, device: torch.device | str = 'cpu'
) -> np.ndarray:
    """Features at random places of at most 200 images, evenly spread over the dataset; the same places at every call.

    Ranks share the images out.

    Returns:
        (n, C), n at most 10,000.
    """
    chosen = spread(IMAGES, len(images))

    def sample(index: int) -> np.ndarray:
        features: np.ndarray = encode(encoder, images[index][None].to(device))[0].flatten(1).T.cpu().numpy()
        number = min(len(features), max(1, PLACES // len(chosen)))
        return features[np.random.default_rng((seed, index)).choice(len(features), number, replace=False)]

    return np.concatenate(list(shared_map(sample, chosen))).astype(np.float64)


def first_component(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and direction of the first principal component of features (n, C), standardised.

    Its projection is `(features - mean) @ direction`. The sign is such that the largest entry is positive; channels
    without variance count nothing.
    """
    mean, std = features.mean(0), features.std(0)
    weights = np.divide(1, std, out=np.zeros_like(std), where=std > 1e-9)
    _, _, rows = np.linalg.svd((features - mean) * weights, full_matrices=False)
    direction = rows[0] * np.sign(rows[0][np.abs(rows[0]).argmax()])
    return mean, direction * weights


def kernel_density(sample: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A Gaussian kernel density with Scott's bandwidth, std * n^(-1/5) ("Multivariate Density Estimation", 1992).

    Args:
        sample: (n,), not constant.
        grid: (m,), where the density is wanted.

    Returns:
        (m,).
    """
    bandwidth = sample.std(ddof=1) * len(sample) ** -0.2
    distances = (grid[:, None] - sample) / bandwidth
    density: np.ndarray = np.exp(-(distances**2) / 2).sum(1) / (len(sample) * bandwidth * np.sqrt(2 * np.pi))
    return density


def quantiles(sample: np.ndarray) -> np.ndarray:
    """The 100 quantiles between 0.5 % and 99.5 % of a sample (n,): the coordinates of a QQ plot."""
    found: np.ndarray = np.quantile(sample, PROBABILITIES)
    return found
