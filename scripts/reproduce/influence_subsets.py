"""The influence paper: training on Top, Mid, Bottom or random K images, or on all.

    python scripts/reproduce/influence_subsets.py --tables 5 --iterations 2000 --seeds 3
    python scripts/reproduce/influence_subsets.py --tables 3 4 --nets DnCNN Restormer

Tables 2 and 5: 20 to 200 images. Fig. 4: Mid alone, up to 300. Fig. 5: 20 images, measured ten times on the way. Table
3: what IRCNN has chosen trains other networks, Table 4: measured on BSD68. Grey denoising, ranked for one half of BSD68
and measured on Set12; for Table 4 the other way round. The networks are small ones; one at full size is that of its
option file: -opt options/train/DnCNN/train_DnCNN_gray_sigma25_mid200_BSD400.yml.
"""

import sys

from comparing import add_tables, arguments, compare
from training_files import RATES, network, on_images, proxy_file

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma50_mid20_BSD400.yml'
RANK = ('influence.iterations=20', 'influence.curvature_images=40')
THREE = ('influence:top', 'influence:mid', 'influence:bottom')
TABLES = {
    '5': ['--sets', 'full', 'random', *THREE, '--sizes', '20', '50', '100', '200'],
    '3': ['--sets', 'full', 'random', 'influence:mid', '--sizes', '200'],
    '4': ['--sets', 'full', 'random', 'influence:mid', '--sizes', '200']
    + ['--target', 'datasets/Set12', '--report', 'datasets/BSD68'],
    'fig4': ['--sets', 'full', 'random', 'influence:mid', '--sizes', '20', '50', '100', '200', '300'],
    'fig5': ['--sets', 'full', 'random', *THREE, '--sizes', '20', '--curve', '10'],
}


def main() -> int:
    """Compare, for every table and network."""
    parser = arguments(__doc__, iterations=2000)
    add_tables(parser, TABLES)
    parser.add_argument('-opt', default=OPTION_FILE, help='option file that trains')
    parser.add_argument('--sigma', type=int, choices=(15, 25, 50), default=50, help='of the noise (50)')
    parser.add_argument('--nets', nargs='+', choices=('DnCNN', 'Restormer'), help='small networks (that of the file)')
    args, further = parser.parse_known_args()
    for table in args.tables:
        for net in args.nets or ['']:
            opt = on_images(args.opt, args.iterations, rate=RATES.get(net))
            if net:
                opt['network_g'] = network(net, 'gray')
            for block in opt['datasets'].values():
                block['sigma'] = args.sigma
            words = [*TABLES[table], '--proxy', proxy_file(args.sigma), '--choosing', *RANK]
            name = '_'.join(filter(None, ['influence', table, net, f'sigma{args.sigma}']))
            compare(name, opt, words, further)
    return 0


if __name__ == '__main__':
    sys.exit(main())
