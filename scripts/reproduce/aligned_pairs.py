"""Aligned images as training pairs: does a network learn the tuner too, and does it help to move the inputs with them?

    python scripts/reproduce/aligned_pairs.py --task noise --iterations 2000 --seeds 5

Writes pairs of files from a folder of images, degraded by noise of sigma 25 or by JPEG of quality 10, chooses a share
of them by entropy, and aligns these to all, with `align.input` moved and kept. A network is trained on each choice and
measured on pairs made of other images. Rows of a seed begin with the same weights. Writes PSNR, and the differences to
the untuned choice with intervals that hold together.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from training_files import LOADER, PATCH, PSNR, TRAIN_FILE, network, short_schedule
from training_runs import EXPERIMENTS, Run, arguments, train_all

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr.data import build_dataset

from basicsr_ext.__main__ import main as command
from basicsr_ext.images.pixels import bgr_8bit
from basicsr_ext.options.load import load_options
from basicsr_ext.reports.paired import differences_of
from basicsr_ext.runtime.files import atomic_open, digest_of_bytes, read_json

RANK_FILE = 'options/rank/rank_complexity_entropy_BSD400_gray.yml'
ALIGN_FILE = 'options/align/align_BSD400_gray_2.yml'
TASKS = {
    'noise': {'type': 'GaussianDenoisingDataset', 'sigma': 25},
    'jpeg': {'type': 'JPEGCompressionDataset', 'quality': 10},
}
INPUTS = ('kept', 'moved')
REFERENCE = 'chosen'  # by entropy, not tuned

Block = dict[str, Any]


def main() -> int:
    """Make, choose, align, train and print."""
    parser = arguments(__doc__, seeds=5)
    parser.add_argument('--task', choices=TASKS, default='noise', help='how the images are degraded (noise)')
    parser.add_argument('--images', type=Path, default=Path('datasets/BSD400'), help='folder to choose from')
    parser.add_argument('--report', type=Path, default=Path('datasets/CBSD68'), help='folder that is measured on')
    parser.add_argument('--share', type=float, default=5, help='of the images that is chosen, in per cent (5)')
    parser.add_argument('--iterations', type=int, default=2000, help='of each training (2000)')
    parser.add_argument('--tuning', type=int, default=400, help='iterations of the tuner (400)')
    args = parser.parse_args()
    root = args.output / 'aligned_pairs'
    every, report = (
        pairs(args.task, folder, root / f'{args.task}_{folder.name}') for folder in (args.images, args.report)
    )
    chosen = choose(every, f'aligned_pairs_{args.task}_{args.images.name}', root, args.share)
    sets = {'all': every, REFERENCE: chosen}
    for kind in INPUTS:
        name = f'aligned_pairs_{args.task}_{args.images.name}_{args.share:g}_{args.tuning}_{kind}'
        sets[f'aligned, input {kind}'] = align(chosen, every, kind, name, root, args.tuning)
    option_file = written({**load_options(TRAIN_FILE), 'scale': 1}, root / 'train.yml')
    runs = {
        (row, seed): training(row, block, report, args.iterations, seed, option_file)
        for seed in range(args.seeds)
        for row, block in sets.items()
    }
    train_all(list(runs.values()), args.jobs)
    scores = {row: np.array([psnr_of(runs[row, seed]) for seed in range(args.seeds)]) for row in sets}
    text = '\n'.join(table(scores)) + '\n'
    with atomic_open(args.output / f'aligned_pairs_{args.task}.md', 'w') as file:
        file.write(text)
    print(text, end='')
    return 0


# ---- the sets ----


def pairs(task: str, images: Path, folder: Path) -> Block:
    """The block that reads pairs of files, which are written unless they are there."""
    if not folder.is_dir():
        part = folder.with_name(f'{folder.name}.part')
        shutil.rmtree(part, ignore_errors=True)
        degraded = {**TASKS[task], 'name': images.name, 'dataroot_gt': str(images), 'color': 'rgb', 'phase': 'val'}
        dataset = build_dataset({**degraded, 'scale': 1})
        for kind in ('gt', 'lq'):
            (part / kind).mkdir(parents=True)
        for index in range(len(dataset)):
            sample = dataset[index]
            for kind in ('gt', 'lq'):
                cv2.imwrite(str(part / kind / f'{Path(sample["gt_path"]).stem}.png'), bgr_8bit(sample[kind]))
        part.rename(folder)
    return reader(folder)


def reader(folder: Path) -> Block:
    """The block of a dataset that reads `gt/` and `lq/`."""
    roots = {f'dataroot_{kind}': str(folder / kind) for kind in ('gt', 'lq')}
    return {'name': folder.name, 'type': 'PairedImageDataset', **roots, 'io_backend': {'type': 'disk'}}


def choose(every: Block, name: str, root: Path, share: float) -> Block:
    """The pairs whose clean images have the highest entropy."""
    opt = load_options(RANK_FILE)
    opt['datasets'] = {'train': every}
    job('rank', name, opt, root)
    manifest = str(Path('results', name, 'ranking.parquet'))
    chosen = {'manifest': manifest, 'subset': 'top', 'ratio': share / 100, 'dataset': every}
    return {'name': f'{every["name"]}_{share:g}', 'type': 'InfluenceSubsetDataset', **chosen}


def align(chosen: Block, every: Block, kind: str, name: str, root: Path, iterations: int) -> Block:
    """The chosen pairs after tuning."""
    opt = load_options(ALIGN_FILE)
    opt['align'] = {**opt['align'], 'iterations': iterations, 'input': kind}
    opt['datasets'] = {'train': chosen, 'target': every}
    opt['network_tuner']['in_channels'] = 3
    job('align', name, opt, root)
    return reader(Path('results', name))


def job(kind: str, name: str, opt: Block, root: Path) -> None:
    """Run a job of the package, which does nothing where its result is there.

    Raises:
        SystemExit: it did not end well, as it has told.
    """
    if code := command([kind, '-opt', written({**opt, 'name': name}, root / f'{name}.yml')]):
        raise SystemExit(code)


def written(opt: Block, path: Path) -> str:
    """Write an option file; returns its path."""
    with atomic_open(path, 'w') as file:
        yaml.safe_dump(opt, file, sort_keys=False, allow_unicode=True)
    return str(path)


# ---- the trainings ----


def training(row: str, block: Block, report: Block, iterations: int, seed: int, option_file: str) -> Run:
    """A training; its name tells other settings apart."""
    crop = {'gt_size': PATCH, 'use_hflip': True, 'use_rot': True}
    inner = block.get('dataset')
    train = {**block, **LOADER, **({'dataset': {**inner, **crop}} if inner else crop)}
    changes = {
        **short_schedule(iterations),
        'network_g': json.dumps(network('IRCNN', 'rgb')),
        'datasets.train': json.dumps(train),
        'datasets.val': json.dumps(report),
        'val.metrics': json.dumps({'psnr': PSNR}),
        'val.val_freq': str(iterations),
        'logger.save_checkpoint_freq': str(max(1, iterations // 2)),
        'manual_seed': str(seed),
    }
    digest = digest_of_bytes(json.dumps(changes, sort_keys=True).encode())[:8]
    slug = row.replace(', ', '_').replace(' ', '_')
    return Run(f'aligned_pairs_{slug}_{iterations}_seed{seed}_{digest}', option_file, iterations, changes)


def psnr_of(run: Run) -> list[float]:
    """PSNR of every reported image, in the order of their names."""
    (images,) = read_json(EXPERIMENTS / run.name / 'metrics.json')['per_image'].values()
    return [images[name]['psnr'] for name in sorted(images)]


def table(scores: dict[str, np.ndarray]) -> Sequence[str]:
    """PSNR of each row, mean and spread of the seeds, and what it gains over the untuned choice.

    Args:
        scores: row -> (seeds, images).
    """
    found = differences_of({row: values - scores[REFERENCE] for row, values in scores.items() if row != REFERENCE})
    lines = [f'| trained on | PSNR [dB] | over {REFERENCE} |', '|---|---|---|']
    for row, values in scores.items():
        by_seed = values.mean(1)
        spread = f' ({by_seed.std(ddof=1):.2f})' if len(by_seed) > 1 else ''
        gain = found.get(row)
        cell = f'{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})' if gain else ''
        lines.append(f'| {row} | {by_seed.mean():.2f}{spread} | {cell} |')
    return lines


if __name__ == '__main__':
    sys.exit(main())
