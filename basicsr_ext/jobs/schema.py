"""The job `schema`: print what an option file may hold: for editors, to fill in, or to read."""

import argparse
import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.jobs import jobs, load
from basicsr_ext.jobs.checks import NETWORK_PATH_KEYS, TrainingFile
from basicsr_ext.jobs.option_file import CommonOptions, JobFile
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.options.dataset_blocks import LoaderOptions
from basicsr_ext.options.described import keys_of
from basicsr_ext.options.imports import add_import
from basicsr_ext.options.reference import in_yaml, tables_of
from basicsr_ext.options.schema import DIALECT, Schema, block_of, choice_of, definitions, schema_of_block
from basicsr_ext.options.template import template_of

EXAMPLE = 'basicsr-ext schema rank > rank.schema.json'
SHARED = ('name', 'type', 'phase', 'scale')  # keys of every dataset block
MODEL_JOBS = ('train', 'test')  # whose files the model decides about


def build_parser() -> argparse.ArgumentParser:
    """The command line of `schema`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext schema')
    parser.add_argument('job', nargs='?', metavar='JOB', help='the job whose option file it is; none: all of them')
    parser.add_argument(
        '--form',
        choices=['json', 'yaml', 'markdown'],
        help='json: a schema, which editors take by a first line `# yaml-language-server: $schema=FILE`; yaml: every '
        'key with its default and meaning; markdown: tables. The default is json for a job, markdown for all',
    )
    add_import(parser)
    return parser


def schema_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Print as the command line says.

    Args:
        root_path: not used.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0.

    Raises:
        OptionError: there is no such job, or it reads no option file.
    """
    args = build_parser().parse_args(argv)
    if args.job is None:
        if args.form not in (None, 'markdown'):
            raise OptionError('--form', 'markdown for all jobs', args.form, 'Name a job.')
        print(reference())
        return 0
    known = [job for job in jobs() if reads_options(job)]
    if args.job not in known:
        raise OptionError('JOB', 'a job that reads an option file', shown(args.job), nearest(args.job, known))
    if args.form == 'markdown':
        print(reference_of(args.job))
    elif args.form == 'yaml':
        print(template(args.job))
    else:
        print(json.dumps(schema(args.job), indent=1))
    return 0


def reads_options(job: str) -> bool:
    """Whether a job reads an option file."""
    return job in MODEL_JOBS or bool(files_of(job))


def files_of(job: str) -> Mapping[str, JobFile[Any]]:
    """What the option file of a job holds; by `method` of its block where this decides, else under ''."""
    module = load(job)
    found: Mapping[str, JobFile[Any]] = module.files() if hasattr(module, 'files') else {}
    return found or ({'': module.FILE} if hasattr(module, 'FILE') else {})


# ---- JSON schema ----


def schema(job: str) -> Schema:
    """The JSON schema of the option file of a job."""
    whole = _schema_of_training(job) if job in MODEL_JOBS else _schema_of_job(job)
    title = f'Option file of `basicsr-ext {job}`'
    return {'$schema': DIALECT, 'title': title, 'description': jobs()[job], **whole, 'definitions': definitions()}


def _schema_of_job(job: str) -> Schema:
    files = files_of(job)
    if '' in files:
        return _schema_of_file(files[''], schema_of_block(files[''].settings))
    blocks = {method: schema_of_block(file.settings) for method, file in files.items()}
    kinds = list({id(file): file for file in files.values()}.values())
    networks = {name: text for file in kinds for name, text in file.networks.items()}
    datasets = {name: text for file in kinds for name, text in file.datasets.items()}
    optional = {name: text for file in kinds for name, text in file.optional.items()}
    every = JobFile(job, kinds[0].settings, datasets, optional, networks=networks)
    return _schema_of_file(every, choice_of('method', blocks, required=False), sure=kinds)


def _schema_of_file(file: JobFile[Any], block: Schema, sure: Sequence[JobFile[Any]] = ()) -> Schema:
    common: dict[str, Schema] = schema_of_block(CommonOptions)['properties']
    dataset = {'$ref': f'#/definitions/{DATASET_REGISTRY._name}'}
    named = {key: {**dataset, 'description': text} for key, text in {**file.datasets, **file.optional}.items()}
    needed = [key for key in file.datasets if all(key in other.datasets for other in sure)]
    datasets = block_of(named, needed) if named else {'type': 'object', 'additionalProperties': dataset}
    networks = {
        f'network_{key}': {'$ref': '#/definitions/arch', 'description': text} for key, text in file.networks.items()
    }
    paths = {
        f'{key}_{name}': {'description': text} for name in file.networks for key, text in NETWORK_PATH_KEYS.items()
    }
    keys = {**common, 'datasets': datasets, **networks, 'path': _or_empty(block_of(paths, [])), file.job: block}
    return block_of(keys, ['name', *(('datasets', file.job) if file.needs_datasets else ('network_g',))])


def _schema_of_training(job: str) -> Schema:
    dataset = {'$ref': f'#/definitions/{DATASET_REGISTRY._name}'}
    common = schema_of_block(TrainingFile)['properties']
    common['datasets'] = {'type': 'object', 'additionalProperties': dataset}
    models = {}
    for name, model in MODEL_REGISTRY:
        if inspect.isclass(model) and issubclass(model, RestorationModel):
            blocks = {'train': schema_of_block(model.TrainOptions), 'val': _or_empty(schema_of_block(model.ValOptions))}
            own = {**schema_of_block(model.ModelOptions)['properties'], **blocks}
            models[name] = {'properties': own}
        else:
            models[name.removesuffix('_basicsr')] = {}
    whole = choice_of('model_type', models)
    network = {'^network_': {'$ref': '#/definitions/arch'}}
    required = ['name', 'model_type', 'num_gpu', 'datasets', 'path', *(('train', 'logger') if job == 'train' else ())]
    return {
        **whole,
        'properties': {**common, **whole['properties']},
        'patternProperties': network,
        'required': required,
    }


def _or_empty(block: Schema) -> Schema:
    return {'anyOf': [block, {'type': 'null'}]}


# ---- YAML ----


def template(job: str) -> str:
    """An option file of a job to fill in."""
    if job in MODEL_JOBS:
        parts = [template_of(TrainingFile)]
        for key, kind in (('train', RestorationModel.TrainOptions), ('val', RestorationModel.ValOptions)):
            if key == 'val' or job == 'train':
                parts.append(_block(key, template_of(kind)))
        return '\n\n'.join([_first_line(job), *parts])
    file = next(iter(files_of(job).values()))
    datasets = '\n'.join(f'# {text}\n{key}:\n  name:\n  type:' for key, text in file.datasets.items())
    beside = (f'# optional: {text}\n# {key}:\n#   name:\n#   type:' for key, text in file.optional.items())
    datasets = '\n'.join([*([datasets] if datasets else []), *beside])
    networks = [f'# {text}\nnetwork_{key}:\n  type:' for key, text in file.networks.items()]
    paths = '\n'.join(f'# {text}\n# {key}_{name}:' for name in file.networks for key, text in NETWORK_PATH_KEYS.items())
    return '\n\n'.join(
        [
            _first_line(job),
            template_of(CommonOptions),
            _block('datasets', datasets or '# any names\n# NAME:\n#   name:\n#   type:'),
            *networks,
            *([_block('path', paths)] if paths else []),
            _block(job, template_of(file.settings)),
        ]
    )


def _first_line(job: str) -> str:
    return f'# yaml-language-server: $schema={job}.schema.json'


def _block(key: str, inside: str) -> str:
    lines = inside.splitlines()
    is_empty = yaml.safe_load(inside) is None
    return '\n'.join([f'{key}: {{}}' if is_empty else f'{key}:', *(f'  {line}'.rstrip() for line in lines)])


# ---- Markdown ----


def reference() -> str:
    """All keys of ours, in tables: jobs, datasets, models, networks."""
    parts = [f'### `{job}`\n\n{reference_of(job)}' for job in jobs() if job not in MODEL_JOBS and reads_options(job)]
    own = sorted((name, kind) for name, kind in DATASET_REGISTRY if hasattr(kind, 'Options'))
    datasets = [tables_of(kind.Options, f'`{name}`', leave_out=SHARED) for name, kind in own]
    networks = [
        f'| `{name}` | {_arguments(kind)} |'
        for name, kind in sorted(ARCH_REGISTRY)
        if kind.__module__.startswith('basicsr_ext.')
    ]
    parts += [
        '### Datasets\n\nEvery block has `name` and `type`; `phase` and `scale` come from the file.',
        *datasets,
        tables_of(LoaderOptions, 'Keys of the loader, in the outermost block of a dataset:'),
        f'### `train` and `test`\n\n{reference_of("train")}',
        *_tables_of_models(),
        '\n'.join(['### Networks\n\n| network | arguments and defaults |\n|---|---|', *networks]),
    ]
    return _with_empty_values('\n\n'.join(parts))


def _tables_of_models() -> Iterator[str]:
    """The keys of RestorationModel, and those in which its relatives differ from it."""
    for name, model in sorted(MODEL_REGISTRY):
        if not (inspect.isclass(model) and issubclass(model, RestorationModel)):
            continue
        for where, kind in (('at the top', 'ModelOptions'), ('`train`', 'TrainOptions'), ('`val`', 'ValOptions')):
            own, base = keys_of(getattr(model, kind)), keys_of(getattr(RestorationModel, kind))
            same = [key.name for key in own if model is not RestorationModel and key in base]
            if len(same) < len(own):
                yield tables_of(getattr(model, kind), f'`{name}`, {where}', leave_out=same)


def reference_of(job: str) -> str:
    """The keys of the option file of a job, in tables."""
    if job in MODEL_JOBS:
        return _with_empty_values(tables_of(TrainingFile, ''))
    methods: dict[int, list[str]] = {}
    kinds = {id(file): file for file in files_of(job).values()}
    for method, file in files_of(job).items():
        methods.setdefault(id(file), []).append(method)
    parts = []
    for key, file in kinds.items():
        named = {f'datasets.{name}': text for name, text in file.datasets.items()}
        named.update({f'datasets.{name}': f'{text} (optional)' for name, text in file.optional.items()})
        named.update({f'network_{name}': text for name, text in file.networks.items()})
        chosen = f'With `method: {" | ".join(methods[key])}`. ' if methods[key] != [''] else ''
        beside = '; '.join(f'`{name}`: {text}' for name, text in named.items())
        parts.append(f'{chosen}{f"Beside the block: {beside}." if beside else ""}'.strip())
        parts.append(tables_of(file.settings, ''))
    return _with_empty_values('\n\n'.join(part for part in parts if part))


def _arguments(kind: Any) -> str:
    parameters = inspect.signature(kind).parameters.values()
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    shown = {p.name: f': {in_yaml(_plain(p.default))}' if p.default is not p.empty else '' for p in named}
    return ', '.join(f'`{name}{default}`' for name, default in shown.items())


def _plain(value: Any) -> Any:
    """A default of an argument as YAML can have it."""
    if isinstance(value, tuple):
        return list(value)
    return value.__name__ if isinstance(value, type) else value


def _with_empty_values(text: str) -> str:
    """`~`, as option files have it, for None."""
    return re.sub(r'\bNone\b', '`~`', text)
