"""A pool that is mostly not the user's domain: what aiming the choice at the domain gains.

    python scripts/reproduce/targeted.py --photographs datasets/BSD400 --seeds 5
    python scripts/reproduce/targeted.py --photographs datasets/BSD400 --tasks denoise --nets IRCNN DnCNN SwinIR

The pool holds photographs and a share of pages of text; the choice aims at 12 other pages, and is measured on 12
further ones and on photographs; no two of these sets share a font or a photograph. Every task, network and share is a
comparison of its own. Grey denoisers are trained on the choice of the IRCNN that comes with the package, others on the
choice of a network like themselves.
"""

import sys

from comparing import arguments, compare
from pools import add_arguments, document_pool, photographs_of, side_of
from training_files import DENOISERS, TASKS, on_pool

SETS = ('full', 'random', 'influence:top', 'matching')


def main() -> int:
    """Compare, for every task, network and share."""
    parser = arguments(__doc__, iterations=1500)
    add_arguments(parser)
    parser.add_argument('--tasks', nargs='+', choices=list(TASKS), default=list(TASKS), help='what is restored (all)')
    parser.add_argument('--shares', type=float, nargs='+', default=[1, 5, 25], help='of pages in the pool, in per cent')
    parser.add_argument('--nets', nargs='+', choices=DENOISERS, default=['IRCNN'], help='trained denoisers (IRCNN)')
    args, further = parser.parse_known_args()
    for name in args.tasks:
        task = TASKS[name]
        photographs = photographs_of(args, task.color)
        for share in args.shares:
            pool = document_pool(photographs, task.color, side_of(args), share, args.images)
            for net in args.nets if task.network in DENOISERS else [task.network]:
                opt = on_pool(task, pool, net, args.iterations)
                words = ['--sets', *SETS, '--sizes', '20', *(['--proxy', task.proxy] if task.proxy else [])]
                compare(f'targeted_{name}_{net}_{share:g}', opt, words, further)
    return 0


if __name__ == '__main__':
    sys.exit(main())
