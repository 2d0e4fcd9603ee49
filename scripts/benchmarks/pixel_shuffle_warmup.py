"""What a pixel-shuffled warm-up costs, in and after it, and what its permutations cost, in one run.

    python scripts/benchmarks/pixel_shuffle_warmup.py --folder datasets/BSD400

A training step is that of SwinIR-S (embed 96, 4 x 6 blocks) on 4 patches of 64 x 64, Adam and L1, with batches from the
loader without workers, so that all that the warm-up does counts. Batches are timed apart from steps, because the noise
of a step is larger than the whole warm-up. The floor of the permutations is `torch.rand(16, 3, 4096).argsort(-1)`, the
direct form of the paper's Algorithm 1. Ends with 1 if the warm-up costs more than 3 % of a step, if the wrapper costs
more than 0.3 % of a step after it, or if drawing takes more than half the time of the floor.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import torch
from alternate import alternate, median_ratio, print_table
from basicsr.archs import build_network
from basicsr.data import build_dataset

from basicsr_ext.data.pixel_shuffle import draw_permutations
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng
from basicsr_ext.training.loader import build_train_loader, build_warmup

SWINIR_S = {
    'type': 'SwinIR', 'upscale': 1, 'in_chans': 3, 'img_size': 64, 'window_size': 8, 'img_range': 1.0,
    'depths': [6, 6, 6, 6], 'embed_dim': 96, 'num_heads': [6, 6, 6, 6], 'mlp_ratio': 2, 'upsampler': '',
    'resi_connection': '1conv',
}  # fmt: skip


def batches(folder: Path, stop: int | None) -> Iterator[dict[str, Any]]:
    """Batches of 4 patches; a warm-up of `stop` iterations, None for no wrapper."""
    inner = {
        'type': 'GaussianDenoisingDataset',
        'dataroot_gt': str(folder),
        'sigma': 50,
        'gt_size': 64,
        'cache': True,
    }
    block = inner if stop is None else {'type': 'PixelShuffleWarmupDataset', 'stop': {'iter': stop}, 'dataset': inner}
    block = {'name': 'train', 'phase': 'train', 'scale': 1, 'batch_size_per_gpu': 4, **block}
    opt = {
        'dist': False, 'rank': 0, 'world_size': 1, 'num_gpu': 0, 'manual_seed': 0, 'datasets': {'train': block},
        'train': {'total_iter': 10**6},
    }  # fmt: skip
    dataset = build_dataset(block)
    return iter(build_train_loader(dataset, opt, 0, build_warmup(dataset, opt)))


def clocked(work: Callable[[], object], repeats: int) -> Callable[[], float]:
    """Milliseconds of one call, the median of several."""

    def run() -> float:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times)

    return run


def training_step(feed: Iterator[dict[str, Any]]) -> Callable[[], object]:
    """Forward, backward and Adam on the next batch."""
    net = build_network(dict(SWINIR_S))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)

    def step() -> None:
        batch = next(feed)
        optimizer.zero_grad()
        torch.nn.functional.l1_loss(net(batch['lq']), batch['gt']).backward()
        optimizer.step()

    return step


def draw_batch() -> object:
    """The permutations of 16 patches of 3 x 64 x 64, each with its own generator."""
    moments = (ScheduledIndex(0, 0, 1, position, True) for position in range(16))
    return [draw_permutations(sample_rng(moment, 'shuffle'), 3, 4096) for moment in moments]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--folder', type=Path, required=True, help='images to train on')
    parser.add_argument('--rounds', type=int, default=7)
    args = parser.parse_args()

    plain, shuffled, over = (batches(args.folder, stop) for stop in (None, 10**6, 0))
    measured = alternate(
        {
            'step of SwinIR-S, no wrapper': clocked(training_step(batches(args.folder, None)), 1),
            'batch, no wrapper': clocked(lambda: next(plain), 20),
            'batch in the warm-up': clocked(lambda: next(shuffled), 20),
            'batch after the warm-up': clocked(lambda: next(over), 20),
            'torch.rand(16, 3, 4096).argsort(-1)': clocked(lambda: torch.rand(16, 3, 4096).argsort(-1), 20),
            'permutations of 16 x 3 x 64 x 64': clocked(draw_batch, 20),
        },
        args.rounds,
    )
    print_table(measured, 'ms', 'step of SwinIR-S, no wrapper')
    step = statistics.median(measured['step of SwinIR-S, no wrapper'])
    base = statistics.median(measured['batch, no wrapper'])
    inside, after = (
        (statistics.median(measured[f'batch {when} the warm-up']) - base) / step for when in ('in', 'after')
    )
    drawing = median_ratio(measured, 'permutations of 16 x 3 x 64 x 64', 'torch.rand(16, 3, 4096).argsort(-1)')
    print(f'in the warm-up a step costs {100 * inside:+.3f} % (at most 3), after it {100 * after:+.3f} % (at most 0.3)')
    print(f'permutations against argsort: {drawing:.3f} (at most 0.5)')
    return int(inside > 0.03 or after > 0.003 or drawing > 0.5)


if __name__ == '__main__':
    sys.exit(main())
