"""Training on 2, 5 and 10 % of BSD400, chosen or made in five ways, and on all of it (TripleD, Tables 1 and 5).

    python scripts/reproduce/dataset_distillation.py --iterations 1000 --seeds 3

complexity:top are the most complex images; dynamic as many in each epoch, of rising complexity; influence:mid the
middle of the ranking by influence on BSD68; distilled what `distill` makes, half of it the most complex images, half
of it synthetic. Measured on Set12.
"""

import json
import sys

from comparing import arguments, compare
from training_files import on_images

# isort: split
from basicsr_ext.options.load import load_options

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml'
DISTILL_FILE = 'options/distill/distill_IRCNN_gray_sigma25_BSD400_5.yml'
PROXY = 'pkg://basicsr_ext/weights/IRCNN_gray_sigma25.pth'
SETS = ('full', 'random', 'complexity:top', 'dynamic', 'influence:mid', 'distilled')
OF_COMPARISON = ('ratio', 'kept', 'manifest')  # keys of a distillation that the comparison sets


def main() -> int:
    """Compare."""
    parser = arguments(__doc__, iterations=1000)
    parser.add_argument('--patch', type=int, default=48, help='side of a training patch (48)')
    args, further = parser.parse_known_args()
    words = ['--sets', *SETS, '--sizes', '2%', '5%', '10%', '--proxy', PROXY, '--choosing', *distilling()]
    compare('dataset_distillation', on_images(OPTION_FILE, args.iterations, patch=args.patch), words, further)
    return 0


def distilling() -> list[str]:
    """The settings of the option file that distils, as `compare --choosing` takes them."""
    block = load_options(DISTILL_FILE)['distill']
    return [f'distilled.{key}={json.dumps(value)}' for key, value in block.items() if key not in OF_COMPARISON]


if __name__ == '__main__':
    sys.exit(main())
