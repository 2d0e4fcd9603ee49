"""Table 1 of the influence paper: a denoiser trained on images whose detail an r x r mean filter has averaged away.

    python scripts/reproduce/influence_rblur.py --iterations 2000 --seeds 3

A row for each r, compared with r = 1, which blurs nothing; measured on the sharp images of Set12.
"""

import sys

from comparing import arguments, compare
from training_files import LOADER, PATCH, apart, shortened

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_rblur3_BSD400.yml'


def main() -> int:
    """Compare."""
    parser = arguments(__doc__, iterations=2000)
    parser.add_argument('--kernel_sizes', type=int, nargs='+', default=[3, 5, 10, 20], help='r (3 5 10 20)')
    args, further = parser.parse_known_args()
    opt = shortened(OPTION_FILE, args.iterations)
    train = opt['datasets']['train']
    train.update(LOADER, kernel_size=1)
    train['dataset']['gt_size'] = PATCH
    opt['datasets'] = {'train': train, **apart(opt['datasets']['val'], 'datasets/BSD68')}
    sets = [f'full@datasets.train.kernel_size={r}' for r in args.kernel_sizes]
    compare('influence_rblur', opt, ['--sets', 'full', *sets], further)
    return 0


if __name__ == '__main__':
    sys.exit(main())
