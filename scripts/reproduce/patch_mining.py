"""Soh and Cho (2021): which patches are best to train on, and how many?

    python scripts/reproduce/patch_mining.py --iterations 2000 --seeds 3
    python scripts/reproduce/patch_mining.py --tables 1 2 3 --task sr

criteria: half of the patches by each criterion, and half of the images. 1: numbers of patches by loss and gradients,
with flips and without (Table I, Fig. 5). 2: at two strides (Table II). 3: by the depth of the network (Table III, Fig.
8; super-resolution alone). 9: numbers by criterion (Fig. 6 and 9). Grey denoising at sigma 25, or with --task sr a
small EDSR at x2, as in the paper; its strides of 120 and 60 for patches of 96 become the same parts of the patches
here.
"""

import sys

from comparing import add_tables, arguments, compare
from training_files import PATCH, RATES, Block, network, on_images, proxy_file

OPTION_FILES = {
    'denoise': 'options/train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml',
    'sr': 'options/train/EDSR/train_EDSR_Mx2_BicubicSR_BSD400.yml',
}
SIDES = {'denoise': PATCH, 'sr': 2 * PATCH}
WITHOUT_FLIPS = '@datasets.train.use_hflip=false@datasets.train.use_rot=false'
NUMBERS = ('1000patches', '2000patches', '4000patches', '7000patches')
DEPTHS = ('2', '8', '16')  # residual blocks of EDSR, beside the 4 of the file
TABLES = {
    'criteria': ['full', 'random', 'mined:grad', 'mined:loss', 'mined:std', 'mined:freq'],
    '1': ['full', 'random', 'mined:grad', 'mined:loss']
    + [f'{each} without flips={each}{WITHOUT_FLIPS}' for each in ('full', 'random', 'mined:grad', 'mined:loss')],
    '2': ['random', 'mined:grad', 'mined:grad close=mined:grad@mined.stride={close}'],
    '3': ['full', 'random', 'mined:grad']
    + [f'{each}@network_g.num_block={depth}' for depth in DEPTHS for each in ('full', 'random', 'mined:grad')],
    '9': ['full', 'random', 'mined:grad', 'mined:loss', 'mined:std', 'mined:freq'],
}
SIZES = {'criteria': ('50%',), '2': ('1000patches', '2000patches', '3000patches')}


def main() -> int:
    """Compare, for every table."""
    parser = arguments(__doc__, iterations=2000)
    add_tables(parser, TABLES)
    parser.add_argument('--task', choices=list(OPTION_FILES), default='denoise', help='what is restored (denoise)')
    args, further = parser.parse_known_args()
    for table in args.tables:
        task = 'sr' if table == '3' else args.task
        opt = training_file(task, args.iterations)
        compare(f'patch_mining_{table}_{task}', opt, words_of(table, task), further)
    return 0


def training_file(task: str, iterations: int) -> Block:
    """Options that train on all images; super-resolution aims at Set14 and is measured on Set5."""
    if task == 'denoise':
        return on_images(OPTION_FILES[task], iterations)
    opt = on_images(OPTION_FILES[task], iterations, 'datasets/Set14', SIDES[task], RATES['EDSR'])
    opt['network_g'] = network('EDSR', 'rgb')
    return opt


def words_of(table: str, task: str) -> list[str]:
    """What `compare` is told."""
    side = SIDES[task]
    sets = [each.format(close=round(0.625 * side)) for each in TABLES[table]]
    words = ['--sets', *sets, '--sizes', *SIZES.get(table, NUMBERS)]
    words += ['--choosing', f'mined.stride={round(1.25 * side)}'] if table == '2' else []
    return [*words, *(['--proxy', proxy_file(25)] if task == 'denoise' else [])]


if __name__ == '__main__':
    sys.exit(main())
