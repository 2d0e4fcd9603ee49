"""Fig. 8 of TRAPS: training with and without pixel-shuffled warm-up, on fewer and more images.

    python scripts/reproduce/pixel_shuffle_warmup.py --iterations 900 --seeds 3

A comparison for each number of images: no warm-up, the share of the option file, and longer ones, at equal iterations,
with the same images, weights, crops and noise.
"""

import random
import sys
from pathlib import Path

from comparing import FILES, arguments, compare
from training_files import SWINIR_FILE, all_images

# isort: split
from basicsr_ext.options.load import load_options

SETS = ('full', 'warmup:0.0533', 'warmup:0.1', 'warmup:0.2')


def main() -> int:
    """Compare, for every number of images."""
    parser = arguments(__doc__, iterations=900)
    parser.add_argument('--images', type=int, nargs='+', default=[100, 200, 400], help='that are trained on')
    args, further = parser.parse_known_args()
    opt = load_options(SWINIR_FILE)
    train, report = all_images(opt['datasets']['train']), opt['datasets']['val']
    for number in args.images:
        listed = {**train, 'meta_info_file': listed_images(Path(train['dataroot_gt']), number)}
        opt['datasets'] = {'train': listed, 'val_report': report}
        words = ['--sets', *SETS, '--iterations', str(args.iterations)]
        compare(f'pixel_shuffle_warmup_{number}', opt, words, further)
    return 0


def listed_images(folder: Path, number: int) -> str:
    """Write the names of so many random images; the path of the list."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))
    if number > len(names):
        raise SystemExit(f'--images {number}: expected at most the {len(names)} images of {folder}. Lower it.')
    path = FILES / f'pixel_shuffle_warmup_{number}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(sorted(random.Random(0).sample(names, number))) + '\n', encoding='utf-8')
    return str(path)


if __name__ == '__main__':
    sys.exit(main())
