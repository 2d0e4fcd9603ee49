"""Time of ranking images by entropy against that of decoding them; of a trained scorer, against entropy.

    python scripts/benchmarks/complexity_ranking.py --png datasets/CBSD68 --jpeg datasets/BSD400
    python scripts/benchmarks/complexity_ranking.py --jpeg datasets/BSD400 \
        --scorer options/rank/rank_complexity_scorer_BSD400.yml

The images of each folder are ranked by the job `rank`, from the dataset to the manifest, in one thread; of a folder
with fewer than `--images` images, some are ranked several times, under other names. Exit code 1 if ranking takes more
than 1.2 times as long as decoding the images with OpenCV, as a dataset does to train on them: to colours. The time of
decoding them to grey is shown beside it. Times are those of the processor: other work on the machine does not count,
nor do the two times that the job waits for the disk, however many images there are. With `--scorer`, an option file
with `criterion: scorer`, the time of scoring and Spearman's coefficient of scores and entropies are shown too.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import cv2
import torch
from alternate import alternate, median_ratio, print_table, seconds
from basicsr.data import build_dataset
from patch_scan import decode_all, fits, link, quiet

from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.jobs.rank import rank_pipeline
from basicsr_ext.options.load import load_options
from basicsr_ext.selection.correlation import rank_correlations
from basicsr_ext.selection.manifest import read_manifest

LARGEST = 1.2  # ranking / decoding
ENTROPY = """
name: entropy
num_gpu: 0
rank: {method: complexity, criterion: entropy, workers: 0}
datasets:
  train: {name: benchmark, type: GaussianDenoisingDataset, dataroot_gt: ~, color: rgb}
path: {}
"""


def decode_to_grey(folder: Path) -> None:
    """All images, to what entropy is measured on."""
    block = {'name': 'benchmark', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder), 'phase': 'val'}
    dataset = build_dataset(block)
    images = WholeImages(dataset)
    for index in range(len(dataset)):
        images.grey(index)


class Ranking:
    """The job `rank` on a folder, into a new folder each time.

    Args:
        option_file: with `method: complexity`.
        folder: of the images.
        root: folder for the results.
    """

    def __init__(self, option_file: Path, folder: Path, root: Path) -> None:
        self.option_file, self.folder, self.root = option_file, folder, root
        self.rounds = count()
        self.result = root

    def __call__(self) -> None:
        root = self.root / f'{self.option_file.stem}_{self.folder.name}_{next(self.rounds)}'
        changes = [f'datasets.train.dataroot_gt={self.folder}', 'rank.workers=0']
        rank_pipeline(root, ['-opt', str(self.option_file), '--set', *changes])
        self.result = Path(root, 'results', load_options(self.option_file)['name'], 'ranking.parquet')


def main() -> int:
    """Measure, print the tables; 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--png', type=Path, help='folder of colour images in PNG, such as CBSD68')
    parser.add_argument('--jpeg', type=Path, help='folder of colour images in JPEG, such as BSD400')
    parser.add_argument('--scorer', type=Path, metavar='FILE', help='option file of a ranking by a trained scorer')
    parser.add_argument('--images', type=int, default=400, help='that are ranked (400)')
    parser.add_argument('--rounds', type=int, default=9)
    args = parser.parse_args()
    folders = {kind: folder for kind, folder in (('png', args.png), ('jpeg', args.jpeg)) if folder is not None}
    if not folders:
        parser.error('name a folder with --png or --jpeg')
    quiet()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    good = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        entropy_file = root / 'entropy.yml'
        entropy_file.write_text(ENTROPY)
        for kind, source in folders.items():
            folder = link(source, root / kind, args.images)
            rankings = {'entropy': Ranking(entropy_file, folder, root)}
            if args.scorer:
                rankings['scorer'] = Ranking(args.scorer, folder, root)
            floors = {'decoding': partial(decode_all, folder), 'decoding to grey': partial(decode_to_grey, folder)}
            works: dict[str, Callable[[], None]] = {**floors, **rankings}
            times = alternate({key: seconds(work, time.process_time) for key, work in works.items()}, args.rounds)
            print(f'{args.images} images, {kind}, {args.rounds} rounds')
            print_table(times, 'seconds', 'decoding')
            good.append(fits('entropy / decoding', median_ratio(times, 'entropy', 'decoding'), LARGEST, least=False))
            if args.scorer:
                columns = [read_manifest(ranking.result).array('complexity') for ranking in rankings.values()]
                print(f'scorer / entropy: {median_ratio(times, "scorer", "entropy"):.2f}')
                print(f"Spearman's coefficient of scores and entropies: {rank_correlations(columns)[0, 1]:.3f}")
    return int(not all(good))


if __name__ == '__main__':
    sys.exit(main())
