"""Ways to choose K images, where the domain is larger than K and where there is no domain.

    python scripts/reproduce/choices.py --photographs datasets/BSD400 --seeds 5

Grey denoising on two pools: a quarter of pages of text, aimed at other pages; and photographs alone, aimed at other
photographs. Rows: all images, random ones (drawn anew for each seed), an oracle (drawn from the pages, by someone who
knows them), top and mid of the ranking by influence, matching with each of --guards, and the methods of --others.
"""

import argparse
import sys
from functools import partial
from typing import Any

from choosing import DATA, Choice, Setting, arguments, at_once, photographs_of, side_of, train_choices
from comparison import report
from pools import document_pool, photograph_pool
from tasks import TASKS

OTHERS = ('kcenter', 'herding', 'moderate', 'craig', 'el2n', 'stratified')
POOLS = ('pages', 'photographs')
SHARE = 25  # of pages, in per cent: 5 K of 400


def main() -> int:
    """Rank, train, print and draw."""
    parser = arguments(__doc__)
    parser.add_argument('--pools', nargs='+', choices=POOLS, default=list(POOLS), help='which (both)')
    parser.add_argument('--guards', nargs='*', default=['none', 'norm', 'curvature'], help='of matching')
    parser.add_argument('--others', nargs='*', choices=OTHERS, default=list(OTHERS), help='further methods (all)')
    args = parser.parse_args()
    task = TASKS['denoise']
    photographs = photographs_of(args, task.color)
    rows, seconds_of_rankings, predicted = [], {}, {}
    for name in args.pools:
        if name == 'pages':
            pool = document_pool(photographs, task.color, side_of(args), SHARE, args.images, DATA)
        else:
            pool = photograph_pool(photographs, task.color, args.images, DATA)
        setting = Setting(name, task, pool, args)
        chosen, seconds, predicted[name] = choices(setting, args)
        rows += [(setting, task.network, choice) for choice in chosen]
        seconds_of_rankings[name] = seconds
    reached, seconds_of_a_training = train_choices(rows, args)
    lines = [
        f'{name}: ranked in {", ".join(f"{value:.0f} s ({ranking})" for ranking, value in seconds.items())}.'
        for name, seconds in seconds_of_rankings.items()
    ]
    facts = {
        'seconds_of_rankings': seconds_of_rankings,
        'seconds_of_a_training': seconds_of_a_training,
        'carry_over': predicted,
    }
    report('choices', reached, args.output, facts, lines)
    return 0


def choices(setting: Setting, args: argparse.Namespace) -> tuple[list[Choice], dict[str, float], Any]:
    """The rows of a pool, the seconds of each ranking, and what it predicts for the half of the target not chosen for.

    The first ranking holds the orders of all other methods beside its own.
    """
    pool, size = setting.pool, args.size
    made = [setting.all(), setting.drawn('random', pool.names(), size)]
    if pages := pool.names('document'):
        made.append(setting.drawn('oracle', pages, size))
    if args.guards or args.others:
        guard, *guards = args.guards or ['none']
        works = [partial(setting.rank, 'matching', size=size, guard=guard, baselines=['influence', *args.others])]
        works += [partial(setting.rank, 'matching', size=size, guard=each, halves=False) for each in guards]
        first, *others = at_once(works, args.jobs)
        rankings = {guard: first, **dict(zip(guards, others, strict=True))}
        shown = {guard: rankings[guard] for guard in args.guards}
    else:
        first = setting.rank('influence')
        rankings, shown = {'influence': first}, {}
    made += [setting.ranked(part, first, 'influence', size, part) for part in ('top', 'mid')]
    made += [setting.ranked(f'matching {guard}', ranked, 'matching', size) for guard, ranked in shown.items()]
    made += [setting.ranked(method, first, method, size) for method in args.others]
    seconds = {name: ranked.seconds for name, ranked in rankings.items()}
    return made, seconds, first.manifest().header.get('carry_over')


if __name__ == '__main__':
    sys.exit(main())
