"""What the job `align` reads: clean images, and samples where a network restores them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.distillation.tuning import Crop


class CleanImages:
    """The whole clean images of a dataset whose phase is not `train`: C x H x W, RGB or grey, [0, 1]."""

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset, self.whole = dataset, WholeImages(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        pixels = self.whole.clean(index)[..., ::-1].astype(np.float32) / np.float32(255)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


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
