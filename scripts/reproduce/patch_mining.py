"""The question of Soh and Cho (2021) at a small size: which half of the patches is best to train on?

    python scripts/reproduce/patch_mining.py --iterations 2000 --seeds 3

Mines the patches, then trains the option file on each part of them and each seed, all for
the same number of iterations, shortened to `--iterations` unless `--as_in_the_file`; the random part is drawn anew for
each seed. Super-resolution on DIV2K, as in the paper:

    python scripts/reproduce/patch_mining.py -opt options/train/EDSR/train_EDSR_Mx2_grad50_DIV2K.yml
        -mine options/mine/mine_EDSR_Mx2_DIV2K.yml --iterations 300000 --as_in_the_file

Writes a table of means and spreads, the curves of PSNR over iterations and the best PSNR of each seed.
"""

import statistics
import subprocess
import sys
from pathlib import Path

from matplotlib.figure import Figure
from training_runs import Run, arguments, short_training, train_all

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.options.load import load_options
from basicsr_ext.selection.manifest import read_manifest
from basicsr_ext.selection.patches.choice import Keep, keep_patches

TRAIN_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma25_mined_BSD400.yml'
MINE_FILE = 'options/mine/mine_IRCNN_gray_sigma25_BSD400.yml'
COLORS = {
    'large gradient': 'tab:green',
    'random': 'tab:gray',
    'large loss': 'tab:red',
    'small gradient': 'tab:blue',
    'all': 'black',
}


def mined(option_file: str, changes: dict[str, str]) -> str:
    """Run the job, which ends at once where its result is there and refuses one that was made otherwise.

    Args:
        option_file: of the job `mine`.
        changes: what `--set` changes in it, `name` among them.

    Returns:
        The manifest.

    Raises:
        SystemExit: the job failed; it has said why.
    """
    assignments = [f'{key}={value}' for key, value in changes.items()]
    command = [sys.executable, '-m', 'basicsr_ext', 'mine', '-opt', option_file, '--set', *assignments]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise SystemExit(f'{option_file}: expected the job to end well, got exit code {code}. See above.')
    return str(Path('results', changes['name'], 'patches.parquet'))


def kept(manifest: str, criterion: str, keep: Keep) -> int:
    """How many patches a part has."""
    found = read_manifest(manifest)
    return len(keep_patches(found.array(criterion), found.image_of_rows(), keep))


def main() -> int:
    """Mine, train, print and draw."""
    parser = arguments(__doc__, iterations=2000, seeds=3)
    parser.add_argument('-opt', default=TRAIN_FILE, help='option file of the training')
    parser.add_argument('-mine', default=MINE_FILE, help='option file of the scan, with the criteria grad and loss')
    parser.add_argument('--dataroot', help='other clean images than those of the option files')
    parser.add_argument('--keep', type=float, default=0.5, help='the part of the patches that is kept (0.5)')
    parser.add_argument(
        '--as_in_the_file', action='store_true', help='keep rate, batch and schedule of the option file'
    )
    args = parser.parse_args()
    folder = {'datasets.train.dataroot_gt': args.dataroot} if args.dataroot else {}
    scan = f'{load_options(args.mine)["name"]}{f"_{Path(args.dataroot).name}" if args.dataroot else ""}'
    manifest = mined(args.mine, {'name': scan, **folder})
    draws = [
        mined(
            args.mine,
            {'name': f'{scan}_random{seed}', 'manual_seed': str(seed), 'mine.criteria': '[random]', **folder},
        )
        for seed in range(args.seeds)
    ]
    parts: dict[str, tuple[str, Keep]] = {
        'large gradient': ('grad', args.keep),
        'random': ('random', args.keep),
        'large loss': ('loss', args.keep),
        'small gradient': ('grad', [0.0, args.keep]),
        'all': ('grad', 1.0),
    }

    def run(part: str, seed: int) -> Run:
        criterion, keep = parts[part]
        short = short_training(args.iterations, validations=8)
        del short['datasets.train.dataset.gt_size']  # the side of the patches is that of the scan
        changes = {
            'train.total_iter': str(args.iterations),
            **({} if args.as_in_the_file else short),
            **({'datasets.train.dataset.dataroot_gt': args.dataroot} if args.dataroot else {}),
            'datasets.train.manifest': draws[seed] if part == 'random' else manifest,
            'datasets.train.criterion': criterion,
            'datasets.train.keep': str(keep),
            'manual_seed': str(seed),
        }
        length = f'{args.iterations}{"_as_in_the_file" if args.as_in_the_file else ""}'
        name = f'reproduce_{Path(args.opt).stem}_{scan}_{part}{args.keep}_{length}_seed{seed}'
        return Run(name.replace(' ', '_'), args.opt, changes)

    runs = {(part, seed): run(part, seed) for seed in range(args.seeds) for part in parts}
    train_all(list(runs.values()), args.iterations, args.jobs)

    scores = {part: [runs[part, seed].best() for seed in range(args.seeds)] for part in parts}
    every = statistics.mean(scores['all'])
    lines = ['| patches | number | PSNR [dB] | spread | against all |', '|---|---|---|---|---|']
    for part, values in scores.items():
        mean, spread = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        number = kept(draws[0] if part == 'random' else manifest, *parts[part])
        lines.append(f'| {part} | {number} | {mean:.3f} | {spread:.3f} | {mean - every:+.3f} |')
    args.output.mkdir(parents=True, exist_ok=True)
    name = f'patch_mining_{Path(args.opt).stem}_{scan}_{args.keep:g}_{args.iterations}'
    (args.output / f'{name}.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))

    figure = Figure(figsize=(10, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    for place, part in enumerate(parts):
        curves = [runs[part, seed].curve() for seed in range(args.seeds)]
        steps = sorted(curves[0])
        means = [statistics.mean(curve[i] for curve in curves) for i in steps]
        left.plot(steps, means, 'o-', ms=3, color=COLORS[part], label=part)
        right.plot([place] * args.seeds, scores[part], 'o', color=COLORS[part])
    left.set(xlabel='iteration', ylabel='PSNR [dB]', title=f'mean of {args.seeds} seeds')
    left.legend()
    right.set(ylabel='best PSNR [dB]', title=f'each seed, {args.keep:g} of the patches')
    right.set_xticks(range(len(parts)), list(parts), rotation=20)
    figure.savefig(args.output / f'{name}.png', dpi=120)
    return 0


if __name__ == '__main__':
    sys.exit(main())
