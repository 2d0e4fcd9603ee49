"""What the job `align` reads: clean images, and samples where a network restores them."""

import numpy as np
import torch
from torch import Tensor

from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.schedule.sample import SampleDataset


class CleanImages:
    """The whole clean images of a dataset whose phase is not `train`: C x H x W, RGB or grey, [0, 1]."""

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset, self.whole = dataset, WholeImages(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        pixels = self.whole.clean(index)[..., ::-1].astype(np.float32) / np.float32(255)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
