"""Peak memory of ranking 50 and 400 images, each in a process of its own: it may not grow with the number of images.

    python scripts/benchmarks/influence_memory.py

Ranks random images of 96 x 96 pixels, made when they are asked for, by IRCNN with random weights and the default
settings, except that the curvature is that of 8 images and takes 4 products, which saves time; no memory that depends
on the number of images is saved by that. Exit code 1 if 400 images take more than 1.15 times the memory of 50.
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import torch
from denoising import ircnn, l1_loss
from memory import peak, report
from torch import Tensor
from torch.utils.data import Dataset

from basicsr_ext.selection.influence.batches import ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.settings import RankSettings

NUMBERS = (50, 400)
LARGEST_RATIO = 1.15


class RandomImages(Dataset[dict[str, Tensor]]):
    """Grey images and noisy ones, nothing of which is kept."""

    def __init__(self, number: int, size: int = 96) -> None:
        self.number, self.size = number, size

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        gt = torch.rand(1, self.size, self.size, generator=generator)
        return {'lq': gt + 0.1 * torch.randn(gt.shape, generator=generator), 'gt': gt}


def rank(number: int) -> None:
    """Rank so many images."""
    settings = RankSettings(curvature_images=8, iterations=4)
    torch.manual_seed(0)
    train, test = (ImageBatches(RandomImages(size), settings.batch_size) for size in (number, 8))
    with tempfile.TemporaryDirectory() as folder:
        InfluenceEngine(Derivatives(ircnn()), train, test, l1_loss, settings, 0, Path(folder)).scores()


def main() -> int:
    """Measure both, print them; 1 if memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, help='rank so many images here and print the peak memory in MiB')
    args = parser.parse_args()
    if args.images:
        rank(args.images)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    peaks = {number: peak(__file__, '--images', str(number)) for number in NUMBERS}
    return report(peaks, LARGEST_RATIO)


if __name__ == '__main__':
    sys.exit(main())
