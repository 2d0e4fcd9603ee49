"""What candidates and drawn tiles cost, and how far their rankings agree with the full one by influence, in one run.

    python scripts/benchmarks/influence_stages.py --folder datasets/BSD400_gray

Grey images, sigma 25, MSE loss, default settings of the ranking, and the tiny denoiser of retraining.py, trained first;
with `--weights` IRCNN, which takes a hundred times as long. Cost is in seconds of the processor relative to
the full ranking of whole images: test gradient, curvature products and scores.

Candidates have the scores of the full ranking, which is computed once; their cost is that of the first stage, of the
solution and of their share of the scores. The solution does not grow with the number of images; its seconds stand above
the table, and of very many images the cost is the share.

Tiles are ranked by anew: training images are cut into tiles with margins as wide as the network looks, as
`tile_size: auto` cuts large ones, and a share of the tiles of an image stands for all, in the curvature too. The row
with all tiles has the scores of whole images, and tells what the margins cost; beside larger tiles they cost less. Rows
with `settled` draw again until so many of the first ones are expected to stay (`rank.settle`), and tell how often they
drew.

Agreement is Spearman's correlation of all ranks, and the part of the first 5 % of the full ranking (`--top`) that is
among as many first ones.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import denoising
import numpy as np
import retraining
from denoising import mse_loss
from scipy.stats import spearmanr
from torch import nn
from torch.utils.data import Subset

from basicsr_ext.archs.filter_bank_encoder_arch import FilterBankEncoder
from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.own_pairs import OwnPairs
from basicsr_ext.selection.influence.batches import ImageBatches, Tiling, tiles_of
from basicsr_ext.selection.influence.derivatives import Derivatives
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.first_stage import first_stage
from basicsr_ext.selection.influence.settings import CandidateSettings, RankSettings, SettleSettings
from basicsr_ext.selection.ranks import ranks_of

STAGES = ('random', 'entropy', 'kcenter')


class TimedEngine(InfluenceEngine):
    """Remembers when the scores begin."""

    solved = 0.0

    def _image_scores(self, score: Any) -> np.ndarray:
        self.solved = time.process_time()
        return super()._image_scores(score)


def rank(
    train: Any,
    test: Any,
    net: nn.Module,
    args: argparse.Namespace,
    tiling: Tiling | None = None,
    tiles: int | None = None,
    settle: SettleSettings | None = None,
) -> tuple[np.ndarray, float, float, int]:
    """The scores of all images, seconds of the solution, seconds of the scores, draws of tiles."""
    settings = RankSettings(iterations=args.iterations, tiles_per_image=tiles, settle=settle)
    images = ImageBatches(train, settings.batch_size, tiling, tiles_per_image=tiles, seed=args.seed)
    target = ImageBatches(test, settings.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        engine = TimedEngine(Derivatives(net), images, target, mse_loss, settings, args.seed, Path(folder))
        start = time.process_time()
        scores = engine.scores()[:, 0]
        draws = engine.chosen.get('draws', 1)
        return scores, engine.solved - start, time.process_time() - engine.solved, draws


def print_row(name: str, share: float, cost: float, found: np.ndarray, full: np.ndarray, top: float) -> None:
    """One row of the table; `found` and `full` are ranks."""
    size = max(1, round(top * len(full)))
    overlap = np.count_nonzero((found <= size) & (full <= size)) / size
    print(f'{name:<24}{share:>8.0%}{cost:>8.2f}{spearmanr(found, full)[0]:>10.3f}{overlap:>9.2f}', flush=True)


def print_candidates(train: Any, scores: np.ndarray, seconds: tuple[float, float], args: argparse.Namespace) -> None:
    """The rows of every first stage; `seconds` are those of the solution and of the scores."""
    full = ranks_of(scores)
    for by in STAGES:
        for share in args.shares:
            with tempfile.TemporaryDirectory() as folder:
                start = time.process_time()
                settings = CandidateSettings(by, ratio=share)
                stage = first_stage(settings, CleanImages(train), FilterBankEncoder(), args.seed, Path(folder))
                choosing = time.process_time() - start
            own = scores[stage.candidates]
            columns = stage.of_all({'influence': own.tolist(), 'rank': ranks_of(own).tolist()})
            cost = (choosing + seconds[0] + len(own) / len(scores) * seconds[1]) / sum(seconds)
            print_row(f'candidates: {by}', len(own) / len(scores), cost, np.array(columns['rank']), full, args.top)


def print_tiles(
    train: Any, test: Any, net: nn.Module, full: np.ndarray, seconds: float, args: argparse.Namespace
) -> None:
    """The rows of drawn tiles; `full` are the ranks and `seconds` the cost of whole images."""
    sample = train[0]
    tiling = Tiling(args.tile, args.margin)
    there = len(list(tiles_of(sample['lq'], sample['gt'], tiling)))
    for share in [*args.shares, 1.0]:
        number = max(1, round(share * there))
        scores, *own, _ = rank(train, test, net, args, tiling, number if share < 1 else None)
        print_row(f'{number} of {there} tiles', number / there, sum(own) / seconds, ranks_of(scores), full, args.top)
    for overlap in args.settled:
        settle = SettleSettings(ratio=args.top, overlap=overlap, rounds=there)
        scores, *own, draws = rank(train, test, net, args, tiling, 1, settle)
        name, cost = f'{overlap:.0%} settled: {draws} draws', sum(own) / seconds
        print_row(name, draws / there, cost, ranks_of(scores), full, args.top)


def images_of(folder: Path, number: int | None) -> OwnPairs:
    """The first noisy images of a folder, or all."""
    data = denoising.noisy_images(folder)
    return OwnPairs(Subset(data, range(len(data))[:number]), folder.name)


def tiny(args: argparse.Namespace) -> nn.Module:
    """The denoiser of retraining.py, trained on crops of the folder."""
    task = retraining.TASKS['gray']
    crops = retraining.read_crops(args.folder, task, retraining.CROPS, retraining.SIZE, 2)
    return retraining.train(crops, task, args.seed, retraining.STEPS)


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, required=True, help='folder of grey training images')
    parser.add_argument('--test', type=Path, default=Path('datasets/Set12'), help='folder of grey test images')
    parser.add_argument('--weights', type=Path, help='IRCNN of 64 channels, trained at sigma 25')
    parser.add_argument('--images', type=int, help='only the first images of the folder')
    parser.add_argument('--test-images', type=int, help='only the first test images')
    parser.add_argument('--shares', type=float, nargs='+', default=[0.05, 0.1, 0.25, 0.5], help='of images, of tiles')
    parser.add_argument('--tile', type=int, default=45, help='side of the tiles in pixels')
    parser.add_argument('--margin', type=int, default=16, help='that the network sees around them, in pixels')
    parser.add_argument('--settled', type=float, nargs='*', default=[0.7, 0.8, 0.9], help='overlaps that are asked for')
    parser.add_argument('--top', type=float, default=0.05, help='part of the images that are chosen')
    iterations = RankSettings().iterations
    parser.add_argument(
        '--iterations', type=int, default=iterations, help='curvature products; fewer to try the script'
    )
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn')
    args = parser.parse_args()
    train, test = images_of(args.folder, args.images), images_of(args.test, args.test_images)
    net = denoising.ircnn(args.weights) if args.weights else tiny(args)
    scores, solving, scoring, _ = rank(train, test, net, args)
    print(f'full ranking of {len(train)} images: solution {solving:.1f} s, scores {scoring:.1f} s')
    print(f'{"":<24}{"share":>8}{"cost":>8}{"Spearman":>10}{"overlap":>9}')
    print_candidates(train, scores, (solving, scoring), args)
    print_tiles(train, test, net, ranks_of(scores), solving + scoring, args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
