"""What the command line of `compare` asks for."""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.jobs.compare.changes import choosing_of
from basicsr_ext.options.imports import add_import

SEEDS = 5
CHECKPOINTS = ('last', 'best')


@dataclass(frozen=True)
class SetName:
    """A kind of choice with what it is told, as `influence:top`, and what the row changes beside its images.

    Attributes:
        kind: before the colon.
        part: behind it; '' for none.
        changes: `KEY=VALUE` behind each @, of the training file or of the job that chooses.
        label: what the row is called, `LABEL=` before all that; '' for its choice and its changes.
    """

    kind: str
    part: str = ''
    changes: tuple[str, ...] = ()
    label: str = ''

    @property
    def choice(self) -> str:
        """Without the changes."""
        return f'{self.kind}:{self.part}' if self.part else self.kind

    def __str__(self) -> str:
        return '@'.join([self.choice, *self.changes])


@dataclass(frozen=True)
class Size:
    """How much of the training images is chosen: all of them without both.

    Attributes:
        share: of all images, in (0, 1).
        count: of images.
        patches: the same of patches, for sets that choose these.
    """

    share: float | None = None
    count: int | None = None
    patches: int | None = None

    def of(self, images: int) -> int:
        """The number of images of so many; a share is rounded up."""
        if self.share is not None:
            return ceil(self.share * images - 1e-9)
        return images if self.count is None else self.count

    def share_of(self, images: int) -> float:
        """The share of so many images."""
        return self.share if self.share is not None else self.of(images) / images

    def __str__(self) -> str:
        if self.patches is not None:
            return f'{self.patches} patches'
        return f'{100 * self.share:g} %' if self.share is not None else str(self.count or '')


@dataclass(frozen=True)
class Asked:
    """The command line.

    Attributes:
        option_file: that trains.
        sets, sizes: what is compared; every set that has a size comes in each of them.
        seeds: trainings of each row.
        iterations: of each training; None for those of the option file.
        target, report: a validation set by its key or a folder; None for the usual ones.
        checkpoint: which of a training is measured: the last one, or the best on the validation set that chooses.
        proxy: the option file or the weights of the network that selections ask; None trains one.
        choosing: kind of choice -> keys of the job that chooses, beyond the usual ones.
        against: the title of the row that the others are compared with; None for the usual ones.
        curve: how many times a training is measured on its way; None for its end alone.
        jobs: trainings at a time; None for one on each GPU, or on each core.
        changes: `train.optim_g.lr=2e-4`: single keys of the option file.
        launcher, dry_run, imports: as named.
    """

    option_file: str
    sets: Sequence[SetName]
    sizes: Sequence[Size]
    seeds: int
    iterations: int | None
    target: str | None
    report: str | None
    checkpoint: Literal['last', 'best']
    proxy: str | None
    choosing: dict[str, dict[str, Any]]
    against: str | None
    curve: int | None
    jobs: int | None
    changes: Sequence[str]
    launcher: str
    dry_run: bool
    imports: Sequence[str]


def build_parser() -> argparse.ArgumentParser:
    """The command line of `compare`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext compare')
    parser.add_argument('-opt', required=True, metavar='TRAIN.yml', help='option file that trains, yours or ours')
    parser.add_argument(
        '--sets',
        nargs='+',
        required=True,
        metavar='SET',
        help='full, random, influence:top, influence:mid, matching, complexity:top, complexity.std:top, dynamic, '
        'mined:grad, distilled, ...; random is always there. A row may change keys of its training too: '
        'full@train.warmup_iter=80@train.optim_g.lr=1e-3, or of the job that chooses: mined:grad@mined.stride=60; '
        'a name for it stands in front: close=mined:grad@mined.stride=60',
    )
    parser.add_argument(
        '--sizes', nargs='+', default=[], metavar='K', help='of the choices: 5%%, 20 images or, of mined, 2000patches'
    )
    parser.add_argument('--seeds', type=int, default=SEEDS, help=f'trainings of each row ({SEEDS})')
    parser.add_argument('--iterations', type=int, help='of each training (those of the option file)')
    parser.add_argument(
        '--target', metavar='SET', help='images that selections aim at: a key of `datasets`, or a folder (val_target)'
    )
    parser.add_argument(
        '--report', metavar='SET', help='images that are reported: a key of `datasets`, or a folder (val_report)'
    )
    parser.add_argument(
        '--checkpoint',
        choices=CHECKPOINTS,
        default='last',
        help='the last one, or the best on datasets.val or val.best.dataset (last)',
    )
    parser.add_argument(
        '--proxy', metavar='FILE', help='network that selections ask: an option file, or weights (one is trained)'
    )
    parser.add_argument(
        '--choosing',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='keys of the jobs that choose: influence.iterations=12 mined.patch_size=48',
    )
    parser.add_argument('--against', metavar='ROW', help='compare all rows with this one, named as in the table')
    parser.add_argument('--curve', type=int, metavar='N', help='measure N times on the way, and draw the differences')
    parser.add_argument('--jobs', type=int, help='trainings at a time (one on each GPU, or on each core)')
    parser.add_argument(
        '--set',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='change existing keys of the option file: --set train.optim_g.lr=2e-4',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='shares the trainings')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')
    parser.add_argument(
        '--dry-run', '--check', action='store_true', help='check everything, print the runs, train none'
    )
    add_import(parser)
    return parser


def read_asked(argv: Sequence[str] | None) -> Asked:
    """The command line, checked as far as it is known without the option file.

    Raises:
        OptionError: a size, a number or a key that is none.
    """
    args = build_parser().parse_args(argv)
    for name in ('seeds', 'iterations', 'curve', 'jobs'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise OptionError(f'--{name}', 'at least 1', value, 'Raise it.')
    names = [_set_name(text) for text in args.sets]
    if SetName('random') not in names:
        names.insert(0, SetName('random'))
    return Asked(
        option_file=args.opt,
        sets=list(dict.fromkeys(names)),
        sizes=list(dict.fromkeys(_size(text) for text in args.sizes)),
        seeds=args.seeds,
        iterations=args.iterations,
        target=args.target,
        report=args.report,
        checkpoint=args.checkpoint,
        proxy=args.proxy and os.path.expanduser(args.proxy),
        choosing=choosing_of(args.choosing, '--choosing'),
        against=args.against,
        curve=args.curve,
        jobs=args.jobs,
        changes=args.set,
        launcher=args.launcher,
        dry_run=args.dry_run,
        imports=args.imports or (),
    )


def _set_name(text: str) -> SetName:
    named, *changes = text.split('@')
    label, _, choice = named.rpartition('=')
    kind, _, part = choice.partition(':')
    return SetName(kind, part, tuple(changes), label.strip())


def _size(text: str) -> Size:
    match = re.fullmatch(r'(\d+(?:\.\d+)?)\s*(%|patches|)', text)
    number, unit = (float(match[1]), match[2]) if match else (0.0, '')
    if not number or (number >= 100 if unit == '%' else number % 1):
        advice = 'Correct it; sets of patches take 2000patches, too.'
        raise OptionError('--sizes', 'a share below 100% as 5%, or a number of images', shown(text), advice)
    if unit == '%':
        return Size(share=number / 100)
    return Size(patches=int(number)) if unit else Size(count=int(number))
