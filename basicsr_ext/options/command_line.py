"""The command line of a job with an option file, and the single keys that it changes."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from basicsr_ext.errors import OptionError, nearest, shown, under
from basicsr_ext.options.imports import add_import, import_all
from basicsr_ext.options.load import Options, load_options, read_yaml


def override(opt: Options, assignment: str, flag: str = '--set') -> None:
    """Change one existing key in place, as `--set train.optim_g.lr=2e-4` says.

    Args:
        opt: the options.
        assignment: `key.key=value`, the value in YAML; an integer steps into a list.
        flag: what messages call the place that asks for it.

    Raises:
        OptionError: no `=`, a value that is not YAML, or a key that does not exist.
    """
    key, separator, text = assignment.partition('=')
    if not separator:
        raise OptionError(f'{flag} {assignment}', 'key.key=value', 'no "="', f'Write {flag} train.optim_g.lr=2e-4.')
    with under(f'{flag} {shown(assignment)}: '):
        value = read_yaml(text)
    block: Any = opt
    steps = key.strip().split('.')
    for depth, step in enumerate(steps):
        index: Any = int(step) if isinstance(block, list) and step.lstrip('-').isdigit() else step
        if isinstance(block, list):
            exists = isinstance(index, int) and -len(block) <= index < len(block)
            known: Iterable[str] = map(str, range(len(block)))
        else:
            exists = isinstance(block, dict) and index in block
            known = block if isinstance(block, dict) else ()
        if not exists:
            where = '.'.join(steps[:depth]) or 'the option file'
            raise OptionError(
                f'{flag} {assignment}',
                'an existing key',
                f'{shown(step)}, which is not in {where}',
                nearest(step, known),
            )
        if depth == len(steps) - 1:
            block[index] = value
        else:
            block = block[index]


def build_parser(job: str) -> argparse.ArgumentParser:
    """The command line of a job with an option file, which is BasicSR's with `--set` and `--check` added."""
    parser = argparse.ArgumentParser(prog=f'basicsr-ext {job}')
    parser.add_argument('-opt', required=True, metavar='FILE', help='option file (YAML)')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='job launcher')
    if job in ('train', 'test'):
        parser.add_argument('--auto_resume', action='store_true', help='continue from the newest saved state')
        parser.add_argument('--debug', action='store_true', help='validate, log and save every few iterations')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')
    for flag, text in (
        ('--set', 'change existing keys: --set train.optim_g.lr=2e-4'),
        ('--force_yml', "BasicSR's form of --set: train:ema_decay=0.9"),
    ):
        parser.add_argument(flag, nargs='+', action='extend', default=[], metavar='KEY=VALUE', help=text)
    parser.add_argument('--check', action='store_true', help='check options, files and the first batch, then exit')
    add_import(parser)
    return parser


def read_options(job: str, argv: Sequence[str] | None = None) -> tuple[Options, argparse.Namespace]:
    """Read the command line and the option file as it stands, with what `--set` and `--force_yml` change.

    Imports the modules that both name.

    Args:
        job: `train`, `test`, ...: named in the help.
        argv: the command line after the name of the job; None takes the process's own.

    Raises:
        OptionError: what `load_options`, `override` or `import_all` refuse.
    """
    args = build_parser(job).parse_args(argv)
    opt = load_options(args.opt)
    _require_names(opt, '')
    for assignment in args.set:
        override(opt, assignment)
    for assignment in args.force_yml:
        key, separator, value = assignment.partition('=')
        override(opt, f'{key.replace(":", ".")}{separator}{value}')
    import_all(opt, args.imports)
    return opt, args


def _require_names(value: Any, where: str) -> None:
    """Refuse keys that are no text, in blocks and lists of blocks."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict) and not isinstance(key, str):
            raise OptionError(where or 'the option file', 'names as keys', shown(key), 'Quote or correct it.')
        if isinstance(item, dict | list):
            _require_names(item, f'{where}.{key}' if where else str(key))
