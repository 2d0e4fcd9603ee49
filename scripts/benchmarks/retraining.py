"""The truth that influence estimates are measured against: a tiny denoiser retrained on many random halves of its data.

IRCNN's layout with 16 channels and 4 convolutions (4,945 parameters) on 48 grey crops of 40 x 40 pixels, noise of sigma
25 that belongs to the crop, L1 loss, full-batch Adam. Random half j with seed s gives the test loss of a network that
saw only that half; a good influence predicts the order of those losses (Park et al., "TRAK", 2023, Definition 2.3: the
linear datamodelling score).
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.runtime.spread import spread_to_ends

DILATIONS = (1, 2, 2, 1)
CHANNELS = 16
SIGMA = 25 / 255
STEPS = 300


@dataclass(frozen=True)
class Crops:
    """Clean and noisy crops, each (N, 1, S, S) in [0, 1]."""

    gt: Tensor
    lq: Tensor

    def __getitem__(self, rows: Tensor) -> 'Crops':
        return Crops(self.gt[rows], self.lq[rows])


class TinyDenoiser(nn.Module):
    """Four dilated convolutions that estimate the noise, He initialisation (He et al., 2015), zero at the end."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        widths = [1, *[CHANNELS] * (len(DILATIONS) - 1), 1]
        layers: list[nn.Module] = []
        for inner, outer, dilation in zip(widths[:-1], widths[1:], DILATIONS, strict=True):
            layers += [nn.Conv2d(inner, outer, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        generator = torch.Generator().manual_seed(seed)
        for layer in self.model:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu', generator=generator)
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.model[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise (N, 1, H, W)."""
        return x - self.model(x)


def read_crops(folder: Path, number: int, size: int, seed: int) -> Crops:
    """One random crop of each of `number` images spread evenly over a folder, with noise."""
    paths = sorted(folder.glob('*.png'))
    if len(paths) < number:
        raise SystemExit(f'{folder}: expected at least {number} PNG images, got {len(paths)}. Correct the path.')
    rng = np.random.default_rng(seed)
    crops = []
    for place in spread_to_ends(number, len(paths)):
        image = cv2.imread(str(paths[place]), cv2.IMREAD_GRAYSCALE)
        top, left = (rng.integers(side - size, endpoint=True) for side in image.shape)
        crops.append(image[top : top + size, left : left + size].astype(np.float32) / 255)
    gt = torch.from_numpy(np.stack(crops)[:, None])
    noise = torch.from_numpy(rng.standard_normal(gt.shape, dtype=np.float32))
    return Crops(gt, gt + SIGMA * noise)


def train(crops: Crops, seed: int, steps: int, rate: float = 5e-3) -> TinyDenoiser:
    """Full-batch Adam on the mean L1 loss, one-cycle rate that ends at zero; three quarters of it in bfloat16."""
    net = TinyDenoiser(seed).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), rate, betas=(0.9, 0.99))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1, cycle_momentum=False)
    for step in range(steps):
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=step < 0.75 * steps):
            noise = net.model(crops.lq)
        (crops.lq - noise.float() - crops.gt).abs().mean().backward()
        optimizer.step()
        scheduler.step()
    return net


def test_loss(net: nn.Module, test: Crops) -> float:
    """Mean L1 loss."""
    with torch.inference_mode():
        return float((net(test.lq) - test.gt).abs().mean())


@dataclass(frozen=True)
class Experiment:
    """The data, the halves, and where the results are kept.

    Attributes:
        train, test: crops of the training and the test images.
        halves: number of halves x 24 indices of training crops.
        seeds: number of seeds.
        steps: of each training.
        cache: folder of the results, one file per training.
    """

    train: Crops
    test: Crops
    halves: np.ndarray
    seeds: int
    steps: int
    cache: Path

    def full_networks(self) -> list[TinyDenoiser]:
        """One network per seed, trained on all crops: what influence is computed at."""
        return [self._network(self.cache / f'full_{seed}.pth', self.train, seed) for seed in range(self.seeds)]

    def _network(self, path: Path, crops: Crops, seed: int) -> TinyDenoiser:
        net = TinyDenoiser(seed)
        if not path.is_file():
            with atomic_open(path) as file:
                torch.save(train(crops, seed, self.steps).state_dict(), file)
        net.load_state_dict(torch.load(path, weights_only=True))
        return net

    def losses(self) -> np.ndarray:
        """Test loss of every retraining, (seeds, halves); what is cached is not done again."""
        losses = np.empty((self.seeds, len(self.halves)))
        jobs = [(half, seed) for half in range(len(self.halves)) for seed in range(self.seeds)]
        for half, seed in tqdm(jobs, 'Retraining on halves', disable=None):
            path = self.cache / f'half_{half:03d}_{seed}.pth'
            rows = torch.from_numpy(self.halves[half])
            losses[seed, half] = test_loss(self._network(path, self.train[rows], seed), self.test)
        return losses


def experiment(train_folder: Path, test_folder: Path, cache: Path, quick: bool, steps: int = STEPS) -> Experiment:
    """100 halves x 3 seeds of 48 crops; `quick`: the first 24 halves and 2 seeds of them."""
    crops, halves, seeds = 48, (24 if quick else 100), (2 if quick else 3)
    rng = np.random.default_rng(1)
    rows = np.stack([np.sort(rng.permutation(crops)[: crops // 2]) for _ in range(halves)])
    cache = cache / f'{steps}_steps'
    cache.mkdir(parents=True, exist_ok=True)
    train_crops, test_crops = read_crops(train_folder, crops, 40, 2), read_crops(test_folder, 12, 180, 4)
    return Experiment(train_crops, test_crops, rows, seeds, steps, cache)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `experiment` needs to a command line."""
    parser.add_argument('--train', type=Path, default=Path('datasets/BSD400_gray'), help='folder of grey PNG images')
    parser.add_argument('--test', type=Path, default=Path('datasets/Set12'), help='folder of grey PNG images')
    parser.add_argument('--cache', type=Path, default=Path('results/influence_truth'), help='folder of the retrainings')
    parser.add_argument('--steps', type=int, default=STEPS, help=f'of each training ({STEPS})')
    parser.add_argument('--quick', action='store_true', help='fewer retrainings')


def main() -> int:
    """Build or complete the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    args = parser.parse_args()
    truth = experiment(args.train, args.test, args.cache, args.quick, args.steps)
    truth.full_networks()
    truth.losses()
    return 0


if __name__ == '__main__':
    sys.exit(main())
