"""Table 6 of FlexIR: self-distillation of all branches at once (SD), progressive (PSD), and with channel-wise scoring.

    python scripts/reproduce/flexir_ablation.py --start SWINIR.pth --lengths 500 1000 2000 --seeds 3

Every training starts from the weights of a trained SwinIR, which is also its teacher; those of a seed take the same
batches. The stages of PSD end when the losses stop falling. Writes, for each length, PSNR by pointer, mean and spread
over the seeds, and the paired differences to SD; and the curves over the length.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm
from training_runs import EXPERIMENTS, Run, arguments, train_all

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.metrics.psnr_ssim import calculate_psnr
from basicsr.utils import tensor2img

from basicsr_ext.networks.trained import device_named
from basicsr_ext.options.load import load_options
from basicsr_ext.reports.paired import Difference, differences_of
from basicsr_ext.runtime.checkpoint import load_network_weights
from basicsr_ext.runtime.files import digest_of_bytes, digest_of_file, read_json, write_json

OPTION_FILE = 'options/train/FlexIR/train_FlexIR_light_color_sigma25_BSD400.yml'
CHOICES = {
    'SD': {'train.progressive': 'false', 'train.milestones': '~', 'network_g.channel_scoring': 'false'},
    'PSD': {'train.progressive': 'true', 'network_g.channel_scoring': 'false'},
    'PSD + scoring': {'train.progressive': 'true', 'network_g.channel_scoring': 'true'},
}
Scores = dict[tuple[str, int], np.ndarray]  # choice and length -> PSNR, seeds x images x pointers


def main() -> int:
    """Train, measure, print and draw."""
    args = _parser().parse_args()
    size = {
        f'network_g.{key}': str(value)
        for key, value in (('embed_dim', args.embed_dim), ('depths', args.depths), ('num_heads', args.heads))
        if value is not None
    }
    runs = {
        (choice, length, seed): _run(args, size, choice, length, seed)
        for seed, length, choice in product(range(args.seeds), args.lengths, CHOICES)
    }
    train_all(list(runs.values()), args.jobs)
    measured = {key: psnr_of(run, args.test, args.every) for key, run in runs.items()}
    scores = {
        (choice, length): np.array([measured[choice, length, seed] for seed in range(args.seeds)])
        for length, choice in product(args.lengths, CHOICES)
    }
    ends = {key: [ends_of(runs[(*key, seed)]) for seed in range(args.seeds)] for key in scores}
    text = '\n'.join([*table(scores, ends), '', *table_of_differences(scores)]) + '\n'
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / 'flexir_ablation.md').write_text(text, encoding='utf-8')
    print(text, end='')
    draw(scores, args.output / 'flexir_ablation.png')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, seeds=3)
    parser.add_argument('-opt', default=OPTION_FILE, help='option file of the training')
    parser.add_argument('--start', required=True, help='weights of a trained SwinIR of the same size')
    parser.add_argument('--lengths', type=int, nargs='+', default=[500, 1000, 2000], help='iterations (500 1000 2000)')
    parser.add_argument('--milestones', default='auto', help='of PSD, as in the option file (auto)')
    parser.add_argument('--embed_dim', type=int, help='channels of the network, if not those of the option file')
    parser.add_argument('--depths', type=int, nargs='+', help='blocks of each RSTB, likewise')
    parser.add_argument('--heads', type=int, nargs='+', help='heads of each RSTB, likewise')
    parser.add_argument('--lr', default='2e-4', help='rate at the beginning (2e-4)')
    parser.add_argument('--patch', type=int, default=32, help='side of a patch (32)')
    parser.add_argument('--batch', type=int, default=4, help='patches per iteration (4)')
    parser.add_argument('--test', type=Path, default=Path('datasets/CBSD68'), help='folder of clean colour images')
    parser.add_argument('--every', type=int, default=1, help='measure on every so many images of it (1)')
    return parser


def _run(args: argparse.Namespace, size: dict[str, str], choice: str, length: int, seed: int) -> Run:
    """A training; its name tells other settings and other weights at the start apart."""
    changes = {
        **size,
        'train.milestones': args.milestones,
        **CHOICES[choice],
        'path.pretrain_network_g': args.start,
        'path.pretrain_network_t': args.start,
        'train.total_iter': str(length),
        'train.warmup_iter': str(length // 50),
        'train.optim_g.lr': args.lr,
        'train.scheduler.total_iters': str(length),
        'train.ema_decay': '0.99',
        'datasets.train.gt_size': str(args.patch),
        'datasets.train.batch_size_per_gpu': str(args.batch),
        'datasets.train.num_worker_per_gpu': '0',
        'manual_seed': str(seed),
    }
    settings = json.dumps([changes, digest_of_file(args.start)]).encode()
    watched = {
        'datasets.val': json.dumps(
            {**load_options(args.opt)['datasets']['val'], **first_image(args.test, args.output)}
        ),
        'val.val_freq': str(length),
        'val.metrics': '{psnr: {type: calculate_psnr, crop_border: 0}}',
        'logger.save_checkpoint_freq': str(max(1, length // 2)),
        'logger.use_tb_logger': 'false',
    }
    name = f'{choice.replace(" + ", "_")}_{length}_seed{seed}_{digest_of_bytes(settings)[:8]}'
    return Run(f'reproduce_{Path(args.opt).stem}_{name}', args.opt, length, {**changes, **watched})


def first_image(folder: Path, output: Path) -> dict[str, str]:
    """The first image of a folder alone, for the validation of trainings, which are measured on all afterwards."""
    path = output / 'flexir_ablation_first.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(min(path.name for path in folder.iterdir() if not path.name.startswith('.')) + '\n', 'utf-8')
    return {'dataroot_gt': str(folder), 'meta_info_file': str(path)}


# ---- measuring ----


def psnr_of(run: Run, folder: Path, every: int) -> list[list[float]]:
    """PSNR of every measured image by every branch, images x pointers; what was measured before is read."""
    path = EXPERIMENTS / run.name / f'psnr_{folder.name}_every{every}.json'
    if not path.is_file():
        write_json(path, list(_measure(run, folder, every)))
    values: list[list[float]] = read_json(path)
    return values


@torch.no_grad()
def _measure(run: Run, folder: Path, every: int) -> Iterator[list[float]]:
    """The PSNR of an image by every branch: each passes the network once, in the precision of the training."""
    opt, device = load_options(EXPERIMENTS / run.name / Path(run.option_file).name), device_named(None)
    net = build_network({**opt['network_g'], 'channel_scoring': False}).eval().to(device)
    load_network_weights(net, str(EXPERIMENTS / run.name / 'models' / 'net_g_latest.pth'), True, 'params_ema')
    block = {**opt['datasets']['val'], 'meta_info_file': None, 'phase': 'val', 'scale': 1, 'dataroot_gt': str(folder)}
    dataset = build_dataset(block)
    for index in tqdm(range(0, len(dataset), every), f'Measuring {run.name}', leave=False):
        sample = dataset[index]
        clean = tensor2img(sample['gt'])
        psnr = []
        with torch.autocast(device.type, torch.bfloat16, enabled=opt['use_amp']):
            state = net.begin(sample['lq'][None].to(device))
            for _ in range(net.num_branches):
                state = net.step(state)
                image = tensor2img(net.restore(state).float())
                psnr.append(float(calculate_psnr(image, clean, crop_border=0)))
        yield psnr


def ends_of(run: Run) -> list[int]:
    """The iterations after which stages ended by their loss; none where they were known before."""
    state = torch.load(EXPERIMENTS / run.name / 'training_states' / f'{run.iterations}.state', weights_only=True)
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
