"""What the command line of `init` asks for."""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.jobs.init.tasks import NETS, TASKS, Task
from basicsr_ext.options.file_names import check_file_name

UNITS = {'s': 1, 'm': 60, 'h': 3600}


@dataclass(frozen=True)
class Request:
    """The command line, checked.

    Attributes:
        task: what is to be undone.
        net: the network that learns it.
        output: NAME.yml, in whose folder all files are written.
        root: the current folder, in which relative paths of the files start.
        folder, lq: the images to train on: clean ones, and degraded ones of the same names.
        val, val_lq: those to validate on; None takes a part of `folder`.
        target, target_lq: those that selections aim at; None takes a part of the validation.
        level: sigma or quality.
        scale: factor by which the clean image is larger.
        budget: seconds; None takes a default number of iterations.
        seed: of everything random.
    """

    task: Task
    net: str
    output: Path
    root: Path
    folder: str
    lq: str | None
    val: str | None
    val_lq: str | None
    target: str | None
    target_lq: str | None
    level: float
    scale: int
    budget: float | None
    seed: int

    @property
    def name(self) -> str:
        """Of the training, with which the names of all files begin."""
        return self.output.stem

    def beside(self, ending: str) -> Path:
        """The file or folder NAME<ending>."""
        return self.output.with_name(f'{self.name}{ending}')


def read_request(args: argparse.Namespace, root: str | os.PathLike[str]) -> Request:
    """Check what stands on the command line.

    Raises:
        OptionError: a flag that is missing, that does not belong to the task, or whose value makes no sense.
    """
    task = TASKS[args.task]
    output = Path(root, args.output)
    if output.suffix != '.yml':
        raise OptionError('-o', 'a file NAME.yml', shown(args.output), 'Let its name end in .yml.')
    check_file_name(output.stem, '-o')
    _check_pairs(args, task)
    _check_level(args, task)
    scale = _scale(args, task)
    folders = {key: _folder(args, key) for key in ('folder', 'lq', 'val', 'val_lq', 'target', 'target_lq')}
    return Request(
        **folders,
        task=task,
        net=_net(args.net, task, scale),
        output=output,
        root=Path(root),
        level=_plain(args.sigma if task.level == 'sigma' else args.quality),
        scale=scale,
        budget=None if args.budget is None else seconds(args.budget),
        seed=args.seed,
    )


def seconds(text: str) -> float:
    """The length of a time such as 90s, 30m or 2h.

    Raises:
        OptionError: it is written in another way.
    """
    match = re.fullmatch(r'(\d+(?:\.\d+)?)([smh])', text)
    if match is None or not float(match[1]):
        raise OptionError('--budget', 'a time such as 90s, 30m or 2h', shown(text), 'Correct it.')
    return float(match[1]) * UNITS[match[2]]


def _folder(args: argparse.Namespace, key: str) -> Any:
    value = getattr(args, key)
    where = 'FOLDER' if key == 'folder' else f'--{key}'
    if value is None:
        return None
    path = os.path.expanduser(value)
    if not os.path.isdir(path):
        raise OptionError(where, 'a folder', shown(value), 'Correct the path.')
    if path.rstrip('/').endswith('.lmdb'):
        raise OptionError(
            where, 'a folder of image files', f'an LMDB {shown(value)}', 'Name the folder it was made of.'
        )
    return path


def _check_pairs(args: argparse.Namespace, task: Task) -> None:
    """Degraded images belong to clean ones, and to tasks that do not degrade them here."""
    for clean, degraded in (('folder', 'lq'), ('val', 'val_lq'), ('target', 'target_lq')):
        is_there = getattr(args, degraded) is not None
        if is_there and not task.is_pairs:
            raise OptionError(
                f'--{degraded}',
                f'none with {task.name}, which degrades clean images itself',
                shown(getattr(args, degraded)),
                'Remove it, or take the task pairs.',
            )
        if is_there != (getattr(args, clean) is not None) and task.is_pairs:
            raise OptionError(
                f'--{clean if is_there else degraded}',
                f'the {"clean" if is_there else "degraded"} images, as {task.name} learns from pairs of files',
                'none',
                'Name their folder.' if is_there else 'Name the folder with degraded images of the same names.',
            )


def _check_level(args: argparse.Namespace, task: Task) -> None:
    for key, (low, high) in {'sigma': (0, 255), 'quality': (1, 100)}.items():
        value = getattr(args, key)
        if value is None:
            setattr(args, key, {'sigma': 25, 'quality': 10}[key])
        elif task.level != key:
            raise OptionError(f'--{key}', f'none with {task.name}', value, 'Remove it.')
        elif not low <= value <= high or (key == 'quality' and value % 1):
            kind = 'a whole number' if key == 'quality' else 'a number'
            raise OptionError(f'--{key}', f'{kind} from {low} to {high}', value, 'Correct it.')
    if not 0 <= args.seed <= 4_000_000_000:
        raise OptionError('--seed', 'a whole number from 0 to 4000000000', args.seed, 'Correct it.')


def _scale(args: argparse.Namespace, task: Task) -> int:
    if args.scale is None:
        return 2 if task.name == 'sr' else 1
    scale: int = args.scale
    known = {'sr': (2, 3, 4), 'pairs': (1, 2, 3, 4)}.get(task.name)
    if known is None:
        raise OptionError('--scale', f'none with {task.name}', scale, 'Remove it, or take the task sr.')
    if scale not in known:
        raise OptionError('--scale', ' or '.join(map(str, known)), scale, 'Correct it.')
    return scale


def _net(name: str | None, task: Task, scale: int) -> str:
    fitting = [each for each, net in NETS.items() if net.enlarges if scale > 1] or [
        each for each, net in NETS.items() if net.keeps_size
    ]
    if name is None:
        return task.net if task.net in fitting else fitting[0]
    if name not in fitting:
        advice = f'Take one of these, or edit network_g of the file. {nearest(name, fitting)}'
        what = f'{task.name} at scale {scale}' if scale > 1 else task.name
        raise OptionError('--net', f'a network for {what}: {", ".join(fitting)}', shown(name), advice)
    return name


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value
