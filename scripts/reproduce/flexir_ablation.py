"""Table 6 of FlexIR: self-distillation of all branches at once (SD), progressive (PSD), and with channel-wise scoring.

    python -m basicsr_ext train -opt options/train/SwinIR/train_SwinIR_light_color_sigma25_BSD400.yml
    python scripts/reproduce/flexir_ablation.py --start weights/SwinIR_light_color_sigma25.pth

Every run starts from the weights of a trained SwinIR, which is also its teacher, and takes the same batches. Writes a
table of PSNR by pointer, mean and spread over the seeds, and the curves.
"""

import statistics
import sys
from pathlib import Path

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

from basicsr_ext.options.load import load_options
from basicsr_ext.runtime.checkpoint import load_network_weights

OPTION_FILE = 'options/train/FlexIR/train_FlexIR_light_color_sigma25_BSD400.yml'
CHOICES = {
    'SD': {'train.progressive': 'false', 'network_g.channel_scoring': 'false'},
    'PSD': {'train.progressive': 'true', 'network_g.channel_scoring': 'false'},
    'PSD + scoring': {'train.progressive': 'true', 'network_g.channel_scoring': 'true'},
}


def main() -> int:
    """Train, measure, print and draw."""
    parser = arguments(__doc__, iterations=2000, seeds=1)
    parser.add_argument('-opt', default=OPTION_FILE, help='option file of the training')
    parser.add_argument('--start', required=True, help='weights of a trained SwinIR of the same size')
    parser.add_argument('--lr', default='2e-4', help='rate at the beginning (2e-4)')
    parser.add_argument('--patch', type=int, default=32, help='side of a patch (32)')
    parser.add_argument('--batch', type=int, default=4, help='patches per iteration (4)')
    parser.add_argument('--test', default='datasets/CBSD68', help='folder of clean colour images')
    parser.add_argument('--every', type=int, default=1, help='measure on every so many images of it (1)')
    args = parser.parse_args()

    def run(choice: str, seed: int) -> Run:
        changes = {
            **CHOICES[choice],
            'path.pretrain_network_g': args.start,
            'path.pretrain_network_t': args.start,
            'train.total_iter': str(args.iterations),
            'train.warmup_iter': str(args.iterations // 50),
            'train.optim_g.lr': args.lr,
            'train.scheduler.total_iters': str(args.iterations),
            'train.ema_decay': '0.99',
            'datasets.train.gt_size': str(args.patch),
            'datasets.train.batch_size_per_gpu': str(args.batch),
            'datasets.train.num_worker_per_gpu': '0',
            'datasets.val.dataroot_gt': args.test,
            'val.val_freq': str(args.iterations),
            'val.metrics': '{psnr: {type: calculate_psnr, crop_border: 0}}',
            'logger.save_checkpoint_freq': str(max(1, args.iterations // 4)),
            'logger.use_tb_logger': 'false',
            'manual_seed': str(seed),
        }
        name = choice.replace(' + ', '_')
        return Run(f'reproduce_{Path(args.opt).stem}_{name}_{args.iterations}_seed{seed}', args.opt, changes)

    runs = {(choice, seed): run(choice, seed) for choice in CHOICES for seed in range(args.seeds)}
    train_all(list(runs.values()), args.iterations, args.jobs)

    opt = load_options(args.opt)
    scores = {key: psnr_by_pointer(item, opt, args.test, args.every) for key, item in runs.items()}
    pointers = range(1, len(opt['network_g']['depths']) + 1)
    lines = [f'| | {" | ".join(f"P = {pointer}" for pointer in pointers)} |', '|---' * (len(pointers) + 1) + '|']
    means = {}
    for choice in CHOICES:
        columns = list(zip(*(scores[choice, seed] for seed in range(args.seeds)), strict=True))
        means[choice] = [statistics.mean(column) for column in columns]
        spreads = [statistics.stdev(column) if len(column) > 1 else 0.0 for column in columns]
        cells = [f'{mean:.3f} ({spread:.3f})' for mean, spread in zip(means[choice], spreads, strict=True)]
        lines.append(f'| {choice} | {" | ".join(cells)} |')
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / 'flexir_ablation.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))

    figure = Figure(figsize=(5, 4), layout='constrained')
    axes = figure.subplots()
    for choice, values in means.items():
        axes.plot(list(pointers), values, 'o-', label=choice)
    axes.set(xlabel='pointer', ylabel='PSNR [dB]', xticks=list(pointers))
    axes.legend()
    figure.savefig(args.output / 'flexir_ablation.png', dpi=120)
    return 0


@torch.no_grad()
def psnr_by_pointer(run: Run, opt: dict, folder: str, every: int) -> list[float]:
    """Mean PSNR of every branch: each image passes the network once."""
    net = build_network({**opt['network_g'], 'channel_scoring': False}).eval()
    load_network_weights(net, str(EXPERIMENTS / run.name / 'models' / 'net_g_latest.pth'), True, 'params_ema')
    dataset = build_dataset({**opt['datasets']['val'], 'phase': 'val', 'scale': 1, 'dataroot_gt': folder})
    values: list[list[float]] = []
    for index in tqdm(range(0, len(dataset), every), f'Measuring {run.name}', leave=False):
        sample = dataset[index]
        clean = tensor2img(sample['gt'])
        state = net.begin(sample['lq'][None])
        values.append([])
        for _ in range(net.num_branches):
            state = net.step(state)
            values[-1].append(float(calculate_psnr(tensor2img(net.restore(state)), clean, crop_border=0)))
    return [statistics.mean(column) for column in zip(*values, strict=True)]


if __name__ == '__main__':
    sys.exit(main())
