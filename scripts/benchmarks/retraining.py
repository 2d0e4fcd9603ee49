"""The truth that influence estimates are measured against: tiny networks retrained on many random halves of their data.

IRCNN's layout with 16 channels and 4 convolutions (4,945 parameters in grey) on 48 crops of 40 x 40 pixels that the
network sees, L1 loss, full-batch Adam. Three tasks: noise of sigma 25, which belongs to the crop, on grey and on colour
images, and pairs for super-resolution by two, bicubic as in MATLAB. Random half j with seed s gives the test loss of a
network that saw only that half; a good influence predicts the order of those losses (Park et al., "TRAK", 2023,
Definition 2.3: the linear datamodelling score).
"""

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import cv2
import numpy as np
import torch
from basicsr.utils.matlab_functions import imresize
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.runtime.spread import spread_to_ends

DILATIONS = (1, 2, 2, 1)
WIDTH = 16
SIGMA = 25 / 255
STEPS = 300
HALVES = 64
SUFFIXES = ('.png', '.jpg', '.bmp')
CROPS, SIZE = 48, 40  # of training, as the network sees them
TEST_CROPS, TEST_SIZE = 12, 180  # of the test images


@dataclass(frozen=True)
class Task:
    """What a network restores.

    Attributes:
        train, test: folders of images below that of all data.
        channels: 1 or 3.
        scale: 1 for noise, else that of super-resolution.
    """

    train: str
    test: str
    channels: int
    scale: int


TASKS = {
    'gray': Task('BSD400_gray', 'Set12', channels=1, scale=1),
    'color': Task('BSD400', 'CBSD68', channels=3, scale=1),
    'sr': Task('BSD400', 'Set14', channels=3, scale=2),
}


@dataclass(frozen=True)
class Crops:
    """Pairs: gt (N, C, S, S) and lq (N, C, S / scale, S / scale) in [0, 1]."""

    gt: Tensor
    lq: Tensor

    def __getitem__(self, rows: Tensor) -> 'Crops':
        return Crops(self.gt[rows], self.lq[rows])


class TinyRestorer(nn.Module):
    """Four dilated convolutions that estimate what is wrong, He initialisation (He et al., 2015), zero at the end."""

    def __init__(self, task: Task, seed: int) -> None:
        super().__init__()
        self.scale = task.scale
        widths = [task.channels, *[WIDTH] * (len(DILATIONS) - 1), task.channels * task.scale**2]
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
        """Restore (N, C, H, W) to (N, C, scale * H, scale * W)."""
        wrong = self.model(x).to(x.dtype)
        if self.scale == 1:
            return x - wrong
        larger = functional.interpolate(x, scale_factor=self.scale, mode='bilinear')
        return larger - functional.pixel_shuffle(wrong, self.scale)


def read_crops(folder: Path, task: Task, number: int, size: int, seed: int) -> Crops:
    """One random crop of each of `number` images spread evenly over a folder, as pairs.

    Args:
        folder: of images.
        task: what is made of them.
        number: of crops.
        size: of a clean crop.
        seed: of places and noise.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if len(paths) < number:
        raise SystemExit(f'{folder}: expected at least {number} images, got {len(paths)}. Correct the path.')
    rng = np.random.default_rng(seed)
    crops = []
    for place in spread_to_ends(number, len(paths)):
        image = cv2.imread(str(paths[place]), cv2.IMREAD_GRAYSCALE if task.channels == 1 else cv2.IMREAD_COLOR)
        top, left = (rng.integers(side - size, endpoint=True) for side in image.shape[:2])
        crop = image[top : top + size, left : left + size].reshape(size, size, task.channels)
        crops.append(np.ascontiguousarray(crop[..., ::-1]).astype(np.float32) / 255)
    gt = torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).copy())
    if task.scale > 1:
        small = np.stack([imresize(crop, 1 / task.scale) for crop in crops]).transpose(0, 3, 1, 2)
        return Crops(gt, torch.from_numpy((small * 255).round().clip(0, 255).astype(np.float32) / 255))
    noise = torch.from_numpy(rng.standard_normal(gt.shape, dtype=np.float32))
    return Crops(gt, gt + SIGMA * noise)


def train(crops: Crops, task: Task, seed: int, steps: int, rate: float = 5e-3) -> TinyRestorer:
    """Full-batch Adam on the mean L1 loss, one-cycle rate that ends at zero; three quarters of it in bfloat16."""
    net = TinyRestorer(task, seed).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), rate, betas=(0.9, 0.99))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1, cycle_momentum=False)
    for step in range(steps):
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=step < 0.75 * steps):
            output = net(crops.lq)
        (output - crops.gt).abs().mean().backward()
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
        task: what the networks restore.
        train, test: crops of the training and the test images.
        halves: number of halves x 24 indices of training crops.
        seeds: number of seeds.
        steps: of each training.
        cache: folder of the results, one file per training.
    """

    task: Task
    train: Crops
    test: Crops
    halves: np.ndarray
    seeds: int
    steps: int
    cache: Path

    def full_networks(self) -> list[TinyRestorer]:
        """One network per seed, trained on all crops: what influence is computed at."""
        rows = np.arange(len(self.train.gt))
        return [self.network(self.cache / f'full_{seed}.pth', rows, seed) for seed in range(self.seeds)]

    def network(self, path: Path, rows: np.ndarray, seed: int) -> TinyRestorer:
        """The network that was trained on some crops; trained now where its file is not there."""
        net = TinyRestorer(self.task, seed)
        if not path.is_file():
            trained = train(self.train[torch.from_numpy(rows)], self.task, seed, self.steps)
            with atomic_open(path) as file:
                torch.save(trained.state_dict(), file)
        net.load_state_dict(torch.load(path, weights_only=True))
        return net

    def loss_of(self, half: int, seed: int) -> float:
        """Test loss of a network that saw one half alone."""
        path = self.cache / f'half_{half:03d}_{seed}.pth'
        return test_loss(self.network(path, self.halves[half], seed), self.test)

    def losses(self) -> np.ndarray:
        """Test loss of every retraining, (seeds, halves); what is cached is not done again.

        A process for each core, each with one thread: the crops are too few to share out.
        """
        jobs = [(half, seed) for half in range(len(self.halves)) for seed in range(self.seeds)]
        fresh = multiprocessing.get_context('spawn')
        with ProcessPoolExecutor(os.cpu_count(), fresh, torch.set_num_threads, (1,)) as pool:
            found = pool.map(self.loss_of, *zip(*jobs, strict=True))
            losses = list(tqdm(found, 'Retraining on halves', len(jobs), disable=None))
        return np.array(losses).reshape(len(self.halves), self.seeds).T


def experiment(name: str, data: Path, cache: Path, quick: bool, halves: int = HALVES, steps: int = STEPS) -> Experiment:
    """So many halves x 5 seeds of the crops of a task; `quick`: the first 24 halves and 2 seeds of them."""
    task, halves, seeds = TASKS[name], (24 if quick else halves), (2 if quick else 5)
    rng = np.random.default_rng(1)
    rows = np.stack([np.sort(rng.permutation(CROPS)[: CROPS // 2]) for _ in range(halves)])
    cache = cache / f'{name}_{steps}_steps'
    cache.mkdir(parents=True, exist_ok=True)
    train_crops = read_crops(data / task.train, task, CROPS, SIZE * task.scale, 2)
    test_crops = read_crops(data / task.test, task, TEST_CROPS, TEST_SIZE, 4)
    return Experiment(task, train_crops, test_crops, rows, seeds, steps, cache)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `experiment` needs to a command line."""
    parser.add_argument('--task', choices=list(TASKS), default='gray', help='what is restored (gray)')
    parser.add_argument('--data', type=Path, default=Path('datasets'), help='folder of BSD400 and the test sets')
    parser.add_argument('--cache', type=Path, default=Path('results/influence_truth'), help='folder of the retrainings')
    parser.add_argument('--halves', type=int, default=HALVES, help=f'random halves of the training crops ({HALVES})')
    parser.add_argument('--steps', type=int, default=STEPS, help=f'of each training ({STEPS})')
    parser.add_argument('--quick', action='store_true', help='fewer retrainings')


def main() -> int:
    """Build or complete the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    args = parser.parse_args()
    truth = experiment(args.task, args.data, args.cache, args.quick, args.halves, args.steps)
    truth.full_networks()
    truth.losses()
    return 0


if __name__ == '__main__':
    sys.exit(main())
