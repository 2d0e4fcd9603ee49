"""Table 1 of the influence paper: PSNR of a denoiser trained on images whose detail a mean filter has averaged away.

    python scripts/reproduce/influence_rblur.py --iterations 2000 --seeds 1

Trains `options/train/IRCNN/train_IRCNN_gray_rblur3_BSD400.yml` once a kernel size and seed, shortened to
`--iterations`, and writes a table and a plot.
"""

import statistics
import sys

from matplotlib.figure import Figure
from training_files import LOADER, PATCH, short_schedule
from training_runs import Run, arguments, train_all

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_rblur3_BSD400.yml'
PAPER = {1: 27.03, 3: 26.20, 5: 25.03, 10: 23.30, 20: 22.22}  # after 1,000,000 iterations


def main() -> int:
    """Train, print and draw."""
    parser = arguments(__doc__, seeds=1)
    parser.add_argument('--iterations', type=int, default=2000, help='of each training (2000)')
    parser.add_argument('--kernel_sizes', type=int, nargs='+', default=list(PAPER), help='r; 1 blurs nothing')
    args = parser.parse_args()
    runs = {
        (r, seed): Run(
            f'reproduce_rblur{r}_{args.iterations}_seed{seed}',
            OPTION_FILE,
            args.iterations,
            {
                **short_schedule(args.iterations),
                **{f'datasets.train.{key}': str(value) for key, value in LOADER.items()},
                'datasets.train.dataset.gt_size': str(PATCH),
                'datasets.train.kernel_size': str(r),
                'val.val_freq': str(args.iterations // 4),
                'logger.save_checkpoint_freq': str(args.iterations // 4),
                'manual_seed': str(seed),
            },
        )
        for r in args.kernel_sizes
        for seed in range(args.seeds)
    }
    train_all(list(runs.values()), args.jobs)

    lines = ['| r | PSNR [dB] | SSIM | below r = 1 | paper | below D (paper) |', '|---|---|---|---|---|---|']
    means = {}
    for r in args.kernel_sizes:
        scores = [runs[r, seed].best() for seed in range(args.seeds)]
        means[r] = statistics.mean(scores)
        ssim = statistics.mean(runs[r, seed].best('ssim') for seed in range(args.seeds))
        paper = f'{PAPER[r]:.2f} | {PAPER[1] - PAPER[r]:.2f}' if r in PAPER else '- | -'
        loss = f'{means[1] - means[r]:.2f}' if 1 in means else '-'
        lines.append(f'| {r} | {means[r]:.2f} | {ssim:.4f} | {loss} | {paper} |')
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / 'influence_rblur.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))

    figure = Figure(figsize=(5, 3.5), layout='constrained')
    axes = figure.subplots()
    axes.plot(list(means), list(means.values()), 'o-', label=f'{args.iterations} iterations')
    axes.plot(list(PAPER), list(PAPER.values()), 's--', label='paper, 1,000,000 iterations')
    axes.set(xlabel='kernel size r', ylabel='PSNR on Set12 [dB], sigma 50', title='Training images blurred by r x r')
    axes.legend()
    figure.savefig(args.output / 'influence_rblur.png', dpi=120)
    return 0


if __name__ == '__main__':
    sys.exit(main())
