"""Floating-point operations of trainings, and the hours they take at a rate that was measured.

    python scripts/benchmarks/training_hours.py options/train/Restormer/*.yml --rate 19e12

Counts a patch of each option file, a part of it where it is large, times patches and iterations. Forward and backward
count three times a pass forward, the teacher of FlexIR once. `--measure` times that on this machine and takes its rate.
With the data in place `python -m basicsr_ext compare -opt FILE --sets full --dry-run` says more exactly what a training
takes.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr.archs import build_network

from basicsr_ext.networks.described import input_channels
from basicsr_ext.options.dataset_blocks import walk_blocks
from basicsr_ext.options.load import load_options

LARGEST = 64  # side of the patch that is counted, in pixels of the input
MINED = 96  # side of the patches that options/mine lists
HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """What a training costs.

    Attributes:
        patch: floating-point operations of a patch, forward and backward.
        patches: of an iteration.
        iterations: of the training.
        seconds: that the counted part of a patch took here, scaled as its operations.
    """

    patch: float
    patches: int
    iterations: int
    seconds: float

    @property
    def total(self) -> float:
        """Floating-point operations of the training."""
        return self.patch * self.patches * self.iterations


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('files', nargs='+', metavar='FILE', help='option files that train')
    parser.add_argument('--rate', type=float, default=None, help='floating-point operations per second')
    parser.add_argument('--measure', action='store_true', help='take the rate of one patch on this machine')
    args = parser.parse_args()
    print('| option file | patches | iterations | TFLOP per iteration | hours |', '|---|---|---|---|---|', sep='\n')
    for path in args.files:
        cost = cost_of(load_options(path))
        rate = cost.patch / cost.seconds if args.measure else args.rate
        hours = f'{cost.total / rate / HOUR:.3g}' if rate else ''
        name = path.rpartition('/')[2].removesuffix('.yml')
        each = cost.patch * cost.patches / 1e12
        print(f'| {name} | {cost.patches} | {cost.iterations} | {each:.3g} | {hours} |', flush=True)
    return 0


def cost_of(opt: dict[str, Any]) -> Cost:
    """Count the training of an option file."""
    train, block = opt['train'], opt['network_g']
    loader = opt['datasets']['train']
    net = build_network(dict(block))
    side = patch_of(loader) // int(opt.get('scale', 1))
    counted = min(side, LARGEST)
    factor = (side / counted) ** 2
    image = torch.zeros(1, input_channels(net, block), counted, counted)
    forward, seconds = flops_of(net, image)
    has_teacher = opt['model_type'] == 'FlexIRModel' and train.get('distillation_opt', {}).get('alpha', 1)
    passes = 4 if has_teacher else 3
    patches = int(loader['batch_size_per_gpu']) * int(train.get('accum_iter', 1))
    return Cost(factor * passes * forward, patches, int(train['total_iter']), factor * seconds)


def flops_of(net: torch.nn.Module, image: torch.Tensor) -> tuple[float, float]:
    """Operations of a pass forward, twice a multiply-accumulate, and the seconds of one forward and backward."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    began = time.perf_counter()
    outputs = net(image)
    images = [getattr(each, 'image', each) for each in (outputs if isinstance(outputs, list) else [outputs])]
    torch.stack([each.mean() for each in images]).sum().backward()
    return float(counter.get_total_flops()), time.perf_counter() - began


def patch_of(block: dict[str, Any]) -> int:
    """The side of a training patch in the ground truth; of mined patches, which name none, that of Soh and Cho."""
    sizes = [inner['gt_size'] for inner, _ in walk_blocks(block, '') if inner.get('gt_size')]
    return int(sizes[0]) if sizes else MINED


if __name__ == '__main__':
    sys.exit(main())
