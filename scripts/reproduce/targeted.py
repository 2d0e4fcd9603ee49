"""A pool that is mostly not the user's domain: what aiming the choice at the domain gains.

    python scripts/reproduce/targeted.py --photographs datasets/BSD400 --seeds 5
    python scripts/reproduce/targeted.py --photographs datasets/BSD400 --tasks denoise --nets IRCNN DnCNN SwinIR

The pool holds photographs and a share of pages of text; the choice aims at 12 other pages, and is tested on 12 further
ones and on photographs; no two of these sets share a font or a photograph. top: the first K by influence; matching: K
that together take the step of the target; random: drawn anew for each seed; oracle: drawn from the pages, by someone
who knows them. Every row trains for the same number of iterations. --nets trains others on the choice of the proxy.
"""

import argparse
import sys
from functools import partial
from typing import Any

import numpy as np
from choosing import (
    DATA,
    Choice,
    Ranked,
    Setting,
    arguments,
    at_once,
    photographs_of,
    side_of,
    train_choices,
    train_proxies,
)
from comparison import report
from pools import document_pool
from tasks import DENOISERS, TASKS

CHOICES = ('top', 'matching', 'random', 'all', 'oracle')


def main() -> int:
    """Rank, train, print and draw."""
    parser = arguments(__doc__)
    parser.add_argument('--tasks', nargs='+', choices=list(TASKS), default=list(TASKS), help='what is restored (all)')
    parser.add_argument('--shares', type=float, nargs='+', default=[1, 5, 25], help='of pages in the pool, in per cent')
    parser.add_argument('--choices', nargs='+', choices=CHOICES, default=list(CHOICES), help='rows (all)')
    parser.add_argument('--nets', nargs='+', choices=DENOISERS, default=['IRCNN'], help='trained denoisers (IRCNN)')
    parser.add_argument('--guard', default='none', help='of matching (none)')
    args = parser.parse_args()
    made = settings(args)
    if {'top', 'matching'} & set(args.choices):
        train_proxies(made, args)
    rows, facts = [], []
    rankings = at_once([partial(rank, setting, args) for setting in made], args.jobs)
    for setting, ranked in zip(made, rankings, strict=True):
        if ranked is not None:
            facts.append(domain(setting, ranked, args.size))
        nets = args.nets if setting.task.network in DENOISERS else [setting.task.network]
        rows += [(setting, net, choice) for net in nets for choice in choices(setting, ranked, args)]
    reached, seconds = train_choices(rows, args)
    lines = [f'{fact["setting"]}: {fact["text"]}; ranked in {fact["seconds"]:.0f} s.' for fact in facts]
    lines += [f'{name}: one training takes {value:.0f} s.' for name, value in seconds.items()]
    report('targeted', reached, args.output, {'rankings': facts, 'seconds_of_a_training': seconds}, lines)
    return 0


def settings(args: argparse.Namespace) -> list[Setting]:
    """Every task with every share."""
    made = []
    for name in args.tasks:
        task = TASKS[name]
        photographs = photographs_of(args, task.color)
        for share in args.shares:
            pool = document_pool(photographs, task.color, side_of(args), share, args.images, DATA)
            made.append(Setting(f'{name}, {share:g} %', task, pool, args))
    return made


def rank(setting: Setting, args: argparse.Namespace) -> Ranked | None:
    """The ranking that the rows need."""
    if 'matching' in args.choices:
        return setting.rank('matching', size=args.size, guard=args.guard, baselines=['influence'])
    return setting.rank('influence') if 'top' in args.choices else None


def choices(setting: Setting, ranked: Ranked | None, args: argparse.Namespace) -> list[Choice]:
    """The rows of a setting."""
    pool, size = setting.pool, args.size
    made = {
        'random': setting.drawn('random', pool.names(), size),
        'all': setting.all(),
        'oracle': setting.drawn('oracle', pool.names('document'), size),
    }
    if ranked is not None:
        made['top'] = setting.ranked('top', ranked, 'influence', size)
        made['matching'] = setting.ranked('matching', ranked, 'matching', size)
    return [made[name] for name in args.choices]


def domain(setting: Setting, ranked: Ranked, size: int) -> dict[str, Any]:
    """Where the pages stand in the order by influence, and how many of them matching took."""
    pages = setting.pool.names('document')
    ranks = sorted(ranked.ranks('influence')[name] for name in pages)
    first = sum(rank <= len(pages) for rank in ranks)
    text = (
        f'{first} of {len(pages)} pages on the first {len(pages)} ranks by influence, median rank {np.median(ranks):g}'
    )
    fact = {'setting': setting.title, 'ranks': ranks, 'seconds': ranked.seconds}
    if ranked.method == 'matching':
        fact['matched'] = sum(ranked.ranks('matching')[name] <= size for name in pages)
        text += f', {fact["matched"]} of them among the {size} of matching'
    return {**fact, 'text': text}


if __name__ == '__main__':
    sys.exit(main())
