"""The job `schema`, and what its three forms say of the option files."""

import copy
import json
from functools import cache
from typing import Any

import fastjsonschema
import pytest
import yaml
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.__main__ import main
from basicsr_ext.jobs import jobs
from basicsr_ext.jobs.schema import reads_options, reference, schema, template
from basicsr_ext.options.described import keys_of
from basicsr_ext.options.load import load_options
from tests.helpers.option_files import FILES, REPOSITORY, job_of

Capture = pytest.CaptureFixture[str]
JOBS = [job for job in jobs() if reads_options(job)]


@cache
def check(job: str) -> Any:
    return fastjsonschema.compile(schema(job))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_option_file_is_valid(path: Any) -> None:
    check(job_of(path))(load_options(path))


MISTAKES = [
    ('rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml', 'rank.iterations', 0),
    ('rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml', 'rank.method', 'complexity'),  # has other keys
    ('rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml', 'rank.damping', 'much'),
    ('mine/mine_IRCNN_gray_sigma25_BSD400.yml', 'mine.criteria', ['grand']),
    ('mine/mine_IRCNN_gray_sigma25_BSD400.yml', 'mine.strid', 3),
    ('mine/mine_IRCNN_gray_sigma25_BSD400.yml', 'datasets.train.sigma', [0, 55, 60]),
    ('mine/mine_IRCNN_gray_sigma25_BSD400.yml', 'network_g.num_feats', 3),
    ('train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml', 'train.ema_decay', 1),
    ('train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml', 'train.optimg', {}),
    ('train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml', 'val.tile_size', '64'),
    ('calibrate/calibrate_FlexIR_light_color_sigma25.yml', 'calibrate.thresholds', 1),
]


@pytest.mark.parametrize(('file', 'key', 'value'), MISTAKES, ids=[f'{key}={value}' for _, key, value in MISTAKES])
def test_a_mistake_is_none(file: str, key: str, value: Any) -> None:
    opt = copy.deepcopy(load_options(REPOSITORY / 'options' / file))
    *blocks, last = key.split('.')
    block = opt
    for name in blocks:
        block = block[name]
    block[last] = value
    with pytest.raises(fastjsonschema.JsonSchemaException):
        check(file.partition('/')[0])(opt)


@pytest.mark.parametrize('job', JOBS)
def test_the_template_names_every_key_and_is_yaml(job: str) -> None:
    text = template(job)
    assert text.startswith(f'# yaml-language-server: $schema={job}.schema.json')
    filled = yaml.safe_load(text)
    assert filled['name'] is None and set(filled) <= set(schema(job)['properties'])


def test_every_key_of_ours_has_a_meaning() -> None:
    without = [
        f'{name}.{key.name}'
        for name, kind in DATASET_REGISTRY
        if hasattr(kind, 'Options')
        for key in keys_of(kind.Options)
        if not key.meaning
    ]
    rows = [line for line in reference().splitlines() if line.startswith('| `') and line.endswith('|  |')]
    assert without == rows == []


def test_the_reference_in_the_documents_is_that_of_the_dataclasses() -> None:
    text = (REPOSITORY / 'options/README.md').read_text(encoding='utf-8')
    _, _, generated = text.partition('<!-- generated: basicsr-ext schema -->\n')
    assert generated.strip() == reference().strip()  # else: paste what `basicsr-ext schema` prints below that line


def test_the_command(capsys: Capture) -> None:
    assert main(['schema', 'mine']) == 0
    assert json.loads(capsys.readouterr().out) == schema('mine')
    assert main(['schema', 'mine', '--form', 'yaml']) == 0
    assert capsys.readouterr().out.strip() == template('mine')
    assert main(['schema', 'mine', '--form', 'markdown']) == 0
    assert '| `stride` | an integer, at least 1 | `120` | distance' in capsys.readouterr().out
    assert main(['schema']) == 0
    assert capsys.readouterr().out.strip() == reference().strip()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['mien'], "JOB: expected a job that reads an option file, got 'mien'. Did you mean mine"),
        (['export'], "JOB: expected a job that reads an option file, got 'export'."),
        (['--form', 'yaml'], '--form: expected markdown for all jobs, got yaml. Name a job.'),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(['schema', *arguments]) == 2
    assert message in capsys.readouterr().err
