"""Option files: what is a number, what is refused, what is overridden and what is filled in."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import basicsr_ext  # noqa: F401  first: it repairs BasicSR
from basicsr_ext.errors import BasicsrExtError, OptionError, nearest
from basicsr_ext.options.command_line import override
from basicsr_ext.options.complete import parse_options
from basicsr_ext.options.load import OptionLoader, find_file, load_options

TRAIN = """
name: tiny
model_type: RestorationModel
scale: 2
num_gpu: 0
manual_seed: 3
datasets:
  train: {name: a, type: PairedImageDataset, dataroot_gt: ~/gt, dataroot_lq: /lq}
  val: {name: b, type: PairedImageDataset}
  val_2: {name: c, type: PairedImageDataset}
network_g: {type: EDSR, depths: [6, 6, 6]}
path: {pretrain_network_g: ~/weights.pth}
train: {total_iter: 10, optim_g: {type: Adam, lr: 1e-4}}
val: {val_freq: 5e3, save_img: false}
logger: {print_freq: 100, save_checkpoint_freq: 5e3}
"""


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)


def write(folder: Path, text: str) -> str:
    path = folder / 'options.yml'
    path.write_text(text, encoding='utf-8')
    return str(path)


def load(folder: Path, text: str) -> dict[str, Any]:
    return load_options(write(folder, text))


def parse(folder: Path, *arguments: str, text: str = TRAIN, is_train: bool = True) -> dict[str, Any]:
    opt, _, _ = parse_options(folder / 'root', is_train, ['-opt', write(folder, text), *arguments])
    return opt


# ---- loading ----


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('1e-4', 1e-4),
        ('1E+3', 1e3),
        ('5e3', 5e3),
        ('-2e-5', -2e-5),
        ('+1.5e2', 150.0),
        ('2.e-3', 2e-3),
        ('.5e3', 500.0),
        ('-.5e-3', -5e-4),
        ('!!float 5e3', 5e3),
        ('!!float 2e-4', 2e-4),
        ('.inf', math.inf),
        ('1.', 1.0),
        ('7', 7),
        ('1e', '1e'),
        ('e5', 'e5'),
        ('1e-4x', '1e-4x'),
        ("'1e-4'", '1e-4'),
        ('x4', 'x4'),
        ('~', None),
        ('true', True),
    ],
)
def test_scalars(tmp_path: Path, text: str, value: Any) -> None:
    found = load(tmp_path, f'key: {text}')['key']
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    'text',
    [
        'a: !!python/object/apply:os.system ["touch {marker}"]',
        'a: !!python/object/new:os.system ["touch {marker}"]',
        'a: !!python/name:os.system',
        'a: !!python/module:os',
    ],
)
def test_code_is_refused_and_not_run(tmp_path: Path, text: str) -> None:
    marker = tmp_path / 'was_here'
    with pytest.raises(OptionError, match='expected plain YAML') as error:
        load(tmp_path, text.format(marker=marker))
    assert not marker.exists()
    assert 'line 1' in str(error.value)


def test_code_in_an_override_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / 'was_here'
    with pytest.raises(OptionError, match='expected plain YAML'):
        override({'a': 1}, f'a=!!python/object/apply:os.system ["touch {marker}"]')
    assert not marker.exists()


@pytest.mark.parametrize(
    ('text', 'line', 'key'), [('a: 1\nb: 2\na: 3\n', 3, 'a'), ('a:\n  x: 1\n  y: 2\n  x: 3\n', 4, 'x')]
)
def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path, text: str, line: int, key: str) -> None:
    with pytest.raises(OptionError, match=rf"options.yml.*line {line}: .*'{key}' again in one block"):
        load(tmp_path, text)


def test_in_a_file_of_basicsr_the_last_of_two_keys_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = 'model_type: SRModel\nname: a\ntrain: {x: 1, x: 2}\nname: b\n'
    assert load(tmp_path, text) == {'model_type': 'SRModel', 'name': 'b', 'train': {'x': 2}}
    assert [message.partition(': ')[2] for message in caplog.messages] == [
        "'x' stands twice in one block; the last one counts.",
        "'name' stands twice in one block; the last one counts.",
    ]
    for block in (
        'calibrate: {budget: 1, budget: 1}',
        'datasets: {train: {type: InfluenceSubsetDataset, budget: 1, budget: 1}}',
        'network_g: {budget: 1, budget: 1, type: FlexIR}',
    ):
        with pytest.raises(OptionError, match="line 5: expected each key once, got 'budget' again"):
            load(tmp_path, f'{text}{block}\n')
    with pytest.raises(OptionError, match="line 3: expected each key once, got 'x' again"):
        load(tmp_path, text.replace('SRModel', 'RestorationModel'))


def test_an_alias_is_a_block_of_its_own(tmp_path: Path) -> None:
    opt = load(tmp_path, 'optim_g: &adam {type: Adam, betas: [0.9, 0.99]}\noptim_d: *adam\n')
    assert opt['optim_g'] == opt['optim_d'] and opt['optim_g'] is not opt['optim_d']
    assert opt['optim_g']['betas'] is not opt['optim_d']['betas']


def test_one_key_in_two_blocks_is_fine(tmp_path: Path) -> None:
    assert load(tmp_path, 'a: {x: 1}\nb: {x: 2}\n') == {'a': {'x': 1}, 'b': {'x': 2}}


def test_merged_blocks_may_be_overridden(tmp_path: Path) -> None:
    """`<<` copies an anchored block; the block's own keys win. No key is given twice in any one block here."""
    text = 'd: &d {a: 1, b: 1}\ndeep:\n  inner: &inner\n    <<: *d\n    a: 2\nshallow:\n  <<: *inner\n  b: 3\n'
    assert load(tmp_path, text) == yaml.safe_load(text)
    assert yaml.safe_load(text)['shallow'] == {'a': 2, 'b': 3}


@pytest.mark.parametrize(('text', 'kind'), [('- a\n- b\n', 'list'), ('', 'NoneType'), ('just text', 'str')])
def test_not_a_mapping(tmp_path: Path, text: str, kind: str) -> None:
    with pytest.raises(OptionError, match=f'expected a mapping of options, got {kind}'):
        load(tmp_path, text)


@pytest.mark.parametrize('text', ['a: [1, 2', 'a: b: c', 'a:\n\t- b'])
def test_not_yaml(tmp_path: Path, text: str) -> None:
    with pytest.raises(OptionError, match=r'(?s)options.yml: expected plain YAML.*line'):
        load(tmp_path, text)


def test_a_forgotten_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='options.yml'):
        load(tmp_path, 'name: {{ name }}\n')


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r'nowhere.yml: expected an option file, got No such file.*Correct the path'):
        load_options(tmp_path / 'nowhere.yml')
    with pytest.raises(OptionError, match='expected an option file'):
        load_options(tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    torch.save({'a': torch.zeros(3)}, tmp_path / 'weights.pth')
    with pytest.raises(OptionError, match='weights.pth'):
        load_options(tmp_path / 'weights.pth')


def test_loader_is_safe() -> None:
    assert issubclass(OptionLoader, yaml.SafeLoader)


def test_nearest() -> None:
    assert nearest('L1Los', ['L1Loss', 'MSELoss', 'Other']) == 'Did you mean L1Loss?'
    assert nearest('zzz', ['b', 'a']) == 'Known names: a, b.'
    assert nearest('zzz', map(str, range(100))) == 'Correct it.'


# ---- overriding ----


@pytest.mark.parametrize(
    ('assignment', 'path', 'value'),
    [
        ('name=other', ('name',), 'other'),
        ('train.optim_g.lr=2e-4', ('train', 'optim_g', 'lr'), 2e-4),
        ('network_g.depths=[1, 2]', ('network_g', 'depths'), [1, 2]),
        ('network_g.depths.1=4', ('network_g', 'depths', 1), 4),
        ('network_g.depths.-1=9', ('network_g', 'depths', -1), 9),
        ('name=a=b', ('name',), 'a=b'),
        ('val=~', ('val',), None),
        ('train.optim_g={type: SGD, lr: 0.1}', ('train', 'optim_g'), {'type': 'SGD', 'lr': 0.1}),
        ('val.save_img=true', ('val', 'save_img'), True),
    ],
)
def test_override(assignment: str, path: tuple[str | int, ...], value: Any) -> None:
    opt = yaml.load(TRAIN, OptionLoader)
    override(opt, assignment)
    found: Any = opt
    for step in path:
        found = found[step]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ('assignment', 'message'),
    [
        ('train.optim_g.rl=1', r"'rl', which is not in train.optim_g. Known names: lr, type"),
        ('trian.total_iter=1', r"'trian', which is not in the option file. Did you mean train"),
        ('train.totl_iter=1', r"'totl_iter', which is not in train. Did you mean total_iter\?"),
        ('network_g.depths.3=1', r"'3', which is not in network_g.depths. Known names: 0, 1, 2"),
        ('network_g.depths.first=1', "'first', which is not in network_g.depths"),
        ('name.x=1', "'x', which is not in name"),
        ('train.total_iter', 'expected key.key=value, got no "="'),
        ('=5', "got ''"),
        ('name=[1', 'expected plain YAML'),
    ],
)
def test_override_refuses(assignment: str, message: str) -> None:
    opt = yaml.load(TRAIN, OptionLoader)
    with pytest.raises(OptionError, match=message) as error:
        override(opt, assignment)
    assert assignment in str(error.value)
    assert opt == yaml.load(TRAIN, OptionLoader)


def test_override_does_not_evaluate() -> None:
    opt = {'name': 'x'}
    override(opt, 'name=__import__("os").getpid()')
    assert opt == {'name': '__import__("os").getpid()'}


@pytest.mark.parametrize(
    'arguments',
    [
        ['--set', 'train.optim_g.lr=2e-4', 'name=other'],
        ['--set', 'train.optim_g.lr=2e-4', '--set', 'name=other'],
        ['--force_yml', 'train:optim_g:lr=2e-4', 'name=other'],
        ['--force_yml', 'train:optim_g:lr=2e-4', '--set', 'name=other'],
    ],
)
def test_overrides_on_the_command_line(tmp_path: Path, arguments: list[str]) -> None:
    opt = parse(tmp_path, *arguments)
    assert (opt['name'], opt['train']['optim_g']['lr']) == ('other', 2e-4)


def test_force_yml_refuses_a_new_key(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='Did you mean total_iter'):
        parse(tmp_path, '--force_yml', 'train:total_itr=1')


# ---- completing ----


def test_train_is_completed(tmp_path: Path) -> None:
    opt = parse(tmp_path)
    assert {key: block['phase'] for key, block in opt['datasets'].items()} == {
        'train': 'train',
        'val': 'val',
        'val_2': 'val',
    }
    assert all(block['scale'] == 2 for block in opt['datasets'].values())
    assert opt['datasets']['train']['dataroot_gt'] == str(Path.home() / 'gt')
    folder = tmp_path / 'root' / 'experiments' / 'tiny'
    assert opt['path'] == {
        'pretrain_network_g': str(Path.home() / 'weights.pth'),
        'resume_state': None,
        'experiments_root': str(folder),
        'models': str(folder / 'models'),
        'training_states': str(folder / 'training_states'),
        'log': str(folder),
        'visualization': str(folder / 'visualization'),
    }
    expected = {'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1, 'auto_resume': False, 'manual_seed': 3}
    assert {key: opt[key] for key in expected} == expected
    assert opt['logger'] == {'print_freq': 100, 'save_checkpoint_freq': 5e3, 'use_tb_logger': False}
    assert not (tmp_path / 'root').exists()


def test_test_is_completed(tmp_path: Path) -> None:
    text = TRAIN.replace('  train:', '  test_1:')
    opt = parse(tmp_path, text=text, is_train=False)
    assert opt['datasets']['test_1']['phase'] == 'test'
    folder = tmp_path / 'root' / 'results' / 'tiny'
    assert opt['path']['results_root'] == opt['path']['log'] == str(folder)
    assert opt['path']['visualization'] == str(folder / 'visualization')
    assert 'experiments_root' not in opt['path']
    assert opt['is_train'] is False


def test_an_empty_path_block_is_filled(tmp_path: Path) -> None:
    opt = parse(tmp_path, text=TRAIN.replace('path: {pretrain_network_g: ~/weights.pth}', 'path:'))
    assert opt['path']['models'].endswith('experiments/tiny/models')


def test_a_missing_seed_is_drawn(tmp_path: Path) -> None:
    seed = parse(tmp_path, text=TRAIN.replace('manual_seed: 3\n', ''))['manual_seed']
    assert 1 <= seed <= 10000


def test_debug(tmp_path: Path) -> None:
    opt = parse(tmp_path, '--debug')
    assert opt['name'] == 'debug_tiny'
    assert opt['path']['experiments_root'].endswith('experiments/debug_tiny')
    assert (opt['logger']['print_freq'], opt['logger']['save_checkpoint_freq'], opt['val']['val_freq']) == (1, 8, 8)
    again = parse(tmp_path, '--debug', '--set', 'name=debug_tiny')
    assert again['name'] == 'debug_tiny'


def test_auto_resume(tmp_path: Path) -> None:
    assert parse(tmp_path, '--auto_resume')['auto_resume'] is True


@pytest.mark.parametrize(('visible', 'used'), [(0, 0), (1, 1), (4, 1)])
def test_num_gpu_auto_is_at_most_one(monkeypatch: Any, tmp_path: Path, visible: int, used: int) -> None:
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: visible)
    assert parse(tmp_path, '--set', 'num_gpu=auto')['num_gpu'] == used


@pytest.mark.parametrize(('visible', 'place'), [(0, 'on the CPU'), (2, 'on 2 of them'), (4, None)])
def test_more_gpus_than_there_are(
    monkeypatch: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path, visible: int, place: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: visible)
    assert parse(tmp_path, '--set', 'num_gpu=4')['num_gpu'] == visible
    said = [f'num_gpu: 4 GPUs are asked for, {visible} are visible: this runs {place}.']
    assert caplog.messages == (said if place else [])


@pytest.mark.parametrize(
    ('right', 'wrong'),
    [
        ('name: tiny', 'nmae: tiny'),
        ('model_type:', 'model_typ:'),
        ('num_gpu:', 'num_gpus:'),
        ('datasets:', 'dataset:'),
        ('logger:', 'loger:'),
        ('train: {total', 'trian: {total'),
    ],
)
def test_a_missing_key_names_the_slip(tmp_path: Path, right: str, wrong: str) -> None:
    key, slip = right.split(':')[0], wrong.split(':')[0]
    with pytest.raises(OptionError, match=f"^{key}: expected a value, got none. Rename '{slip}'"):
        parse(tmp_path, text=TRAIN.replace(f'\n{right}', f'\n{wrong}'))


def test_a_missing_key_without_slip(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='^num_gpu: expected a value, got none. Add it.'):
        parse(tmp_path, text=TRAIN.replace('num_gpu: 0\n', ''))


@pytest.mark.parametrize(
    ('right', 'wrong', 'message'),
    [
        ('{name: b, type:', '{nam: b, type:', r"datasets\.val\.name: expected a value, got none. Rename 'nam'"),
        ('{name: b, type:', '{name: b, tpye:', r"datasets\.val\.type: expected a value, got none. Rename 'tpye'"),
        ('{name: b, type: PairedImageDataset}', '~', r'datasets\.val: expected a block of options, got None'),
    ],
)
def test_a_dataset_block_without_name_or_type(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse(tmp_path, text=TRAIN.replace(right, wrong))


@pytest.mark.parametrize(
    'assignment',
    ['datasets=5', 'datasets=[a]', 'num_gpu=two', 'num_gpu=~', 'logger=~', 'path=weights.pth', 'name=5', 'val=[1]'],
)
def test_malformed_top_level_is_an_option_error(tmp_path: Path, assignment: str) -> None:
    with pytest.raises(OptionError, match=f'^{assignment.split("=")[0]}: expected'):
        parse(tmp_path, '--debug', '--set', assignment)


# ---- command line ----


@pytest.mark.parametrize(
    'words', [['--local_rank', '1'], ['--local-rank', '1'], ['--local-rank=1'], ['--local_rank=1']]
)
def test_both_spellings_of_local_rank(tmp_path: Path, words: list[str]) -> None:
    _, args, _ = parse_options(tmp_path, True, ['-opt', write(tmp_path, TRAIN), *words])
    assert args.local_rank == 1


@pytest.mark.parametrize('words', [[], ['-opt'], ['-opt', 'x', '--launcher', 'mpi'], ['-opt', 'x', '--resume']])
def test_wrong_command_line(tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_options(tmp_path, True, words)
    assert stop.value.code == 2
    assert 'usage: basicsr-ext train' in capsys.readouterr().err


def test_option_errors_are_value_errors() -> None:
    assert issubclass(OptionError, BasicsrExtError)
    assert issubclass(OptionError, ValueError)


def test_a_file_inside_a_package_is_found(tmp_path: Path) -> None:
    text = TRAIN.replace('~/weights.pth', 'pkg://basicsr_ext/py.typed')
    found = Path(parse(tmp_path, text=text)['path']['pretrain_network_g'])
    assert found.is_file()
    assert found.parts[-2:] == ('basicsr_ext', 'py.typed')


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="pkg://no_such/a.pth: expected an installed package, got 'no_such'"):
        find_file('pkg://no_such/a.pth')
