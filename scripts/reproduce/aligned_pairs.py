"""Aligned images as training pairs: does a network learn the tuner too, and does it help to move the inputs with them?

    python scripts/reproduce/aligned_pairs.py --task noise --iterations 2000 --seeds 5

Writes pairs of files from a folder of images, degraded by noise of sigma 25 or by JPEG of quality 10, and compares all
of them, random ones, the share of the highest entropy, and these aligned to all, with `align.input` moved and kept.
Every row is compared with the untuned choice, on pairs made of other images.
"""

import shutil
import sys
from pathlib import Path

import cv2
from comparing import FILES, arguments, compare
from training_files import LOADER, PATCH, PSNR, TRAIN_FILE, Block, network, shortened

# isort: split
from basicsr_ext.data.read_item import read_item
from basicsr_ext.images.pixels import bgr_8bit
from basicsr_ext.training.building import build_dataset

TASKS = {
    'noise': {'type': 'GaussianDenoisingDataset', 'sigma': 25},
    'jpeg': {'type': 'JPEGCompressionDataset', 'quality': 10},
}
SETS = (
    'full',
    'random',
    'complexity:top',
    *(f'{kind} inputs=aligned@aligned.input={kind}' for kind in ('kept', 'moved')),
)


def main() -> int:
    """Make the pairs, and compare."""
    parser = arguments(__doc__, iterations=2000)
    parser.add_argument('--task', choices=TASKS, default='noise', help='how the images are degraded (noise)')
    parser.add_argument('--images', type=Path, default=Path('datasets/BSD400'), help='folder to choose from')
    parser.add_argument('--measured', type=Path, default=Path('datasets/CBSD68'), help='folder that is measured on')
    parser.add_argument('--share', type=float, default=5, help='of the images that is chosen, in per cent (5)')
    args, further = parser.parse_known_args()
    root = FILES / 'aligned_pairs'
    every, report = (
        pairs(args.task, folder, root / f'{args.task}_{folder.name}') for folder in (args.images, args.measured)
    )
    words = ['--sets', *SETS, '--sizes', f'{args.share:g}%', '--against', f'complexity:top {args.share:g} %']
    compare(f'aligned_pairs_{args.task}', training_file(every, report, args.iterations), words, further)
    return 0


def training_file(every: Block, report: Block, iterations: int) -> Block:
    """Options that train a small network on all pairs."""
    opt = {**shortened(TRAIN_FILE, iterations), 'scale': 1, 'network_g': network('IRCNN', 'rgb')}
    crop = {'gt_size': PATCH, 'use_hflip': True, 'use_rot': True}
    opt['datasets'] = {'train': {**every, **crop, **LOADER}, 'val_report': report}
    opt['val']['metrics'] = {'psnr': PSNR}
    return opt


def pairs(task: str, images: Path, folder: Path) -> Block:
    """The block that reads pairs of files, which are written unless they are there."""
    if not folder.is_dir():
        part = folder.with_name(f'{folder.name}.part')
        shutil.rmtree(part, ignore_errors=True)
        degraded = {**TASKS[task], 'name': images.name, 'dataroot_gt': str(images), 'color': 'rgb', 'phase': 'val'}
        dataset = build_dataset({**degraded, 'scale': 1}, images.name)
        for kind in ('gt', 'lq'):
            (part / kind).mkdir(parents=True)
        for index in range(len(dataset)):
            sample = read_item(dataset, index)
            for kind in ('gt', 'lq'):
                cv2.imwrite(str(part / kind / f'{Path(sample["gt_path"]).stem}.png'), bgr_8bit(sample[kind]))
        part.rename(folder)
    roots = {f'dataroot_{kind}': str(folder / kind) for kind in ('gt', 'lq')}
    return {'name': folder.name, 'type': 'PairedImageDataset', **roots, 'io_backend': {'type': 'disk'}}


if __name__ == '__main__':
    sys.exit(main())
