"""Overhead of the training loop per iteration: this package's against a bare loop and BasicSR's, in one run.

    python scripts/benchmarks/loop.py --folder datasets/BSD400_gray

All train IRCNN with Adam and L1 on the same kind of batches. The floor is a bare loop: next batch, zero_grad, forward,
loss, backward, step. An iteration is timed from one `feed_data` to the next, so that everything between counts.

What a loop adds does not grow with the batch, and beside a real batch it drowns in the noise of the machine. So the
loops are compared on a batch of one patch of 8 x 8 pixels, and the difference to the floor is given in per cent of the
bare iteration on the real batch.
"""

import argparse
import contextlib
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import basicsr.train
import torch
import yaml
from alternate import alternate
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY

from basicsr_ext.jobs.train import train_pipeline
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.training.loader import build_train_loader


class Clock:
    """Moments at which a batch was fed."""

    moments: ClassVar[list[float]] = []

    def feed_data(self, data: Any) -> None:
        """Note the moment."""
        self.moments.append(time.perf_counter())
        super().feed_data(data)  # type: ignore[misc]

    @classmethod
    def take(cls) -> float:
        """The median time between two moments in milliseconds; forgets them."""
        periods = [1000 * (b - a) for a, b in zip(cls.moments, cls.moments[1:], strict=False)]
        cls.moments.clear()
        return statistics.median(periods)


@MODEL_REGISTRY.register()
class TimedRestorationModel(Clock, RestorationModel):
    """RestorationModel with a clock."""


@MODEL_REGISTRY.register()
class TimedSRModel(Clock, SRModel):
    """SRModel with a clock."""


def options(args: argparse.Namespace, model: str, patch: int, batch: int) -> dict[str, Any]:
    """An option file that both loops run."""
    return {
        'name': 'loop',
        'model_type': model,
        'num_gpu': 0,
        'manual_seed': 0,
        'scale': 1,
        'datasets': {
            'train': {
                'name': 'train',
                'type': 'GaussianDenoisingDataset',
                'dataroot_gt': str(args.folder.resolve()),
                'color': 'gray',
                'sigma': 25,
                'gt_size': patch,
                'cache': True,
                'num_worker_per_gpu': 0,
                'batch_size_per_gpu': batch,
            }
        },
        'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1},
        'path': {'pretrain_network_g': None, 'resume_state': None},
        'train': {
            'total_iter': args.iterations,
            'optim_g': {'type': 'Adam', 'lr': 1e-4},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [10**6]},
            'pixel_opt': {'type': 'L1Loss'},
        },
        'logger': {'print_freq': 100, 'save_checkpoint_freq': 10**6, 'use_tb_logger': False},
    }


def loop(args: argparse.Namespace, model: str, pipeline: Callable[[str], object]) -> Callable[[], float]:
    """Run a pipeline on an option file in a folder of its own; milliseconds per iteration."""

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, 'loop.yml')
            file.write_text(yaml.safe_dump(options(args, model, 8, 1)))
            sys.argv = ['loop.py', '-opt', str(file)]
            with contextlib.redirect_stdout(None):
                pipeline(folder)
        return Clock.take()

    return run


def bare(args: argparse.Namespace, patch: int, batch: int) -> Callable[[], float]:
    """The floor; milliseconds per iteration."""
    opt = {**options(args, '', patch, batch), 'dist': False, 'rank': 0, 'world_size': 1}
    dataset = build_dataset({**opt['datasets']['train'], 'phase': 'train'})

    def run() -> float:
        net = build_network(opt['network_g'])
        optimizer = torch.optim.Adam(net.parameters(), 1e-4)
        for sample in build_train_loader(dataset, opt, 0):
            Clock.moments.append(time.perf_counter())
            optimizer.zero_grad()
            torch.nn.functional.l1_loss(net(sample['lq']), sample['gt']).backward()
            optimizer.step()
        return Clock.take()

    return run


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, required=True, help='folder of images, such as BSD400_gray')
    parser.add_argument('--patch', type=int, default=64)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--iterations', type=int, default=100, help='of each variant in a round')
    parser.add_argument('--rounds', type=int, default=9)
    args = parser.parse_args()
    logging.getLogger('basicsr').setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    real, floor = f'bare loop, batch {args.batch}, patch {args.patch}', 'bare loop'
    variants = {
        real: bare(args, args.patch, args.batch),
        floor: bare(args, 8, 1),
        'this loop, RestorationModel': loop(args, 'TimedRestorationModel', train_pipeline),
        "BasicSR's loop, RestorationModel": loop(args, 'TimedRestorationModel', basicsr.train.train_pipeline),
        "BasicSR's loop, SRModel": loop(args, 'TimedSRModel', basicsr.train.train_pipeline),
    }
    measured = alternate(variants, args.rounds)
    print(f'IRCNN, {args.folder}, {torch.get_num_threads()} threads; batch 1, patch 8 where not said')
    print(f'{"variant":<40}{"ms/iteration":>14}{"overhead ms":>13}{"of a real iteration":>21}')
    for name, values in measured.items():
        added = statistics.median(a - b for a, b in zip(values, measured[floor], strict=True)) if name != real else 0
        share = added / statistics.median(measured[real])
        print(f'{name:<40}{statistics.median(values):14.2f}{added:13.2f}{share:21.2%}')


if __name__ == '__main__':
    main()
