"""Batched early exits next to the paper's loop over regions, in one run.

    python scripts/benchmarks/adaptive_inference.py

FlexIR of the paper's size (embed 180, 6 x 6 blocks, window 8) with random weights restores the 16 regions of 64 x 64 of
a 256 x 256 image, from flat to rough. The loop is Algorithm 2 of the paper: one region after the other, branch by
branch, with BasicSR's own layers; it is also measured with the faster layers that the batch uses, and the batch in
bfloat16. All have the same weights, the same score and the same thresholds: -inf, with which all regions leave at the
first exit; one with which regions leave at different exits; inf, with which all go through to the last. Ends with 1 if
at any threshold the batch in float32 is not 3 times as fast as the loop, or if its images or exits differ.
"""

import argparse
import math
import statistics
import sys
from copy import deepcopy

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import torch
from alternate import alternate, median_ratio, print_table, seconds
from torch import Tensor

from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.inference import AdaptiveSettings, InferenceSettings, restore
from basicsr_ext.inference.exit_scores import sharpness

SIDE, REGION = 256, 64
BATCHED, HALF, LOOP, FAST_LOOP = (
    'batched',
    'batched, bfloat16',
    "the paper's loop, BasicSR's layers",
    'the same loop, fast layers',
)
FACTOR = 3
TOLERANCE = 1e-4
EXITS = ('first', 'different', 'last')


def flexir(embed_dim: int, depth: int) -> tuple[FlexIR, FlexIR]:
    """The same network with fast and with BasicSR's layers; random, its exits made to differ."""
    torch.manual_seed(0)
    options = {
        'img_size': REGION, 'in_chans': 3, 'embed_dim': embed_dim, 'depths': [depth] * 6, 'num_heads': [6] * 6,
        'window_size': 8, 'mlp_ratio': 2, 'upscale': 1, 'upsampler': '',
    }  # fmt: skip
    fast, plain = FlexIR(**options).eval(), FlexIR(**options, plain=True).eval()
    with torch.no_grad():
        for number, tail in enumerate(fast.tails):
            tail.conv_last.weight.normal_(std=0.002 * (number + 1))
    plain.load_state_dict(fast.state_dict())
    return fast, plain


def image() -> Tensor:
    """Noise whose contrast grows from region to region."""
    number = SIDE // REGION
    contrast = torch.linspace(0.02, 0.5, number**2).view(number, number)
    contrast = contrast.repeat_interleave(REGION, 0).repeat_interleave(REGION, 1)
    return 0.5 + contrast * (torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) - 0.5)


@torch.no_grad()
def loop(net: FlexIR, whole: Tensor, threshold: float) -> tuple[Tensor, list[int]]:
    """Algorithm 2, adaptive."""
    result, exits = torch.empty_like(whole), []
    for top in range(0, SIDE, REGION):
        for left in range(0, SIDE, REGION):
            place = (..., slice(top, top + REGION), slice(left, left + REGION))
            state = net.begin(whole[place])
            while state.depth < net.num_branches:
                state = net.step(state)
                restored = net.restore(state)
                if sharpness(restored, restored).item() > threshold:
                    break
            result[place] = restored
            exits.append(state.depth)
    return result, exits


@torch.no_grad()
def middle_threshold(net: FlexIR, whole: Tensor) -> float:
    """The median of the scores of all regions at all exits but the last."""
    scores = []
    for pointer in range(1, net.num_branches):
        restored = restore(net, whole, InferenceSettings(region_size=REGION, pointer=pointer)).image
        regions = restored.unfold(2, REGION, REGION).unfold(3, REGION, REGION).flatten(2, 3)[0].transpose(0, 1)
        scores += sharpness(regions, regions).tolist()
    return statistics.median(scores)


def compare(fast: FlexIR, plain: FlexIR, threshold: float, rounds: int) -> bool:
    """Measure one threshold; whether the batch is fast enough and equals the loops."""
    whole, results = image(), {}
    settings = InferenceSettings(region_size=REGION, adaptive=AdaptiveSettings(threshold))

    def batch() -> None:
        restored = restore(fast, whole, settings)
        results[BATCHED] = restored.image, restored.exits.flatten().tolist()

    def one_by_one(name: str, net: FlexIR) -> None:
        results[name] = loop(net, whole, threshold)

    half = deepcopy(fast).bfloat16()
    variants = {
        BATCHED: seconds(batch),
        HALF: seconds(lambda: restore(half, whole, settings)),
        LOOP: seconds(lambda: one_by_one(LOOP, plain)),
        FAST_LOOP: seconds(lambda: one_by_one(FAST_LOOP, fast)),
    }
    measured = alternate(variants, rounds)
    restored, exits = results[BATCHED]
    differences = [(restored - results[name][0]).abs().max().item() for name in (LOOP, FAST_LOOP)]
    equal = max(differences) < TOLERANCE and exits == results[LOOP][1] == results[FAST_LOOP][1]
    print(f'threshold {threshold:.4g}: exits {exits}, largest difference {max(differences):.1e}, equal: {equal}')
    print_table(measured, 'seconds', BATCHED)
    return equal and median_ratio(measured, LOOP, BATCHED) >= FACTOR


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--embed_dim', type=int, default=180)
    parser.add_argument('--depth', type=int, default=6, help='blocks an RSTB')
    parser.add_argument('--exits', nargs='+', choices=EXITS, default=EXITS, help='which thresholds')
    args = parser.parse_args()
    fast, plain = flexir(args.embed_dim, args.depth)
    print(f'FlexIR {args.embed_dim}, 6 x {args.depth}, {torch.get_num_threads()} threads')
    thresholds = {'first': -math.inf, 'last': math.inf}
    if 'different' in args.exits:
        thresholds['different'] = middle_threshold(fast, image())
    results = [compare(fast, plain, thresholds[name], args.rounds) for name in args.exits]
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
