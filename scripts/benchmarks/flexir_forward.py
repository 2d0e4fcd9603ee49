"""Forward pass of FlexIR against BasicSR's SwinIR with the same weights, in one run; exit code 1 below what is asked.

    python scripts/benchmarks/flexir_forward.py --sizes 128 256
    python scripts/benchmarks/flexir_forward.py --sizes 64 --train

The network is that of colour denoising: 6 RSTBs of depth 6, 180 channels, window 8. Both ratios asked are to SwinIR in
float32; SwinIR in bfloat16 is shown beside them. With --train, one training step with all branches active is compared
with the sum of its parts, student forward and backward with tails and teacher forward, each measured alone.
"""

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable

import basicsr_ext  # noqa: F401  first: it repairs BasicSR

# isort: split

import torch
from alternate import alternate, median_ratio, print_table
from basicsr.archs.swinir_arch import SwinIR

from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.losses.flexir_loss import ProgressiveDistillationLoss

FULL = {
    'upscale': 1, 'in_chans': 3, 'window_size': 8, 'img_range': 1.0, 'depths': [6] * 6, 'embed_dim': 180,
    'num_heads': [6] * 6, 'mlp_ratio': 2, 'upsampler': '', 'drop_path_rate': 0.0,
}  # fmt: skip
REFERENCE, FAST, HALF = "BasicSR's SwinIR, float32", 'FlexIR, float32', 'FlexIR, bfloat16'
STEP, PARTS = 'training step, all branches', ('student forward and backward', 'teacher forward')


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The time of a piece of work, waiting for the GPU if there is one."""
    start = time.perf_counter()
    work()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def timed(work: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """The same as a variant for `alternate`."""
    return lambda: seconds(work, device)


def forward(size: int, args: argparse.Namespace) -> bool:
    """Measure one size; whether the ratios are met and the images equal."""
    device = torch.device(args.device)
    reference = SwinIR(**FULL, img_size=size).eval().to(device)  # img_size: bfloat16 needs the mask in its buffer
    nets = [FlexIR(**FULL, img_size=size).eval().to(device) for _ in range(2)]
    for net in nets:
        net.load_state_dict(reference.state_dict())
    half = SwinIR(**FULL, img_size=size).eval().to(device)
    half.load_state_dict(reference.state_dict())
    half.bfloat16()
    nets[1].bfloat16()
    x = torch.rand(args.batch, 3, size, size, device=device)
    with torch.no_grad():
        difference = (reference(x) - nets[0](x)).abs().max().item()
        works: dict[str, Callable[[], object]] = {
            REFERENCE: lambda: reference(x),
            FAST: lambda: nets[0](x),
            "BasicSR's SwinIR, bfloat16": lambda: half(x.bfloat16()),
            HALF: lambda: nets[1](x.bfloat16()),
        }
        measured = alternate({name: timed(work, device) for name, work in works.items()}, args.rounds)
    print(f'{args.batch} x {size} x {size}, largest difference in float32 {difference:.2g}')
    print_table(measured, 's', REFERENCE)
    ratios = [median_ratio(measured, REFERENCE, name) for name in (FAST, HALF)]
    print(f'faster {ratios[0]:.2f} times (asked {args.ratio}) and {ratios[1]:.2f} times (asked {args.half_ratio})')
    return ratios[0] >= args.ratio and ratios[1] >= args.half_ratio and difference <= 1e-4


def training(size: int, args: argparse.Namespace) -> bool:
    """Measure a training step; whether it costs at most `step_ratio` times its parts."""
    device = torch.device(args.device)
    student = FlexIR(**FULL, img_size=size, channel_scoring=True).to(device).train()
    teacher = FlexIR(**FULL, img_size=size).to(device).eval().requires_grad_(False)
    optimizer, loss = torch.optim.Adam(student.parameters(), 1e-5), ProgressiveDistillationLoss()
    x, gt = torch.rand(2, args.batch, 3, size, size, device=device)

    def teach() -> torch.Tensor:
        with torch.no_grad():
            state = teacher.begin(x)
            for _ in range(teacher.num_branches):
                state = teacher.step(state)
        return state.feature

    def learn() -> None:
        student.zero_grad()
        sum(branch.image.mean() + branch.feature.mean() for branch in student(x)).backward()

    def step() -> None:
        optimizer.zero_grad()
        loss(student(x), gt, teach()).backward()
        optimizer.step()

    works: dict[str, Callable[[], object]] = {STEP: step, PARTS[0]: learn, PARTS[1]: teach}
    measured = alternate({name: timed(work, device) for name, work in works.items()}, args.rounds)
    print(f'training, {args.batch} x {size} x {size}')
    print_table(measured, 's', STEP)
    sums = [sum(parts) for parts in zip(*(measured[name] for name in PARTS), strict=True)]
    ratio = statistics.median(a / b for a, b in zip(measured[STEP], sums, strict=True))
    print(f'a step takes {ratio:.2f} times its parts (asked at most {args.step_ratio})')
    return ratio <= args.step_ratio


def main() -> None:
    """Read the command line, measure, leave with 1 if a ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', type=int, nargs='+', default=[128, 256])
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--train', action='store_true', help='measure a training step instead')
    parser.add_argument('--ratio', type=float, default=1.6, help='asked in float32')
    parser.add_argument('--half_ratio', type=float, default=3.0, help='asked in bfloat16')
    parser.add_argument('--step_ratio', type=float, default=1.25, help='asked of a training step')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    print(f'{torch.get_num_threads()} threads on {args.device}')
    met = [(training if args.train else forward)(size, args) for size in args.sizes]
    sys.exit(not all(met))


if __name__ == '__main__':
    main()
