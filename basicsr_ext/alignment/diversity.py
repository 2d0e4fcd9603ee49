"""How different the images of a dataset are from each other: distances of all pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.images.pixels import resize_square
from basicsr_ext.networks.encoder import Images, encode
from basicsr_ext.runtime.shared_map import shared_map
from basicsr_ext.runtime.spread import spread

IMAGES, SIDE, BLOCK = 200, 128, 64  # TripleD looks at 200 images; pixels of a side; rows of a block
DIFFERENCES = 'donot_use_mm_for_euclid_dist'  # of torch.cdist


@dataclass(frozen=True)
class Diversity:
    """The pairwise distances of the images of one dataset, (n (n - 1) / 2,) each, ascending.

    Attributes:
        ped: Euclidean distances of their embeddings.
        pfd: Euclidean distances of their embeddings brought to length 1, in [0, 2]: sqrt(2 - 2 cos) of the angle.
        pixels: Euclidean distances of the images brought to one size.
    """

    ped: np.ndarray
    pfd: np.ndarray
    pixels: np.ndarray

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Mean and quantiles of each."""
        return {field.name: _summary(getattr(self, field.name)) for field in fields(self)}


def _summary(values: np.ndarray) -> dict[str, float]:
    quantiles = {f'q{part}': float(np.quantile(values, part / 100)) for part in (5, 25, 50, 75, 95)}
    return {'mean': float(values.mean()), **quantiles}


@torch.no_grad()
def diversity(
    images: Images, encoder: nn.Module, limit: int | None = IMAGES, device: torch.device | str = 'cpu'
) -> Diversity:
    """Pairwise distances of a dataset (TripleD, Sec. 4.3 and Fig. 5).

    The paper takes "pairwise Euclidean distances (PED) and pairwise feature distances (PFD) between feature embeddings"
    of ResNet-50, and tells no formula. An embedding is the mean of the feature maps over the places of the image. Both
    are distances of embeddings [reading chosen]: PED Euclidean, PFD of their directions alone, so that it does not see
    how strong the features are; an embedding of zeros keeps length 0. Beside these, distances of pixels: images are
    brought to 128 x 128, bilinearly with antialias; grey ones count three times, so that they compare with colour.
    Ranks share the images out.

    Args:
        images: the dataset.
        encoder: has `features`; on `device`.
        limit: of images, evenly spread; None for all.
        device: that encodes.

    Raises:
        DataError: fewer than two images.
    """
    chosen = spread(len(images) if limit is None else limit, len(images))
    if len(chosen) < 2:
        raise DataError('diversity', 'at least two images to compare', len(chosen), 'Give more.')

    def described(index: int) -> tuple[Tensor, Tensor]:
        image = images[index][None].to(device)
        small = resize_square(image, SIDE).expand(-1, 3, -1, -1).flatten().cpu()
        return small, encode(encoder, image).mean((2, 3))[0].cpu()

    pixels, embeddings = map(torch.stack, zip(*shared_map(described, chosen), strict=True))
    compared = embeddings, normalize(embeddings.double()), pixels
    return Diversity(*(pairwise_distances(rows).sort().values.numpy() for rows in compared))


def pairwise_distances(vectors: Tensor, block: int = BLOCK) -> Tensor:
    """Euclidean distances of all pairs of rows, a block against a block at a time, in float64 from differences.

    Equal rows have distance 0 exactly, which the faster way by inner products does not give.

    Args:
        vectors: (n, d).
        block: rows of a block, at least 1.

    Returns:
        (n (n - 1) / 2,): (0, 1), (0, 2), ..., (1, 2), ...

    Raises:
        OptionError: an empty block.
    """
    if block < 1:
        raise OptionError('block', 'at least 1', block, 'Correct the value.')
    parts = []
    for start in range(0, len(vectors), block):
        rows = vectors[start : start + block].double()  # sums over all pixels of an image lose digits in float32
        distances = torch.cat(
            [torch.cdist(rows, others.double(), compute_mode=DIFFERENCES) for others in vectors[start:].split(block)], 1
        )
        parts.append(distances[torch.ones_like(distances, dtype=torch.bool).triu(1)])
    return torch.cat(parts)


def cumulative(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The empirical distribution function of distances (n,): where it steps, and k / n after step k."""
    return np.sort(distances), np.arange(1, len(distances) + 1) / len(distances)
