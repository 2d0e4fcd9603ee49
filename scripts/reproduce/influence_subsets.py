"""Tables 2 to 5 and Fig. 5 of the influence paper: training on Top, Mid, Bottom or random K images, or on all.

    python -m basicsr_ext rank -opt options/rank/rank_influence_IRCNN_gray_levels_BSD400.yml \
        --set datasets.test.name=Set12 datasets.test.dataroot_gt=datasets/Set12
    python scripts/reproduce/influence_subsets.py --sizes 20 50 --iterations 2000 --seeds 3

Trains the option file once a subset, size and seed, shortened to `--iterations` unless `--as_in_the_file`; a random
subset is drawn anew for each seed. Another network (Tables 3 and 4):
-opt options/train/DnCNN/train_DnCNN_gray_sigma25_mid200_BSD400.yml. Writes a table of means and spreads and the curves
of PSNR over iterations.
"""

import statistics
import sys
from pathlib import Path

from matplotlib.figure import Figure
from training_runs import Run, arguments, short_training, train_all

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.options.load import load_options
from basicsr_ext.selection.manifest import read_manifest

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma50_mid20_BSD400.yml'
SUBSETS = ('bottom', 'mid', 'top', 'random')
COLORS = {'bottom': 'tab:blue', 'mid': 'tab:green', 'top': 'tab:red', 'random': 'tab:gray', 'full': 'black'}


def main() -> int:
    """Train, print and draw."""
    parser = arguments(__doc__, iterations=2000, seeds=3)
    parser.add_argument('-opt', default=OPTION_FILE, help='option file of the training')
    parser.add_argument('--sizes', type=int, nargs='+', default=[20, 50], help='K')
    parser.add_argument('--manifest', help='ranking; by default the one of the option file')
    parser.add_argument(
        '--as_in_the_file', action='store_true', help='keep rate, patches and schedule of the option file'
    )
    args = parser.parse_args()
    opt = load_options(args.opt)
    manifest = args.manifest or opt['datasets']['train']['manifest']
    images = len(read_manifest(manifest).items())
    rows = [(subset, size) for size in args.sizes for subset in SUBSETS] + [('full', images)]

    def run(subset: str, size: int, seed: int) -> Run:
        changes = {
            'train.total_iter': str(args.iterations),
            **({} if args.as_in_the_file else short_training(args.iterations, validations=8)),
            'datasets.train.manifest': manifest,
            'datasets.train.subset': 'top' if subset == 'full' else subset,
            'datasets.train.size': str(size),
            'datasets.train.seed': str(seed),
            'manual_seed': str(seed),
        }
        ranking = Path(manifest).parent.name
        name = f'reproduce_{Path(args.opt).stem}_{ranking}_{subset}{size}_{args.iterations}_seed{seed}'
        return Run(name, args.opt, changes)

    runs = {(row, seed): run(*row, seed) for seed in range(args.seeds) for row in rows}
    train_all(list(runs.values()), args.iterations, args.jobs)

    scores = {row: [runs[row, seed].best() for seed in range(args.seeds)] for row in rows}
    full = statistics.mean(scores[rows[-1]])
    lines = ['| subset | K | share | PSNR [dB] | spread | against full |', '|---|---|---|---|---|---|']
    for (subset, size), values in scores.items():
        mean, spread = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        share = f'{100 * size / images:.1f} %'
        lines.append(f'| {subset} | {size} | {share} | {mean:.3f} | {spread:.3f} | {mean - full:+.3f} |')
    args.output.mkdir(parents=True, exist_ok=True)
    name = f'influence_subsets_{Path(args.opt).stem}'
    (args.output / f'{name}.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))

    figure = Figure(figsize=(5 * len(args.sizes), 4), layout='constrained')
    for axes, size in zip(figure.subplots(1, len(args.sizes), squeeze=False)[0], args.sizes, strict=True):
        for row in [*((subset, size) for subset in SUBSETS), rows[-1]]:
            curves = [runs[row, seed].curve() for seed in range(args.seeds)]
            steps = sorted(curves[0])
            axes.plot(
                steps,
                [statistics.mean(curve[i] for curve in curves) for i in steps],
                'o-',
                ms=3,
                color=COLORS[row[0]],
                label=row[0],
            )
        axes.set(xlabel='iteration', ylabel='PSNR [dB]', title=f'K = {size}, mean of {args.seeds} seeds')
        axes.legend()
    figure.savefig(args.output / f'{name}.png', dpi=120)
    return 0


if __name__ == '__main__':
    sys.exit(main())
