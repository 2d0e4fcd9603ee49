"""Training on 2, 5 and 10 % of BSD400, chosen or made in six ways, and on all of it (TripleD, Tables 1 and 5).

    python -m basicsr_ext rank -opt options/rank/rank_complexity_entropy_BSD400_gray.yml
    python -m basicsr_ext rank -opt options/rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml
    python scripts/reproduce/dataset_distillation.py --iterations 1000 --seeds 3

random: drawn anew for each seed; static: the most complex images; dynamic: as many in each epoch, of rising complexity;
influence: the Mid of the ranking by influence; distilled: what `distill` makes, half of it the most complex
images, half of it synthetic. Every row trains the same network for the same number of iterations. Writes a table of
means and spreads and a plot of PSNR over the share.
"""

import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from training_runs import Run, arguments, short_training, train_all

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.distillation.composition import kept_number
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.options.load import load_options
from basicsr_ext.selection.manifest import read_manifest

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml'
DISTILL = 'options/distill/distill_IRCNN_gray_sigma25_BSD400_5.yml'
COMPLEXITY = 'results/rank_complexity_entropy_BSD400_gray/ranking.parquet'
INFLUENCE = 'results/rank_influence_IRCNN_gray_sigma25_BSD400/ranking.parquet'
METRICS = '{psnr: {type: calculate_psnr, crop_border: 0}}'
CHOICES = ('random', 'static', 'dynamic', 'influence', 'distilled')


def main() -> int:
    """Distil, train, print and draw."""
    parser = arguments(__doc__, iterations=1000, seeds=3)
    parser.add_argument('--percents', type=int, nargs='+', default=[2, 5, 10], help='shares of the images')
    parser.add_argument('--patch', type=int, default=48, help='side of a training patch (48)')
    parser.add_argument('--complexity', default=COMPLEXITY, help='ranking by complexity')
    parser.add_argument('--influence', default=INFLUENCE, help='ranking by influence')
    args = parser.parse_args()
    images = len(read_manifest(args.complexity).items())
    distilled = {percent: distil(percent, images, args.complexity) for percent in args.percents}
    block = load_options(OPTION_FILE)['datasets']['train']

    def run(choice: str, percent: int, seed: int) -> Run:
        size = math.ceil(percent * images / 100)
        changes = short_training(args.iterations, validations=2)
        ours = {key for key in changes if key.startswith('datasets.train.')}  # the block is replaced as a whole
        changes = {key: value for key, value in changes.items() if key not in ours}
        train = training_set(choice, size, seed, block, args, distilled.get(percent))
        changes.update({'datasets.train': json.dumps(train), 'manual_seed': str(seed), 'val.metrics': METRICS})
        return Run(f'reproduce_distillation_{choice}{percent}_{args.iterations}_seed{seed}', OPTION_FILE, changes)

    rows = [(choice, percent) for percent in args.percents for choice in CHOICES] + [('full', 100)]
    runs = {(row, seed): run(*row, seed) for seed in range(args.seeds) for row in rows}
    train_all(list(runs.values()), args.iterations, args.jobs)
    scores = {row: [runs[row, seed].best() for seed in range(args.seeds)] for row in rows}
    report(scores, images, args.output)
    return 0


def training_set(
    choice: str, size: int, seed: int, block: dict[str, Any], args: Any, distilled: Path | None
) -> dict[str, Any]:
    """The block `datasets.train` that makes a choice of images."""
    images = {key: value for key, value in block.items() if key not in LOADER_KEYS and key != 'name'}
    images['gt_size'] = args.patch
    ranked = {'manifest': args.complexity, 'size': size, 'dataset': images}
    blocks: dict[str, dict[str, Any]] = {
        'full': images,
        'distilled': {**images, 'dataroot_gt': str(distilled)},
        'random': {**ranked, 'type': 'InfluenceSubsetDataset', 'subset': 'random', 'seed': seed},
        'static': {**ranked, 'type': 'InfluenceSubsetDataset', 'subset': 'top'},
        'dynamic': {**ranked, 'type': 'DynamicSubsetDataset'},
        'influence': {**ranked, 'type': 'InfluenceSubsetDataset', 'subset': 'mid', 'manifest': args.influence},
    }
    return {**blocks[choice], 'name': choice, 'batch_size_per_gpu': 8, 'num_worker_per_gpu': 0}


def distil(percent: int, images: int, manifest: str) -> Path:
    """Distil the images to a share, unless that is done; the folder of the clean images."""
    block = load_options(DISTILL)['distill']
    size = math.ceil(percent * images / 100)
    name = f'distill_IRCNN_gray_sigma25_BSD400_{percent}'
    changes = {
        'name': name,
        'distill.ratio': percent / 100,
        'distill.batch_size': min(block['batch_size'], size - kept_number(size, block['kept'])),
        'distill.manifest': manifest,
    }
    assignments = [f'{key}={value}' for key, value in changes.items()]
    command = [sys.executable, '-m', 'basicsr_ext', 'distill', '-opt', DISTILL, '--set', *assignments]
    subprocess.run(command, check=True, env={**os.environ, 'OMP_NUM_THREADS': str(os.cpu_count() or 1)})
    return Path('results', name, 'gt')


def report(scores: dict[tuple[str, int], list[float]], images: int, folder: Path) -> None:
    """Table and plot of PSNR by share and choice."""
    full = statistics.mean(scores['full', 100])
    lines = ['| training set | share | images | PSNR [dB] | spread | against full |', '|---|---|---|---|---|---|']
    means: dict[str, dict[int, tuple[float, float]]] = {}
    for (choice, percent), values in scores.items():
        mean, spread = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        means.setdefault(choice, {})[percent] = mean, spread
        number = math.ceil(percent * images / 100)
        lines.append(f'| {choice} | {percent} % | {number} | {mean:.3f} | {spread:.3f} | {mean - full:+.3f} |')
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'dataset_distillation.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))

    figure = Figure(figsize=(6, 4), layout='constrained')
    axes = figure.subplots()
    for choice in CHOICES:
        percents = sorted(means[choice])
        values, spreads = zip(*(means[choice][percent] for percent in percents), strict=True)
        axes.errorbar(percents, values, spreads, fmt='o-', capsize=3, label=choice)
    axes.axhline(full, color='black', linestyle='--', label=f'full ({images} images)')
    axes.set(xlabel='share of the images [%]', ylabel='PSNR [dB]')
    axes.legend()
    figure.savefig(folder / 'dataset_distillation.png', dpi=120)


if __name__ == '__main__':
    sys.exit(main())
