"""Fig. 8 of TRAPS: training with and without pixel-shuffled warm-up, on fewer and more images.

    python scripts/reproduce/pixel_shuffle_warmup.py --sizes 100 200 400 --iterations 900 --seeds 3

Trains the option file once a size, seed and choice, at equal iterations; the images of a size are drawn anew for each
seed and are the same with and without warm-up, as are weights, crops and noise. Writes a table of means and spreads and
the curves of PSNR over iterations.
"""

import random
import statistics
import sys
from pathlib import Path

from matplotlib.figure import Figure
from training_runs import Run, arguments, train_all

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.options.load import load_options

OPTION_FILE = 'options/train/SwinIR/train_SwinIR-tiny_color_sigma50_warmup_BSD400.yml'
STOPS = {'without': '{iter: 0}', 'with': None}  # None keeps what the option file says
COLORS = {'without': 'tab:gray', 'with': 'tab:orange'}


def draw_images(folder: Path, size: int, seed: int, output: Path) -> str:
    """Write the names of `size` random images; returns the path of the list."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))
    if size > len(names):
        raise SystemExit(f'--sizes {size}: expected at most the {len(names)} images of {folder}. Lower it.')
    chosen = sorted(random.Random(seed).sample(names, size))
    path = output / 'images' / f'{size}_seed{seed}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(chosen) + '\n', encoding='utf-8')
    return str(path)


def main() -> int:
    """Train, print and draw."""
    parser = arguments(__doc__, iterations=900, seeds=3)
    parser.add_argument('-opt', default=OPTION_FILE, help='option file of the training with warm-up')
    parser.add_argument('--sizes', type=int, nargs='+', default=[100, 200, 400], help='training images')
    args = parser.parse_args()
    opt = load_options(args.opt)
    folder = Path(opt['datasets']['train']['dataset']['dataroot_gt'])
    third = args.iterations // 3

    def run(choice: str, size: int, seed: int) -> Run:
        stop = STOPS[choice]
        changes = {
            **({} if stop is None else {'datasets.train.stop': stop}),
            'datasets.train.dataset.meta_info_file': draw_images(folder, size, seed, args.output),
            'train.total_iter': str(args.iterations),
            'train.scheduler.milestones': f'[{third}, {2 * third}]',
            'val.val_freq': str(third),
            'logger.save_checkpoint_freq': str(third),
            'manual_seed': str(seed),
        }
        return Run(f'reproduce_{Path(args.opt).stem}_{choice}_{size}_{args.iterations}_seed{seed}', args.opt, changes)

    rows = [(choice, size) for size in args.sizes for choice in STOPS]
    runs = {(*row, seed): run(*row, seed) for seed in range(args.seeds) for row in rows}
    train_all(list(runs.values()), args.iterations, args.jobs)

    scores = {key: run.curve()[args.iterations] for key, run in runs.items()}
    lines = ['| images | without [dB] | with [dB] | gain [dB] |', '|---|---|---|---|']
    for size in args.sizes:
        pairs = [(scores['without', size, seed], scores['with', size, seed]) for seed in range(args.seeds)]
        columns = ([a for a, _ in pairs], [b for _, b in pairs], [b - a for a, b in pairs])
        without, with_, gain = (f'{statistics.mean(column):.3f} ({_spread(column):.3f})' for column in columns)
        lines.append(f'| {size} | {without} | {with_} | {gain} |')
    args.output.mkdir(parents=True, exist_ok=True)
    name = f'pixel_shuffle_warmup_{Path(args.opt).stem}'
    (args.output / f'{name}.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print(f'Mean (standard deviation) of {args.seeds} seeds after {args.iterations} iterations')
    print('\n'.join(lines))
    _draw(runs, args.sizes, args.seeds, args.output / f'{name}.png')
    return 0


def _spread(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _draw(runs: dict[tuple[str, int, int], Run], sizes: list[int], seeds: int, path: Path) -> None:
    figure = Figure(figsize=(4.5 * len(sizes), 4), layout='constrained')
    for axes, size in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
        for choice, color in COLORS.items():
            curves = [runs[choice, size, seed].curve() for seed in range(seeds)]
            steps = sorted(curves[0])
            for curve in curves:
                axes.plot(steps, [curve[i] for i in steps], color=color, alpha=0.3, linewidth=0.8)
            means = [statistics.mean(curve[i] for curve in curves) for i in steps]
            axes.plot(steps, means, 'o-', ms=3, color=color, label=f'{choice} warm-up')
        axes.set(xlabel='iteration', ylabel='PSNR [dB]', title=f'{size} images')
        axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == '__main__':
    sys.exit(main())
