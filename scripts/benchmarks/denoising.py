"""What the benchmarks of influence share: grey images with noise of sigma 25, IRCNN, the L1 loss."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset
from retraining import Crops
from torch import Tensor, nn
from torch.utils.data import Dataset

from basicsr_ext.runtime.checkpoint import load_network_weights


def l1_loss(output: Tensor, gt: Tensor) -> Tensor:
    """The mean over the pixels of each image, (N,)."""
    return (output - gt).abs().flatten(1).mean(1)


def mse_loss(output: Tensor, gt: Tensor) -> Tensor:
    """The mean squared error of each image, (N,)."""
    return (output - gt).square().flatten(1).mean(1)


def ircnn(weights: Path | None = None) -> nn.Module:
    """IRCNN for grey images, of 64 channels."""
    net: nn.Module = build_network({'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1})
    if weights is not None:
        load_network_weights(net, weights)
    return net


def noisy_images(folder: Path) -> Any:
    """A dataset of whole grey images with noise that belongs to the name."""
    opt = {'name': folder.name, 'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder), 'color': 'gray'}
    return build_dataset({**opt, 'sigma': 25, 'phase': 'val', 'scale': 1, 'io_backend': {'type': 'disk'}})


def middles(dataset: Any, number: int, size: int = 180) -> Crops:
    """The middle of the first images of a dataset."""
    cut: dict[str, list[Tensor]] = {'gt': [], 'lq': []}
    for index in range(number):
        sample = dataset[index]
        for key, images in cut.items():
            top, left = ((side - size) // 2 for side in sample[key].shape[-2:])
            images.append(sample[key][:, top : top + size, left : left + size])
    return Crops(torch.stack(cut['gt']), torch.stack(cut['lq']))


@dataclass(frozen=True)
class CropDataset(Dataset[dict[str, Tensor]]):
    """Crops as a dataset of this package."""

    crops: Crops

    def __len__(self) -> int:
        return len(self.crops.gt)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {'gt': self.crops.gt[index], 'lq': self.crops.lq[index]}
