"""Table 6 of FlexIR: self-distillation of all branches at once (SD), progressive (PSD), and with channel-wise scoring.

    python scripts/reproduce/flexir_ablation.py --start SWINIR.pth --lengths 500 1000 2000 --seeds 3

Every training starts from the weights of a trained SwinIR, which is also its teacher; those of a seed take the same
batches. The stages of PSD end when the losses stop falling. Each length is a comparison, on CBSD68; checkpoints, where
they are chosen (--checkpoint best), are chosen on Set5. Then every pointer of the trained networks is measured: writes,
for each length, PSNR by pointer, mean and spread over the seeds, and the paired differences to SD; and the curves over
the length.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from comparing import FILES, arguments, compare
from matplotlib.figure import Figure
from tqdm import tqdm
from training_files import Block, listed

# isort: split
import torch
from basicsr.archs import build_network
from basicsr.metrics.psnr_ssim import calculate_psnr
from basicsr.utils import tensor2img

from basicsr_ext.data.read_item import read_item
from basicsr_ext.networks.trained import device_named
from basicsr_ext.options.load import load_options
from basicsr_ext.reports.paired import Difference, differences_of
from basicsr_ext.runtime.checkpoint import load_network_weights
from basicsr_ext.runtime.files import read_json, write_json
from basicsr_ext.training.building import build_dataset

OPTION_FILE = 'options/train/FlexIR/train_FlexIR_light_color_sigma25_BSD400.yml'
CHOICES = {
    'SD': '',
    'PSD': '@train.progressive=true@train.milestones={milestones}',
    'PSD + scoring': '@train.progressive=true@train.milestones={milestones}@network_g.channel_scoring=true',
}
Scores = dict[tuple[str, int], np.ndarray]  # choice and length -> PSNR, seeds x images x pointers


def main() -> int:
    """Compare, measure, print and draw."""
    parser = _parser()
    args, further = parser.parse_known_args()
    scores: Scores = {}
    ends: dict[tuple[str, int], list[list[int]]] = {}
    for length in args.lengths:
        name = f'flexir_ablation_{length}'
        sets = [f'{choice}=full{change.format(milestones=args.milestones)}' for choice, change in CHOICES.items()]
        opt = training_file(args, length)
        compare(name, opt, ['--sets', *sets, '--seeds', '3'], further)
        if '--dry-run' not in further:
            for row in read_json(Path('results', name, 'compare.json'))['rows']:
                weights = [Path('results', name, path) for path in row['weights']]
                scores[row['title'], length] = np.array(
                    [psnr_of(path, opt['datasets']['val_report']) for path in weights]
                )
                ends[row['title'], length] = [ends_of(path, length) for path in weights]
    if scores:
        text = '\n'.join([*table(scores, ends), '', *table_of_differences(scores)]) + '\n'
        (FILES / 'flexir_ablation.md').write_text(text, encoding='utf-8')
        print(text, end='')
        draw(scores, FILES / 'flexir_ablation.png')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument('-opt', default=OPTION_FILE, help='option file of the training')
    parser.add_argument('--start', required=True, help='weights of a trained SwinIR of the same size')
    lengths = [500, 1000, 2000]
    parser.add_argument('--lengths', '--iterations', type=int, nargs='+', default=lengths, help='(500 1000 2000)')
    parser.add_argument('--milestones', default='auto', help='of PSD, as in the option file (auto)')
    parser.add_argument('--embed_dim', type=int, help='channels of the network, if not those of the option file')
    parser.add_argument('--depths', type=int, nargs='+', help='blocks of each RSTB, likewise')
    parser.add_argument('--heads', type=int, nargs='+', help='heads of each RSTB, likewise')
    parser.add_argument('--lr', type=float, default=2e-4, help='rate at the beginning (2e-4)')
    parser.add_argument('--patch', type=int, default=32, help='side of a patch (32)')
    parser.add_argument('--batch', type=int, default=4, help='patches per iteration (4)')
    parser.add_argument('--test', type=Path, default=Path('datasets/CBSD68'), help='folder of clean colour images')
    parser.add_argument('--every', type=int, default=1, help='measure on every so many images of it (1)')
    return parser


def training_file(args: argparse.Namespace, length: int) -> Block:
    """Options of SD, at a length."""
    opt: Block = load_options(args.opt)
    size = {'embed_dim': args.embed_dim, 'depths': args.depths, 'num_heads': args.heads}
    opt['network_g'].update({key: value for key, value in size.items() if value is not None}, channel_scoring=False)
    opt['path'].update(pretrain_network_g=args.start, pretrain_network_t=args.start)
    train = opt['train']
    train.update(total_iter=length, warmup_iter=length // 50, ema_decay=0.99, progressive=False, milestones=None)
    train['optim_g']['lr'] = args.lr
    train['scheduler']['total_iters'] = length
    opt['datasets']['train'].update(gt_size=args.patch, batch_size_per_gpu=args.batch, num_worker_per_gpu=0)
    names = sorted(path.name for path in args.test.iterdir() if not path.name.startswith('.'))[:: args.every]
    images = listed(names, FILES / f'{args.test.name}_every{args.every}.txt')
    report = {**opt['datasets']['val'], 'name': args.test.name, 'dataroot_gt': str(args.test)}
    choosing = {**opt['datasets'].pop('val'), 'name': 'Set5', 'dataroot_gt': 'datasets/Set5'}
    opt['datasets'].update(val=choosing, val_report={**report, 'meta_info_file': images})
    opt['val']['metrics'] = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}
    opt['logger']['use_tb_logger'] = False
    return opt


# ---- measuring ----


def psnr_of(weights: Path, images: Block) -> list[list[float]]:
    """PSNR of every measured image by every branch, images x pointers; what was measured before is read."""
    path = weights.with_name(f'{weights.stem}_branches.json')
    if not path.is_file():
        write_json(path, list(_measure(weights, images)))
    values: list[list[float]] = read_json(path)
    return values


@torch.no_grad()
def _measure(weights: Path, images: Block) -> Iterator[list[float]]:
    """The PSNR of an image by every branch: each passes the network once, in the precision of the training."""
    run = weights.parents[1].name
    opt, device = load_options(weights.parents[3] / 'options' / f'{run}.yml'), device_named(None)
    net: Any = build_network({**opt['network_g'], 'channel_scoring': False}).eval().to(device)
    load_network_weights(net, str(weights), True, 'params_ema')
    dataset = build_dataset({**images, 'phase': 'val', 'scale': 1}, 'datasets.val_report')
    for index in tqdm(range(len(dataset)), f'Measuring {run}', leave=False):
        sample = read_item(dataset, index)
        clean = tensor2img(sample['gt'])
        psnr = []
        with torch.autocast(device.type, torch.bfloat16, enabled=opt['use_amp']):
            state = net.begin(sample['lq'][None].to(device))
            for _ in range(net.num_branches):
                state = net.step(state)
                image = tensor2img(net.restore(state).float())
                psnr.append(float(calculate_psnr(image, clean, crop_border=0)))
        yield psnr


def ends_of(weights: Path, length: int) -> list[int]:
    """The iterations after which stages ended by their loss; none where they were known before."""
    state = torch.load(weights.parents[1] / 'training_states' / f'{length}.state', weights_only=True)
    return list((state['stages'] or {'ends': []})['ends'])


# ---- showing ----


def table(scores: Scores, ends: dict[tuple[str, int], list[list[int]]]) -> list[str]:
    """PSNR by pointer: mean over seeds and images, and the spread of the seeds; and where stages ended on average."""
    pointers = range(1, next(iter(scores.values())).shape[2] + 1)
    heads = [f'P = {pointer}' for pointer in pointers]
    lines = [f'| iterations | | {" | ".join(heads)} | stages end after |', '|---' * (len(heads) + 3) + '|']
    for (choice, length), values in scores.items():
        cells = [f'{mean:.3f} ({spread:.3f})' for mean, spread in zip(*mean_and_spread(values), strict=True)]
        known = [each for each in ends[choice, length] if each]
        after = ', '.join(f'{end:.0f}' for end in np.mean(known, axis=0)) if known else ''
        lines.append(f'| {length:,} | {choice} | {" | ".join(cells)} | {after} |')
    return lines


def mean_and_spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean over seeds and images, and the standard deviation over seeds, by pointer; 0 for a single seed."""
    by_seed = values.mean(1)
    return by_seed.mean(0), by_seed.std(0, ddof=1) if len(by_seed) > 1 else np.zeros(values.shape[2])


def table_of_differences(scores: Scores) -> list[str]:
    """What the other choices gain over SD, by pointer, with intervals that hold together for a length and a pointer."""
    pointers = range(next(iter(scores.values())).shape[2])
    heads = [f'P = {pointer + 1}' for pointer in pointers]
    lines = [f'| iterations | over SD | {" | ".join(heads)} |', '|---' * (len(heads) + 2) + '|']
    others = [choice for choice in CHOICES if choice != 'SD']
    for length in dict.fromkeys(length for _, length in scores):
        gains = {choice: scores[choice, length] - scores['SD', length] for choice in others}
        found = [differences_of({choice: gain[:, :, p] for choice, gain in gains.items()}) for p in pointers]
        for choice in others:
            lines.append(f'| {length:,} | {choice} | {" | ".join(_cell(each[choice]) for each in found)} |')
    return lines


def _cell(difference: Difference) -> str:
    if difference.seeds < 2:
        return f'{difference.mean:+.3f}'
    return f'{difference.mean:+.3f} ± {difference.high - difference.mean:.3f}'


def draw(scores: Scores, path: Path) -> None:
    """PSNR of the first and of the last pointer over the length, with the spread of the seeds."""
    figure = Figure(figsize=(8, 3.5), layout='constrained')
    lengths = list(dict.fromkeys(length for _, length in scores))
    last = next(iter(scores.values())).shape[2]
    for axes, pointer in zip(figure.subplots(1, 2), (1, last), strict=True):
        for choice in CHOICES:
            found = [mean_and_spread(scores[choice, length][:, :, [pointer - 1]]) for length in lengths]
            means, spreads = np.array(found)[:, :, 0].T
            axes.errorbar(lengths, means, spreads, fmt='o-', capsize=3, label=choice)
        axes.set(xscale='log', xlabel='iterations', ylabel='PSNR [dB]', title=f'P = {pointer}')
        axes.set_xticks(lengths, [f'{length:,}' for length in lengths])
        axes.minorticks_off()
        axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == '__main__':
    sys.exit(main())
