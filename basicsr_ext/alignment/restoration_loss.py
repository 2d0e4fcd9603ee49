"""The restoration loss of a network on tuned images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from basicsr_ext.alignment.tuning import Crop
from basicsr_ext.schedule.sample import SampleDataset


class RestorationLoss:
    """Mean absolute difference between tuned images and what a network restores of the LQ images.

    The gradient reaches the tuner through the images alone, which are what the network is compared with.

    Args:
        net: trained; not changed.
        dataset: gives `lq`, as large as `gt`.
    """

    def __init__(self, net: nn.Module, dataset: SampleDataset) -> None:
        self.net, self.dataset = net.eval().requires_grad_(False), dataset

    def __call__(self, tuned: Tensor, crops: Sequence[Crop]) -> Tensor:
        lq = torch.stack([crop.of(self.dataset[crop.image]['lq']) for crop in crops])
        return (self.net(lq.to(tuned.device)) - tuned).abs().mean()
