"""Option files: load them safely, override single keys, complete them as BasicSR does."""

import argparse
import difflib
import importlib.util
import os
import random
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from basicsr_ext.errors import OptionError

Options = dict[str, Any]


class OptionLoader(yaml.SafeLoader):
    """YAML that cannot run code, reads `1e-4` as a number and refuses a key given twice."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Read a block as it stands in the file, before `<<` adds the keys of another one."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            where = f'{self.name}, line {key.start_mark.line + 1}'
            if not isinstance(key, yaml.ScalarNode):
                raise OptionError(f'{where}: expected a name as key, got a block or list. Quote braces in a value.')
            if key.value in seen:
                raise OptionError(
                    f'{where}: expected each key once, got {key.value!r} again in one block. Remove one of the two.'
                )
            seen.add(key.value)
        return node


# YAML 1.1 asks for a dot and a signed exponent in a float, so that it would read 1e-4 as text.
OptionLoader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$'),
    list('-+.0123456789'),
)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names closest to `name`, or all of them if they are few; '' for none."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return f'Did you mean {" or ".join(close)}?'
    return f'Known names: {", ".join(known)}.' if len(known) <= 12 else ''


def load_options(path: str | os.PathLike[str]) -> Options:
    """Read an option file.

    Raises:
        OptionError: the file is missing, is not YAML, is not a mapping, has a key twice or asks to run code.
    """
    try:
        with open(path, encoding='utf-8') as file:
            opt = yaml.load(file, Loader=OptionLoader)  # a SafeLoader
    except OSError as error:
        raise OptionError(f'-opt {path}: expected an option file, got {error.strerror}. Correct the path.') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f'-opt {path}: expected plain YAML, got {error}. Correct the file there.') from error
    if not isinstance(opt, dict):
        raise OptionError(f'-opt {path}: expected a mapping of options, got {type(opt).__name__}. Correct the file.')
    return opt


def override(opt: Options, assignment: str) -> None:
    """Change one existing key in place, as `--set train.optim_g.lr=2e-4` says.

    Args:
        opt: the options.
        assignment: `key.key=value`, the value in YAML; an integer steps into a list.

    Raises:
        OptionError: no `=`, a value that is not YAML, or a key that does not exist.
    """
    key, separator, text = assignment.partition('=')
    if not separator:
        raise OptionError(f'--set {assignment}: expected key.key=value, got no "=". Write --set train.optim_g.lr=2e-4.')
    try:
        value = yaml.load(text, Loader=OptionLoader)
    except yaml.YAMLError as error:
        raise OptionError(f'--set {assignment}: expected a YAML value, got {text!r} ({error}). Quote it.') from error
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
                f'--set {assignment}: expected an existing key, got {step!r}, which is not in {where}. '
                f'{nearest(step, known)}'.rstrip()
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
    return parser


def read_options(job: str, argv: Sequence[str] | None = None) -> tuple[Options, argparse.Namespace]:
    """Read the command line and the option file as it stands, with what `--set` and `--force_yml` change.

    Args:
        job: `train`, `test`, ...: named in the help.
        argv: the command line after the name of the job; None takes the process's own.

    Raises:
        OptionError: what `load_options` or `override` refuse.
    """
    args = build_parser(job).parse_args(argv)
    opt = load_options(args.opt)
    for assignment in args.set:
        override(opt, assignment)
    for assignment in args.force_yml:
        key, separator, value = assignment.partition('=')
        override(opt, f'{key.replace(":", ".")}{separator}{value}')
    return opt, args


def parse_options(
    root_path: str | os.PathLike[str], is_train: bool, argv: Sequence[str] | None = None
) -> tuple[Options, argparse.Namespace]:
    """The options of `train` or `test`; starts the process group if a launcher is named.

    Args:
        root_path: the folder in which `experiments/` and `results/` are made.
        is_train: whether this is the job `train`.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The options, completed as BasicSR's models and datasets expect them, and the command line.

    Raises:
        OptionError: what `read_options` or `complete` refuse.
    """
    opt, args = read_options('train' if is_train else 'test', argv)
    require(opt, ('name', 'model_type', *(('train', 'logger') if is_train else ())))
    complete(opt, root_path, is_train, debug=args.debug, auto_resume=args.auto_resume, launcher=args.launcher)
    return opt, args


def complete(
    opt: Options,
    root_path: str | os.PathLike[str],
    is_train: bool,
    debug: bool = False,
    auto_resume: bool = False,
    launcher: str = 'none',
) -> None:
    """Add to `opt`, in place, what BasicSR derives from an option file: ranks, seed, phases, paths.

    Raises:
        OptionError: a key that every option file needs is missing.
    """
    import torch

    from basicsr_ext.training import distributed

    require(opt, ('name', 'num_gpu', 'datasets', 'path'))
    _check_types(opt)
    if launcher != 'none':
        distributed.start(launcher, **(opt.get('dist_params') or {}))
    opt['dist'] = launcher != 'none'
    opt['rank'], opt['world_size'] = distributed.rank_and_world()
    opt['root_path'] = os.fspath(root_path)
    opt['auto_resume'], opt['is_train'] = auto_resume, is_train
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = distributed.from_first(random.randint(1, 10000))
    if debug and not opt['name'].startswith('debug'):
        opt['name'] = f'debug_{opt["name"]}'

    visible = torch.cuda.device_count()
    if opt['num_gpu'] == 'auto':  # several GPUs in one process would be DataParallel with another batch size
        opt['num_gpu'] = min(visible, 1)
    if opt['num_gpu'] > visible and not (opt['dist'] and visible):
        raise OptionError(
            f'num_gpu: expected at most the {visible} visible GPUs, got {opt["num_gpu"]}. '
            'Write --set num_gpu=0 to run on the CPU.'
        )

    for phase, dataset in opt['datasets'].items():
        require(dataset, ('name', 'type'), f'datasets.{phase}')
        dataset['phase'] = phase.split('_')[0]
        if 'scale' in opt:
            dataset['scale'] = opt['scale']
        _expand_home(dataset)
    _complete_paths(opt, Path(root_path))
    if is_train:
        opt['logger'].setdefault('use_tb_logger', False)
        if 'debug' in opt['name']:
            opt['logger'].update(print_freq=1, save_checkpoint_freq=8)
            if opt.get('val'):
                opt['val']['val_freq'] = 8


def _check_types(opt: Options) -> None:
    """The blocks and values that `complete` itself reads."""
    for key in ('datasets', 'train', 'logger', 'path', 'val', 'dist_params'):
        may_be_empty = key in ('path', 'val', 'dist_params')
        if key in opt and not isinstance(opt[key], dict) and not (opt[key] is None and may_be_empty):
            raise OptionError(f'{key}: expected a block of options, got {opt[key]!r}. Indent its keys below it.')
    if not opt['datasets']:
        raise OptionError(f'datasets: expected a block a dataset, got {opt["datasets"]!r}. Add train, val or test_1.')
    if not isinstance(opt['name'], str):
        raise OptionError(f'name: expected text, got {opt["name"]!r}. Quote it.')
    if opt['num_gpu'] != 'auto' and not isinstance(opt['num_gpu'], int):
        raise OptionError(f'num_gpu: expected an integer or auto, got {opt["num_gpu"]!r}. Correct the value.')


def _expand_home(dataset: Options) -> None:
    """Replace ~ in the paths of a dataset block and of the blocks inside it."""
    for key in ('dataroot_gt', 'dataroot_lq', 'manifest'):
        if isinstance(dataset.get(key), str):
            dataset[key] = os.path.expanduser(dataset[key])
    groups = dataset.get('datasets')
    for inner in [dataset.get('dataset'), *(groups.values() if isinstance(groups, dict) else ())]:
        if isinstance(inner, dict):
            _expand_home(inner)


def _complete_paths(opt: Options, root: Path) -> None:
    path = opt['path'] = opt['path'] or {}
    for key, value in path.items():
        if value is not None and ('resume_state' in key or 'pretrain_network' in key):
            path[key] = find_file(value)
    folder = root / ('experiments' if opt['is_train'] else 'results') / opt['name']
    path.update(log=str(folder), visualization=str(folder / 'visualization'))
    if opt['is_train']:
        path.setdefault('resume_state', None)
        path.update(
            experiments_root=str(folder), models=str(folder / 'models'), training_states=str(folder / 'training_states')
        )
    else:
        path['results_root'] = str(folder)


def find_file(path: str) -> str:
    """The file that an option names: `~` is the home folder, `pkg://basicsr_ext/...` a file of an installed package."""
    if path.startswith('pkg://'):
        package, _, inside = path.removeprefix('pkg://').partition('/')
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise OptionError(f'{path}: expected an installed package, got {package!r}. Install it or name a file.')
        return str(Path(found.origin).parent / inside)
    return os.path.expanduser(path)


def refuse_unknown(block: Iterable[str], known: Collection[str], where: str = '') -> None:
    """Raise OptionError for the first key of a block that is not known; the message names the nearest."""
    for key in block:
        if key not in known:
            place = f'{where}.{key}' if where else key
            raise OptionError(f'{place}: expected a known key, got {key!r}. {nearest(key, known)}'.rstrip())


def require(block: Any, keys: Iterable[str], where: str = '') -> None:
    """Raise OptionError unless the block has all the keys; the message names a present key that looks like a slip."""
    if not isinstance(block, dict):
        raise OptionError(f'{where}: expected a block of options, got {block!r}. Indent its keys below it.')
    for key in keys:
        if key not in block:
            slip = difflib.get_close_matches(key, map(str, block), n=1, cutoff=0.6)
            advice = f'Rename {slip[0]!r}.' if slip and slip[0] not in keys else 'Add it.'
            raise OptionError(f'{f"{where}." if where else ""}{key}: expected a value, got none. {advice}')


def number(text: str) -> int | float:
    """A whole number or another one, as YAML reads it."""
    try:
        return int(text)
    except ValueError:
        return float(text)
