"""The question of Soh and Cho (2021) at a small size: which half of the patches is best to train on?

    python scripts/reproduce/patch_mining.py --iterations 2000 --seeds 3

Grey denoising at sigma 25: the patches with the largest gradients, losses and deviations, all patches, and those of a
random half of the images. Super-resolution, as in the paper, at the length of the option file:

    python -m basicsr_ext compare -opt options/train/EDSR/train_EDSR_Mx2_BicubicSR_BSD400.yml
        --sets full mined:grad mined:loss --sizes 50%
"""

import sys

from comparing import arguments, compare
from training_files import on_images

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml'
PROXY = 'pkg://basicsr_ext/weights/IRCNN_gray_sigma25.pth'
SETS = ('full', 'random', 'mined:grad', 'mined:loss', 'mined:std')


def main() -> int:
    """Compare."""
    args, further = arguments(__doc__, iterations=2000).parse_known_args()
    words = ['--sets', *SETS, '--sizes', '50%', '--proxy', PROXY]
    compare('patch_mining', on_images(OPTION_FILE, args.iterations), words, further)
    return 0


if __name__ == '__main__':
    sys.exit(main())
