"""Samples per second: this package's loader and datasets against BasicSR's on the same folder, in one run.

    python scripts/benchmarks/loader.py --folder datasets/BSD400

The peer is BasicSR's PairedImageDataset under BasicSR's loader, which reads a clean and a degraded file for a sample
(here the same file twice). Stricter rows compare equal work: the same stock dataset under this package's loader, and
this package's dataset under BasicSR's loader. The cache of decoded images stands beside both datasets on BasicSR's LMDB
(PNG, as its `create_lmdb.py` writes).
"""

import argparse
import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from alternate import alternate, print_table
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils.lmdb_util import make_lmdb_from_imgs

from basicsr_ext.training.loader import build_train_loader

Block = dict[str, Any]


def pack(folder: Path, database: Path) -> None:
    """Write the images of a folder to an LMDB as BasicSR does."""
    names = sorted(path.name for path in folder.iterdir())
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        make_lmdb_from_imgs(str(folder), str(database), names, [Path(name).stem for name in names])


def blocks(args: argparse.Namespace, database: Path) -> dict[str, Block]:
    """The dataset blocks to compare."""
    common = {
        'name': 'benchmark',
        'phase': 'train',
        'scale': 1,
        'dataroot_gt': str(args.folder),
        'io_backend': {'type': 'disk'},
        'gt_size': args.patch,
        'use_hflip': True,
        'use_rot': True,
        'num_worker_per_gpu': args.workers,
        'batch_size_per_gpu': args.batch,
    }
    denoising = {**common, 'type': 'GaussianDenoisingDataset', 'sigma': 25, 'color': 'rgb'}
    pairs = {**common, 'dataroot_lq': str(args.folder)}
    packed = {'dataroot_gt': str(database), 'io_backend': {'type': 'lmdb'}}
    return {
        'stock': {**pairs, 'type': 'PairedImageDataset'},
        'stock, packed': {**pairs, **packed, 'dataroot_lq': str(database), 'type': 'PairedImageDataset'},
        'ours': denoising,
        'packed': {**denoising, **packed},
        'cached': {**denoising, 'cache': True},
    }


def ours(block: Block, samples: int) -> Callable[[], float]:
    """Samples per second of a dataset under this package's loader; the dataset is built once."""
    dataset = build_dataset(block)
    iterations = samples // block['batch_size_per_gpu']
    opt = {
        'dist': False,
        'num_gpu': 0,
        'rank': 0,
        'world_size': 1,
        'manual_seed': 0,
        'datasets': {'train': block},
        'train': {'total_iter': iterations},
    }
    return lambda: rate(iter(build_train_loader(dataset, opt, 0)), iterations, block)


def basicsr(block: Block, samples: int) -> Callable[[], float]:
    """The same under BasicSR's sampler and loader, epoch by epoch as its training loop does."""
    dataset = build_dataset(block)

    def batches() -> Iterator[Any]:
        sampler = EnlargedSampler(dataset, 1, 0, 1)
        loader = build_dataloader(dataset, block, num_gpu=0, dist=False, sampler=sampler, seed=0)
        for epoch in range(10**6):
            sampler.set_epoch(epoch)
            yield from loader

    return lambda: rate(batches(), samples // block['batch_size_per_gpu'], block)


def rate(batches: Iterator[Any], iterations: int, block: Block) -> float:
    """Samples per second over a number of batches, the start of the workers included."""
    began = time.perf_counter()
    for _ in range(iterations):
        next(batches)
    return iterations * block['batch_size_per_gpu'] / (time.perf_counter() - began)


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, required=True, help='folder of colour images, such as BSD400')
    parser.add_argument('--patch', type=int, default=64, help='gt_size')
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--samples', type=int, default=800, help='of each variant in a round')
    parser.add_argument('--rounds', type=int, default=15)
    args = parser.parse_args()
    logging.getLogger('basicsr').setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, 'images.lmdb')
        pack(args.folder, database)
        measure(args, blocks(args, database))


def measure(args: argparse.Namespace, block: dict[str, Block]) -> None:
    """Print the table."""
    peer = 'BasicSR: PairedImageDataset, loader'
    variants = {
        peer: basicsr(block['stock'], args.samples),
        'this loader, PairedImageDataset': ours(block['stock'], args.samples),
        'BasicSR: PairedImageDataset from LMDB, loader': basicsr(block['stock, packed'], args.samples),
        'this loader, PairedImageDataset from LMDB': ours(block['stock, packed'], args.samples),
        'GaussianDenoisingDataset, BasicSR loader': basicsr(block['ours'], args.samples),
        'this loader, GaussianDenoisingDataset': ours(block['ours'], args.samples),
        'this loader, GaussianDenoisingDataset from LMDB': ours(block['packed'], args.samples),
        'this loader, GaussianDenoisingDataset, cache: true': ours(block['cached'], args.samples),
    }
    print(f'{args.folder}: patch {args.patch}, batch {args.batch}, {args.workers} workers, {args.rounds} rounds')
    print_table(alternate(variants, args.rounds), 'samples/s', peer)


if __name__ == '__main__':
    main()
