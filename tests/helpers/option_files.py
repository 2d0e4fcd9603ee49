"""The option files and the variants in their headers: what the tests of both, and of the documents, share."""

import re
import shlex
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from basicsr_ext.options.command_line import override
from basicsr_ext.options.load import load_options
from basicsr_ext.training.learning_rate import BASICSR_SCHEDULERS

REPOSITORY = Path(__file__).parents[2]
REGISTRIES = {
    'arch': ARCH_REGISTRY,
    'dataset': DATASET_REGISTRY,
    'loss': LOSS_REGISTRY,
    'metric': METRIC_REGISTRY,
    'model': MODEL_REGISTRY,
}
FILES = sorted((REPOSITORY / 'options').rglob('*.yml'))
DUMPER = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)
_FOLDER = tempfile.TemporaryDirectory()


def ours(kind: str) -> dict[str, Any]:
    return {name: item for name, item in REGISTRIES[kind] if item.__module__.partition('.')[0] == 'basicsr_ext'}


def known_types() -> set[str]:
    """What `type:` may say in an option file."""
    registered = {name.removesuffix('_basicsr') for registry in REGISTRIES.values() for name in registry.keys()}  # noqa: SIM118
    torch_names = {name for module in (torch.optim, torch.optim.lr_scheduler) for name in vars(module)}
    return registered | torch_names | set(BASICSR_SCHEDULERS) | {'disk', 'lmdb'}


def types_in(block: Any) -> Iterator[str]:
    """Every value of a key `type`, however deep."""
    if isinstance(block, dict):
        for key, value in block.items():
            if key in ('type', 'model_type') and isinstance(value, str):
                yield value
            yield from types_in(value)
    elif isinstance(block, list):
        for item in block:
            yield from types_in(item)


@cache
def loaded(path: Path) -> dict[str, Any]:
    """The options of a file, not to be changed."""
    return load_options(path)


@cache
def job_of(path: Path) -> str:
    """The job that an option file is for."""
    jobs = ('audit', 'distill', 'mine', 'rank', 'train', 'complexity', 'calibrate', 'align', 'test')
    opt = loaded(path)
    return next(job for job in jobs if job == 'test' or job in opt)


def header(path: Path) -> str:
    """The comment at the top of an option file, without its marks; a line that ends in a backslash goes on."""
    comment = re.match(r'(?:#.*\n)*', path.read_text(encoding='utf-8'))
    assert comment
    return re.sub(r'\\\n *', '', re.sub(r'^# ?', '', comment[0], flags=re.MULTILINE))


def variant_lines(path: Path) -> list[str]:
    """The lines `--set ...` in the header of an option file, with the loops in front of them."""
    return [line.strip() for line in header(path).splitlines() if re.match(r' *(?:for [^;]*; )*--set ', line)]


def written_out(line: str) -> list[list[str]]:
    """The assignments of `--set ...`; behind `for s in 15 50; ` those for each value of `${s}`."""
    loop = re.match(r'for (\w+) in ([^;]+); (.*)', line)
    if not loop:
        return [shlex.split(line)[1:]]
    name, values, rest = loop.groups()
    return [words for value in values.split() for words in written_out(rest.replace(f'${{{name}}}', value))]


def variants(path: Path) -> list[list[str]]:
    """The assignments of every variant in the header of an option file."""
    return [words for line in variant_lines(path) for words in written_out(line)]


def write_variants(path: Path) -> list[Path]:
    """A file NAME.yml of each variant: what an option file becomes by `--set name=NAME ...`."""
    written = []
    for assignments in variants(path):
        opt = deepcopy(loaded(path))
        for assignment in assignments:
            override(opt, assignment)
        written.append(Path(_FOLDER.name, f'{opt["name"]}.yml'))
        written[-1].write_text(yaml.dump(opt, Dumper=DUMPER, sort_keys=False), encoding='utf-8')
    return written


OPTION_FILES = FILES + [variant for path in FILES for variant in write_variants(path)]


def option_file(name: str) -> Path:
    """The option file, or the variant of one, of a name."""
    (path,) = (path for path in OPTION_FILES if path.stem == name)
    return path
