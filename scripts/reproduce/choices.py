"""Ways to choose 20 images, where the domain is larger than that and where there is no domain.

    python scripts/reproduce/choices.py --photographs datasets/BSD400 --seeds 5

Grey denoising on two pools: a quarter of pages of text, aimed at other pages; and photographs alone, aimed at other
photographs. `matching` comes with each of its guards.
"""

import sys

from comparing import arguments, compare
from pools import add_arguments, document_pool, photograph_pool, photographs_of, side_of
from training_files import TASKS, on_pool

OTHERS = ('kcenter', 'herding', 'moderate', 'craig', 'el2n', 'stratified')
SETS = ('full', 'random', 'influence:top', 'influence:mid', 'matching', 'matching:norm', 'matching:curvature', *OTHERS)
POOLS = ('pages', 'photographs')
SHARE = 25  # of pages, in per cent: 5 x 20 of 400


def main() -> int:
    """Compare on each pool."""
    parser = arguments(__doc__, iterations=1500)
    add_arguments(parser)
    parser.add_argument('--pools', nargs='+', choices=POOLS, default=list(POOLS), help='which (both)')
    args, further = parser.parse_known_args()
    task = TASKS['denoise']
    photographs = photographs_of(args, task.color)
    for name in args.pools:
        if name == 'pages':
            pool = document_pool(photographs, task.color, side_of(args), SHARE, args.images)
        else:
            pool = photograph_pool(photographs, task.color, args.images)
        opt = on_pool(task, pool, task.network, args.iterations)
        compare(f'choices_{name}', opt, ['--sets', *SETS, '--sizes', '20', '--proxy', str(task.proxy)], further)
    return 0


if __name__ == '__main__':
    sys.exit(main())
