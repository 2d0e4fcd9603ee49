"""What the job `align` reads: clean images, and LQ files and samples where there are such."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from basicsr_ext.data.image_files import decode_image, read_image
from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper import source
from basicsr_ext.distillation.tuned_images import write_png
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


def write_lq(dataset: SampleDataset, names: Sequence[str], folder: Path) -> None:
    """Write the LQ images of pairs of files, unchanged, as `folder/<name>.png`; other images have none."""
    for index, name in enumerate(tqdm(names, 'Copying LQ', unit='image', leave=False, disable=None)):
        reader, place = source(dataset, index)
        root = reader.opt.get('dataroot_lq')
        if root:
            path = cast(Any, reader).paths[place]['lq_path']
            content = read_image(os.path.expanduser(root), path)
            write_png(folder / f'{name}.png', decode_image(content, cv2.IMREAD_UNCHANGED, path))
