"""TRAPS: training with and without pixel-shuffled warm-up.

    python scripts/reproduce/pixel_shuffle_warmup.py --tables data --iterations 900 --seeds 3
    python scripts/reproduce/pixel_shuffle_warmup.py --tables stops durations scales controls

data: on fewer and more images (Fig. 8), each number a comparison; beside the warm-up stand its controls. stops: ended
after 4 to 30 of 300 epochs (Tables 3 to 6, Fig. 6). durations: half, the whole and twice the iterations, with curves
(Fig. 7, and Fig. 9 to 12). scales: three sizes of SwinIR (Fig. 7). controls: a warm-up of the learning rate that is as
long, and blocks of 2 x 2, 4 x 4 and 8 x 8 pixels that move as wholes. Colour denoising at sigma 50 on BSD400, measured
on Set5; checkpoints, where they are chosen, on one half of CBSD68. Other networks: -opt, such as
options/train/GRL/train_GRL-S_color_sigma50_DIV2K.yml with its own data.
"""

import random
import sys
from pathlib import Path

from comparing import FILES, add_tables, arguments, compare
from training_files import SWINIR_FILE, Block, all_images, apart, listed

# isort: split
from basicsr_ext.options.load import load_options

SHARE = 16 / 300  # of the training that is warm-up, as the paper found best for small networks
WARMUP = f'warmup:{SHARE:.4f}'
STOPS = (4, 8, 10, 16, 20, 24, 30)  # of 300 epochs
BLOCKS = (2, 4, 8)  # pixels
SIZES = ('[2,2]@network_g.embed_dim=48', '[4,4]@network_g.embed_dim=64')  # of SwinIR, beside that of the file
TABLES = ('data', 'stops', 'durations', 'scales', 'controls')


def main() -> int:
    """Compare, for every table."""
    parser = arguments(__doc__, iterations=900)
    add_tables(parser, TABLES)
    parser.add_argument('-opt', default=SWINIR_FILE, help='option file that trains, with a warm-up or without')
    parser.add_argument('--images', type=int, nargs='+', default=[100, 200, 400], help='of data (100 200 400)')
    args, further = parser.parse_known_args()
    opt = training_file(args.opt)
    for table in args.tables:
        numbers = args.images if table == 'data' else [None]
        lengths = [args.iterations // 2, args.iterations, 2 * args.iterations]
        for iterations in lengths if table == 'durations' else [args.iterations]:
            for number in numbers:
                tail = {'data': f'_{number}', 'durations': f'_{iterations}'}.get(table, '')
                words = ['--sets', *sets_of(table, opt), '--iterations', str(iterations)]
                words += ['--curve', '10'] if table == 'durations' else []
                compare(f'pixel_shuffle_warmup_{table}{tail}', on_part(opt, number), words, further)
    return 0


def training_file(option_file: str) -> Block:
    """The options of a file without its warm-up, the sets kept apart."""
    opt = load_options(option_file)
    opt['datasets'] = {
        'train': all_images(opt['datasets']['train']),
        **apart(opt['datasets']['val'], 'datasets/CBSD68'),
    }
    return opt


def sets_of(table: str, opt: Block) -> list[str]:
    """The rows of a table."""
    if table == 'stops':
        return ['full', *(f'warmup:{epochs / 300:.4f}' for epochs in STOPS)]
    if table == 'scales':
        changes = ['', *(f'@network_g.depths={size}' for size in SIZES)]
        return [f'{each}{change}' for change in changes for each in ('full', WARMUP)]
    if table == 'durations':
        return ['full', WARMUP]
    rate = f'rate warms up=full@train.warmup_iter={round(SHARE * opt["train"]["total_iter"])}'
    return ['full', WARMUP, rate, *(f'{WARMUP}:{side}' for side in BLOCKS)]


def on_part(opt: Block, number: int | None) -> Block:
    """The options with so many random images, the same each time; None takes all."""
    if number is None:
        return opt
    train = opt['datasets']['train']
    folder = Path(train['dataroot_gt'])
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))
    if number > len(names):
        raise SystemExit(f'--images {number}: expected at most the {len(names)} images of {folder}. Lower it.')
    path = FILES / f'pixel_shuffle_warmup_{number}.txt'
    part = {**train, 'meta_info_file': listed(sorted(random.Random(0).sample(names, number)), path)}
    return {**opt, 'datasets': {**opt['datasets'], 'train': part}}


if __name__ == '__main__':
    sys.exit(main())
