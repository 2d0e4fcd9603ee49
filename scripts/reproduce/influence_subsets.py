"""Tables 2 to 5 and Fig. 5 of the influence paper: training on Top, Mid, Bottom or random K images, or on all.

    python scripts/reproduce/influence_subsets.py --iterations 2000 --seeds 3

Grey denoising at sigma 50, ranked for BSD68 and measured on Set12. Another network (Tables 3 and 4):
-opt options/train/DnCNN/train_DnCNN_gray_sigma25_mid200_BSD400.yml
--proxy options/rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml.
"""

import sys

from comparing import arguments, compare
from training_files import on_images

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma50_mid20_BSD400.yml'
PROXY = 'pkg://basicsr_ext/weights/IRCNN_gray_sigma50.pth'
SETS = ('full', 'random', 'influence:top', 'influence:mid', 'influence:bottom')
RANK = ('influence.iterations=20', 'influence.curvature_images=40')


def main() -> int:
    """Compare."""
    parser = arguments(__doc__, iterations=2000)
    parser.add_argument('-opt', default=OPTION_FILE, help='option file that trains')
    args, further = parser.parse_known_args()
    words = ['--sets', *SETS, '--sizes', '20', '50', '--proxy', PROXY, '--choosing', *RANK]
    compare('influence_subsets', on_images(args.opt, args.iterations), words, further)
    return 0


if __name__ == '__main__':
    sys.exit(main())
