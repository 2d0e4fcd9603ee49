"""Seconds of a training step: RestorationModel in its precisions and layouts against SRModel and others' settings.

    python scripts/benchmarks/training_step.py

Networks for the CPU: IRCNN, EDSR and SwinIR-light for super-resolution by two, a small Restormer. A step is `feed_data`
and `optimize_parameters` on one made-up batch: Adam, the L1 loss, an averaged network. BasicSR's `SRModel` is the peer.
traiNNer-redux and neosr do not train on a CPU as a whole (neosr names CUDA in its code, traiNNer-redux's scaler does);
what their templates for SwinIR set (traiNNer-redux 6862931, neosr 31c7022) is written here as a bare loop: both bf16
and channels-last, neosr also a scaler, clipping and an output in the range of the images. What is not a matter of speed
(their optimisers and losses) is as in the others. Each variant begins with steps that do not count, the compiled ones
with their compilation.
"""

import argparse
import copy
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import torch
from alternate import alternate, print_table
from basicsr.archs import build_network
from basicsr.models import build_model
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Block = dict[str, Any]
DECAY = 0.999
SR = 'BasicSR: SRModel'


@dataclass(frozen=True)
class Case:
    """A network and its batch.

    Attributes:
        network: `network_g`.
        batch: images.
        size: of the input.
        channels: of the images.
        scale: of the output.
    """

    network: Block
    batch: int
    size: int
    channels: int = 3
    scale: int = 1

    def images(self) -> dict[str, Tensor]:
        """A batch of noise."""
        generator = torch.Generator().manual_seed(0)
        sides = {'lq': self.size, 'gt': self.size * self.scale}
        return {
            key: torch.rand(self.batch, self.channels, side, side, generator=generator) for key, side in sides.items()
        }


CASES = {
    'IRCNN': Case({'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1}, batch=8, size=64, channels=1),
    'EDSR': Case(
        {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 64, 'num_block': 16, 'upscale': 2},
        batch=4,
        size=48,
        scale=2,
    ),
    'SwinIR-light': Case(
        {
            'type': 'SwinIR',
            'upscale': 2,
            'in_chans': 3,
            'img_size': 64,
            'window_size': 8,
            'img_range': 1.0,
            'depths': [6, 6, 6, 6],
            'embed_dim': 60,
            'num_heads': [6, 6, 6, 6],
            'mlp_ratio': 2,
            'upsampler': 'pixelshuffledirect',
            'resi_connection': '1conv',
        },
        batch=1,
        size=64,
        scale=2,
    ),
    'Restormer (small)': Case(
        {'type': 'Restormer', 'dim': 24, 'num_blocks': [1, 2, 2, 2], 'num_refinement_blocks': 1, 'heads': [1, 2, 4, 8]},
        batch=2,
        size=64,
    ),
}


def by_model(case: Case, model: str, steps: int, **flags: Any) -> Callable[[], float]:
    """Seconds of a step of a model of BasicSR's registry."""
    opt: Block = {
        'name': 'step',
        'model_type': model,
        'num_gpu': 0,
        'dist': False,
        'rank': 0,
        'world_size': 1,
        'is_train': True,
        'scale': case.scale,
        'manual_seed': 0,
        'datasets': {'train': {'batch_size_per_gpu': case.batch}},
        'network_g': copy.deepcopy(case.network),
        'path': {'pretrain_network_g': None, 'resume_state': None},
        'train': {
            'total_iter': 10**6,
            'ema_decay': DECAY,
            'optim_g': {'type': 'Adam', 'lr': 1e-4},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [10**6]},
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
        },
        **flags,
    }
    trained, images = build_model(opt), case.images()

    def run() -> float:
        start = time.perf_counter()
        for iteration in range(1, steps + 1):
            trained.feed_data(images)
            trained.optimize_parameters(iteration)
        return (time.perf_counter() - start) / steps

    return run


def bare(case: Case, steps: int, *, neosr: bool) -> Callable[[], float]:
    """Seconds of a step as neosr or traiNNer-redux sets it."""
    net: nn.Module = build_network(copy.deepcopy(case.network)).to(memory_format=torch.channels_last)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)
    scaler = torch.amp.GradScaler('cpu', enabled=neosr, init_scale=2.0**5)
    images = case.images()

    def step() -> None:
        lq, gt = (image.to(memory_format=torch.channels_last) for image in images.values())
        with torch.autocast('cpu', torch.bfloat16):
            output = net(lq)
            if neosr:
                output, gt = output.clamp(1 / 255, 1), gt.clamp(1 / 255, 1)
            loss = functional.l1_loss(output, gt)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        if neosr:
            nn.utils.clip_grad_norm_(net.parameters(), 1)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        average.update_parameters(net)

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return (time.perf_counter() - start) / steps

    return run


def variants(case: Case, steps: int, compiled: bool) -> dict[str, Callable[[], float]]:
    """All that are compared on a network."""
    bfloat16 = {'use_amp': True, 'amp_bf16': True}

    def ours(**flags: Any) -> Callable[[], float]:
        return by_model(case, 'RestorationModel', steps, **flags)

    found = {
        SR: by_model(case, 'SRModel', steps),
        'RestorationModel': ours(),
        'RestorationModel, channels_last': ours(use_channels_last=True),
        'RestorationModel, bf16': ours(**bfloat16),
        'RestorationModel, bf16, channels_last': ours(**bfloat16, use_channels_last=True),
        "traiNNer-redux's settings": bare(case, steps, neosr=False),
        "neosr's settings": bare(case, steps, neosr=True),
    }
    if compiled:
        found['RestorationModel, compile'] = ours(use_compile=True)
        found['RestorationModel, bf16, channels_last, compile'] = ours(
            **bfloat16, use_channels_last=True, use_compile=True
        )
    return found


def main() -> int:
    """Read the command line, measure, print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--network', choices=list(CASES), nargs='+', default=list(CASES))
    parser.add_argument('--steps', type=int, default=3, help='of each variant in a round')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--no-compile', action='store_true', help='without the compiled variants')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    for name in args.network:
        case = CASES[name]
        measured = alternate(variants(case, args.steps, not args.no_compile), args.rounds)
        print(
            f'{name}, batch {case.batch} x {case.channels} x {case.size} x {case.size}, '
            f'{torch.get_num_threads()} threads, {args.rounds} rounds of {args.steps} steps'
        )
        print_table({key: [1000 * value for value in values] for key, values in measured.items()}, 'ms/step', SR)
        sys.stdout.flush()
    return 0


if __name__ == '__main__':
    sys.exit(main())
