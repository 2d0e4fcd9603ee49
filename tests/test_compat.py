"""Each repair of BasicSR 1.4.2: the original fails, the repaired function does not."""

import importlib
import importlib.util
import logging
import os
import random
import re
import subprocess
import sys
import textwrap
import time
import types
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import basicsr.test
import basicsr.train
import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr import data as basicsr_data
from basicsr.data import data_util, degradations
from basicsr.models import base_model, lr_scheduler
from basicsr.utils import dist_util, file_client, logger, options, registry

from basicsr_ext import _compat
from basicsr_ext.errors import CheckpointError, DataError, NameClashError
from basicsr_ext.images.lmdb_env import open_lmdb
from tests.helpers import processes
from tests.helpers.processes import run_ranks

PACKAGE = Path(_compat.__file__).parent
cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason='upstream fails here on CPU only')


def run(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new interpreter on CPU; `before` in `environment` comes first on its path."""
    path = os.pathsep.join(filter(None, [environment.pop('before', ''), str(PACKAGE.parent), os.getenv('PYTHONPATH')]))
    return subprocess.run(
        [sys.executable, '-c', textwrap.dedent(script), *map(str, arguments)],
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def script(folder: Path, text: str) -> str:
    """Write a script and return its path."""
    path = folder / 'script.py'
    path.write_text(textwrap.dedent(text))
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """8 pairs of random PNGs, 24x24 and 12x12 pixels."""
    rng = np.random.default_rng(0)
    for name, size in (('gt', 24), ('lq', 12)):
        (tmp_path / name).mkdir()
        for index in range(8):
            cv2.imwrite(str(tmp_path / name / f'{index}.png'), rng.integers(0, 256, (size, size, 3), np.uint8))
    return tmp_path


def option_text(folder: Path, total_iter: int = 6, batch: int = 5) -> str:
    """A training as upstream's option files have it, with every key that upstream stumbles over."""
    paired = f'type: PairedImageDataset, dataroot_gt: {folder}/gt, dataroot_lq: {folder}/lq, io_backend: {{type: disk}}'
    return textwrap.dedent(f"""
        name: tiny
        model_type: SRModel
        scale: 2
        num_gpu: auto
        manual_seed: 0
        datasets:
          train: {{name: tiny, {paired}, gt_size: 16, use_hflip: true, use_rot: true, batch_size_per_gpu: {batch},
                  num_worker_per_gpu: 0, persistent_workers: true}}
          val: {{name: tiny, {paired}, persistent_workers: true}}
        network_g: {{type: MSRResNet, num_in_ch: 3, num_out_ch: 3, num_feat: 4, num_block: 1, upscale: 2}}
        path: {{pretrain_network_g: ~, resume_state: ~}}
        train:
          optim_g: {{type: Adam, lr: 1e-4}}
          scheduler: {{type: MultiStepLR, milestones: [2, 4], gamma: 0.5}}
          total_iter: {total_iter}
          pixel_opt: {{type: L1Loss, loss_weight: 1.0, reduction: mean}}
        val: {{val_freq: 3, save_img: false, metrics: {{psnr: {{type: calculate_psnr, crop_border: 2}}}}}}
        logger: {{print_freq: 1, save_checkpoint_freq: 3}}
        """)


def read_options(folder: Path, **kwargs: Any) -> dict[str, Any]:
    opt = yaml.load(option_text(folder, **kwargs), Loader=options.ordered_yaml()[0])
    for phase in opt['datasets']:
        opt['datasets'][phase].update(phase=phase, scale=2)
    return {**opt, 'world_size': 1, 'rank': 0, 'dist': False, 'num_gpu': 0, 'is_train': True, 'auto_resume': True}


def model(folder: Path) -> base_model.BaseModel:
    path = {'models': str(folder / 'models'), 'training_states': str(folder / 'training_states')}
    return base_model.BaseModel({'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'path': path})


# ---- the table ----


@pytest.mark.parametrize('entry', _compat.REPAIRS, ids=lambda entry: entry.where)
def test_the_cited_line_of_upstream_holds_the_code_and_the_repair_is_in_place(entry: _compat.Repair) -> None:
    file, number = entry.where.split(':')
    root = Path(importlib.util.find_spec('basicsr').origin).parent.parent
    assert entry.code in (root / file).read_text(encoding='utf-8').splitlines()[int(number) - 1]
    assert len(entry.symptom) > 20
    if entry.target is not None:
        patched: Any = importlib.import_module(entry.module)
        for name in entry.target.split('.'):
            patched = getattr(patched, name)
        assert patched.repaired_by is entry.function
        assert patched.__wrapped__ is not patched


def test_functions_that_moved_are_found_where_hat_looks() -> None:
    from basicsr.utils import color_util, matlab_functions

    for name in ('rgb2ycbcr', 'bgr2ycbcr', 'ycbcr2rgb', 'ycbcr2bgr'):
        assert getattr(matlab_functions, name) is getattr(color_util, name)
    assert matlab_functions.imresize.__module__ == matlab_functions.__name__


def test_install_twice_changes_nothing() -> None:
    before = basicsr.train.parse_options, len(sys.meta_path)
    _compat.install()
    assert (basicsr.train.parse_options, len(sys.meta_path)) == before


def test_names_imported_by_value_are_repaired() -> None:
    assert basicsr.train.parse_options is basicsr.test.parse_options is options.parse_options
    assert basicsr.train.build_dataloader is basicsr.test.build_dataloader is basicsr_data.build_dataloader
    assert basicsr.train.load_resume_state.repaired_by is _compat.load_resume_state


def test_without_repairs_the_import_fails() -> None:
    result = run('import basicsr_ext, basicsr', BASICSR_EXT_COMPAT='0')
    assert result.returncode != 0
    assert any(name in result.stderr for name in ('functional_tensor', 'torchvision::nms', 'distutils'))


# ---- imports ----


@pytest.mark.parametrize(
    ('version', 'said'), [("__version__ = '1.3.4'", '1.3.4 in '), (None, 'one without a version in ')]
)
def test_a_checkout_with_its_own_basicsr_is_explained(version: str | None, said: str, tmp_path: Path) -> None:
    (tmp_path / 'basicsr').mkdir()
    (tmp_path / 'basicsr/__init__.py').write_text('from .archs import *\n')
    if version is not None:
        (tmp_path / 'basicsr/version.py').write_text(version)
    (tmp_path / 'script.py').write_text('import basicsr_ext\nimport basicsr\n')
    output = processes.run(['script.py'], tmp_path, code=1, fresh=True)
    (line,) = [line for line in output.splitlines() if line.startswith('basicsr_ext.errors.UpstreamError')]
    assert f'basicsr: expected BasicSR 1.4.2, which is installed, got {said}{tmp_path}/basicsr (Module' in line
    assert line.endswith('Start in another folder, or call `basicsr-ext`, which does not look into the current one.')


@pytest.mark.parametrize('name', ['functional_tensor', 'filters'])
def test_removed_modules_are_served_only_if_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full_name, known = {
        'functional_tensor': ('torchvision.transforms.functional_tensor', 'rgb_to_grayscale'),
        'filters': ('scipy.ndimage.filters', 'convolve'),
    }[name]
    assert hasattr(importlib.import_module(full_name), known)
    if type(sys.modules[full_name].__spec__.loader) is not _compat.AliasFinder:
        return  # these libraries still have it
    monkeypatch.delitem(sys.modules, full_name)
    monkeypatch.setattr(sys, 'meta_path', [f for f in sys.meta_path if not isinstance(f, _compat.AliasFinder)])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(full_name)


@pytest.mark.parametrize(
    ('name', 'known'), [('distutils.version', 'LooseVersion'), ('scipy.ndimage.filters', 'convolve')]
)
def test_aliases_hold_what_upstream_asks_for(name: str, known: str) -> None:
    spec = _compat.AliasFinder().find_spec(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert hasattr(module, known)
    assert _compat.AliasFinder().find_spec('torchvision.other') is None


LOAD_ALONE = f"""
    import sys, types
    package = types.ModuleType('basicsr_ext')  # _compat without what the package imports
    package.__path__ = [{str(PACKAGE)!r}]
    sys.modules['basicsr_ext'] = package
    from basicsr_ext import _compat
"""


@pytest.mark.parametrize('message', ['torchvision::nms', 'another reason'])
def test_torchvision_without_its_operators(message: str, tmp_path: Path) -> None:
    (tmp_path / 'torchvision').mkdir()
    broken = 'raise RuntimeError("another reason")' if 'reason' in message else ''
    (tmp_path / 'torchvision' / '__init__.py').write_text(
        f'import torch\n{broken}\nfrom torchvision import ops\n__version__ = "0"\n'
    )
    (tmp_path / 'torchvision' / 'ops.py').write_text(
        'import torch\n@torch.library.register_fake("torchvision::nms")\ndef nms(dets, scores, t):\n    return dets\n'
    )
    define_twice = """
    for _ in range(2):
        _compat.define_missing_operators()
    import torchvision
    print(torchvision.__version__, torchvision.ops.nms.__name__)
    """
    repaired = run(LOAD_ALONE + define_twice, before=str(tmp_path))
    if 'reason' in message:
        assert 'another reason' in repaired.stderr
    else:
        assert 'torchvision::nms' in run('import torchvision', before=str(tmp_path)).stderr
        assert repaired.stdout.split() == ['0', 'nms'], repaired.stderr


# ---- options and logger ----


@pytest.mark.parametrize('words', [['--local-rank=0'], ['--local-rank', '0'], ['--local_rank=0']])
def test_local_rank_in_both_spellings(words: list[str], images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (images / 'tiny.yml').write_text(option_text(images))
    argv = ['train.py', '-opt', str(images / 'tiny.yml'), *words]
    monkeypatch.setattr(sys, 'argv', argv)
    opt, args = options.parse_options(str(images))
    assert (opt['name'], args.local_rank) == ('tiny', 0)
    assert sys.argv is argv
    if '-rank' in words[0]:
        with pytest.raises(SystemExit):
            options.parse_options.__wrapped__(str(images))


def test_numbers_in_exponent_notation() -> None:
    assert yaml.load('lr: 1e-4', Loader=options.ordered_yaml()[0]) == {'lr': 1e-4}
    assert yaml.load('lr: 1e-4', Loader=options.ordered_yaml.__wrapped__()[0]) == {'lr': '1e-4'}
    assert yaml.dump({'a': 1}, Dumper=options.ordered_yaml()[1]) == 'a: 1\n'


@pytest.mark.parametrize(
    ('text', 'value'), [('1e-4', 1e-4), ('-1', -1), ('-0.5', -0.5), ('3', 3), ('net_1e', 'net_1e'), ('nan', 'nan')]
)
def test_numbers_on_the_command_line(text: str, value: object) -> None:
    result = options._postprocess_yml_value(text)
    assert (result, type(result)) == (value, type(value))


def test_exponent_on_the_command_line_was_text() -> None:
    assert options._postprocess_yml_value.__wrapped__('1e-4') == '1e-4'


@pytest.mark.parametrize('old', [True, False])
def test_wandb_of_today_and_before(monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
    begun: list[dict[str, Any]] = []
    util = types.SimpleNamespace(generate_id=lambda: 'given') if old else types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, 'wandb', types.SimpleNamespace(util=util, init=lambda **keys: begun.append(keys)))
    opt = {'name': 'x', 'logger': {'wandb': {'project': 'p', 'resume_id': None}}}
    logger.init_wandb_logger(opt)
    assert begun[0]['project'] == 'p' and begun[0]['sync_tensorboard']
    assert begun[0]['id'] == 'given' if old else re.fullmatch('[0-9a-f]{8}', begun[0]['id'])


def test_missing_use_tb_logger() -> None:
    opt = {'name': 'n', 'logger': {'print_freq': 1}, 'train': {'total_iter': 1}}
    with pytest.raises(KeyError, match='use_tb_logger'):
        logger.MessageLogger.__init__.__wrapped__(object.__new__(logger.MessageLogger), opt)
    assert logger.MessageLogger(opt).use_tb_logger is False
    assert opt['logger'] == {'print_freq': 1}
    opt['logger']['use_tb_logger'] = True
    assert logger.MessageLogger(opt).use_tb_logger is True


def load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('order', [('ours', 'theirs'), ('theirs', 'ours')])
def test_a_name_clash_names_both_places(order: tuple[str, str], tmp_path: Path) -> None:
    objects = []
    for name in order:
        (tmp_path / f'{name}.py').write_text('\n\nclass Net:\n    pass\n')
        objects.append(load(tmp_path / f'{name}.py', f'clash_{name}').Net)
    table = registry.Registry('arch')
    table.register(objects[0])
    with pytest.raises(AssertionError):
        registry.Registry._do_register.__wrapped__(table, 'Net', objects[1])
    with pytest.raises(NameClashError, match='arch registry: expected one object named Net') as caught:
        table.register(objects[1])
    assert f'{tmp_path / order[0]}.py:3 and {tmp_path / order[1]}.py:3' in str(caught.value)
    assert table.get('Net') is objects[0]


def test_reloading_a_module_replaces_its_entry(tmp_path: Path) -> None:
    (tmp_path / 'net.py').write_text('class Net:\n    pass\n')
    table = registry.Registry('arch')
    table.register(load(tmp_path / 'net.py', 'reloaded').Net, suffix='v2')
    again = load(tmp_path / 'net.py', 'reloaded').Net
    table.register(again, suffix='v2')
    assert list(table) == [('Net_v2', again)]


# ---- processes and devices ----


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Record what the process group and the device would be, on a machine with `gpus` GPUs."""
    seen: dict[str, Any] = {'gpus': 0}
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: seen['gpus'])
    monkeypatch.setattr(torch.cuda, 'set_device', lambda device: seen.update(device=device))
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda **kwargs: seen.update(kwargs))
    monkeypatch.setattr(subprocess, 'check_output', lambda *args, **kwargs: 'node1\nnode2\n')
    slurm = {'SLURM_PROCID': '3', 'SLURM_NTASKS': '4', 'SLURM_NODELIST': 'node[1-2]', 'SLURM_LOCALID': '1'}
    monkeypatch.setattr(os, 'environ', {'RANK': '3', **slurm})
    return seen


TORCHRUN = {'WORLD_SIZE': '4', 'MASTER_ADDR': 'node1', 'MASTER_PORT': '29400'}


def test_torchrun_without_a_gpu(joined: dict[str, Any]) -> None:
    os.environ.update(TORCHRUN)
    with pytest.raises(ZeroDivisionError):
        dist_util._init_dist_pytorch.__wrapped__('nccl')
    dist_util._init_dist_pytorch('nccl', timeout=1)
    assert joined == {'gpus': 0, 'backend': 'gloo', 'timeout': timedelta(seconds=1)}


@pytest.mark.parametrize(('environment', 'device'), [({}, 1), ({'LOCAL_RANK': '0'}, 0)])
def test_torchrun_with_gpus(environment: dict[str, str], device: int, joined: dict[str, Any]) -> None:
    joined['gpus'] = 2
    os.environ.update({**TORCHRUN, **environment})
    dist_util._init_dist_pytorch('nccl')
    assert (joined['backend'], joined['device']) == ('nccl', device)


def test_slurm_without_a_gpu(joined: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        dist_util._init_dist_slurm.__wrapped__('nccl')
    dist_util._init_dist_slurm('nccl')
    assert joined['backend'] == 'gloo'
    names = ('MASTER_ADDR', 'MASTER_PORT', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK')
    assert [os.environ[name] for name in names] == ['node1', '29500', '3', '4', '1']


TWO_PROCESSES = """
    import os, sys, time, datetime
    import torch, torch.distributed as dist, yaml
    import basicsr_ext
    from basicsr.models.base_model import BaseModel
    from basicsr.models.sr_model import SRModel
    from basicsr.utils.dist_util import init_dist
    from basicsr.utils.options import ordered_yaml

    init_dist('pytorch')
    rank = dist.get_rank()
    dist.barrier()
    short = dist.new_group(timeout=datetime.timedelta(seconds=1.5))  # stands for the timeout that upstream runs into
    opt = yaml.load(open(sys.argv[1]), Loader=ordered_yaml()[0])
    opt.update(dist=True, num_gpu=0, rank=rank, world_size=2, is_train=True)

    class Slow(SRModel):
        def nondist_validation(self, *args):
            self.validated = type(self.net_g).__name__
            time.sleep(self.pause)

    try:
        BaseModel.model_to_device.__wrapped__(BaseModel(opt), torch.nn.Linear(1, 1))
    except Exception as error:
        print('original model_to_device:', type(error).__name__)
    torch.manual_seed(rank)
    model = Slow(opt)
    model.feed_data({'lq': torch.rand(2, 3, 8, 8), 'gt': torch.rand(2, 3, 16, 16)})
    model.optimize_parameters(1)
    total = torch.cat([p.detach().flatten() for p in model.net_g.parameters()])
    other = total.clone()
    dist.broadcast(other, 0)
    print('same weights:', torch.equal(total, other))
    for model.pause in (2, 0):
        model.validation(None, 1, None)
        dist.all_reduce(torch.ones(1), group=short)
    print('validated:', getattr(model, 'validated', None), 'after:', type(model.net_g).__name__)
    SRModel.dist_validation = SRModel.dist_validation.__wrapped__
    model.pause = 2
    try:
        model.validation(None, 1, None)
        dist.all_reduce(torch.ones(1), group=short)
    except RuntimeError as error:
        print('original dist_validation:', type(error).__name__)
    print('done', flush=True)
    os._exit(0)
"""


def test_two_processes_on_cpu_train_and_wait_for_validation(images: Path) -> None:
    (images / 'tiny.yml').write_text(option_text(images))
    outputs = run_ranks([script(images, TWO_PROCESSES), str(images / 'tiny.yml')], images, CUDA_VISIBLE_DEVICES='')
    for rank, output in enumerate(outputs):
        assert output.endswith('done\n'), output
        assert 'original model_to_device:' in output
        assert 'same weights: True' in output
        expected = 'MSRResNet' if rank == 0 else None
        assert f'validated: {expected} after: DistributedDataParallel' in output
    assert 'original dist_validation: ' in outputs[1]


# ---- checkpoints ----


def write_states(folder: Path, *iterations: int) -> dict[str, Any]:
    """Save a state and a network for each iteration; return the options that find them."""
    saver = model(folder)
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    saver.optimizers = [optimizer]
    saver.schedulers = [lr_scheduler.MultiStepRestartLR(optimizer, [2, 4])]
    for iteration in iterations:
        saver.save_network(net, 'net_g', iteration)
        saver.save_training_state(1, iteration)
    return {
        **saver.opt,
        'name': 'tiny',
        'auto_resume': True,
        'network_g': {},
        'network_t': {},
        'path': saver.opt['path'],
    }


def test_auto_resume_looks_in_the_experiment_not_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt = write_states(tmp_path / 'run', 5, 10)
    monkeypatch.chdir(tmp_path)
    assert basicsr.train.load_resume_state.__wrapped__(opt) is None
    state = basicsr.train.load_resume_state(opt)
    assert (state['iter'], state['epoch']) == (10, 1)
    assert state['schedulers'][0]['milestones'] == Counter({2: 1, 4: 1})
    assert opt['path']['pretrain_network_g'].endswith('net_g_10.pth')


@cpu_only
def test_resume_on_cpu(tmp_path: Path) -> None:
    opt = {**write_states(tmp_path, 5), 'auto_resume': False}
    opt['path']['resume_state'] = str(tmp_path / 'training_states' / '5.state')
    with pytest.raises((AssertionError, RuntimeError)):
        basicsr.train.load_resume_state.__wrapped__(opt)
    assert basicsr.train.load_resume_state(opt)['iter'] == 5


@pytest.mark.parametrize('damaged', ['training_states/10.state', 'models/net_g_10.pth', 'models/net_t_10.pth'])
def test_auto_resume_falls_back_to_the_newest_complete_state(
    damaged: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opt = write_states(tmp_path, 4, 5, 10)
    file = tmp_path / damaged
    content = file.read_bytes() if file.exists() else bytes(10)
    file.write_bytes(content[: len(content) // 2])
    state = basicsr.train.load_resume_state(opt)
    assert state['iter'] == 5
    assert str(file) in caplog.text
    assert '5.state instead' in caplog.text


def test_auto_resume_with_a_missing_network_or_none_left(tmp_path: Path) -> None:
    opt = write_states(tmp_path, 5, 10)
    (tmp_path / 'models/net_g_10.pth').unlink()
    assert basicsr.train.load_resume_state(opt)['iter'] == 5
    (tmp_path / 'models/net_g_5.pth').unlink()
    with pytest.raises(CheckpointError, match=r'--auto_resume: expected a complete state.*net_g_10\.pth.*net_g_5\.pth'):
        basicsr.train.load_resume_state(opt)
    opt['path']['ignore_resume_networks'] = ['network_g']
    assert basicsr.train.load_resume_state(opt)['iter'] == 10


def test_resume_states_may_hold_more_and_none_is_no_error(tmp_path: Path) -> None:
    opt = write_states(tmp_path, 5)
    path = tmp_path / 'training_states' / '5.state'
    torch.save({**torch.load(path, weights_only=True), 'rng': [{'torch': torch.get_rng_state(), 'best': 1.5}]}, path)
    (tmp_path / 'training_states' / 'notes.state').write_text('not a state')
    assert basicsr.train.load_resume_state(opt)['rng'][0]['best'] == 1.5
    opt['path']['training_states'] = str(tmp_path / 'nowhere')
    assert basicsr.train.load_resume_state(opt) is None


@pytest.mark.parametrize('what', ['save_network', 'save_training_state'])
def test_a_checkpoint_that_cannot_be_written_raises(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    (tmp_path / 'models').write_text('a file')
    (tmp_path / 'training_states').write_text('a file')
    saver = model(tmp_path)
    arguments = (torch.nn.Linear(1, 1), 'net_g', 7) if what == 'save_network' else (0, 7)
    getattr(base_model.BaseModel, what).__wrapped__(saver, *arguments)  # says nothing
    with pytest.raises(CheckpointError, match=r'(net_g_7\.pth|7\.state)'):
        getattr(saver, what)(*arguments)


@pytest.mark.parametrize('what', ['save_network', 'save_training_state'])
def test_a_kill_while_writing_keeps_the_old_file(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saver = model(tmp_path)
    write_states(tmp_path, 7)
    file = tmp_path / ('models/net_g_7.pth' if what == 'save_network' else 'training_states/7.state')
    before = file.read_bytes()
    arguments = (torch.nn.Linear(1, 1), 'net_g', 7) if what == 'save_network' else (0, 7)

    def killed(obj: object, target: Any, **kwargs: Any) -> None:
        with open(target, 'wb') if isinstance(target, str) else target as stream:
            stream.write(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, 'save', killed)
    with pytest.raises(KeyboardInterrupt):
        getattr(saver, what)(*arguments)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    with pytest.raises(KeyboardInterrupt):
        getattr(base_model.BaseModel, what).__wrapped__(saver, *arguments)
    assert file.read_bytes() == b'half'


def test_a_write_that_fails_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    saver, save, failures = model(tmp_path), torch.save, [OSError('stale file handle')]

    def flaky(*args: Any, **kwargs: Any) -> None:
        if failures:
            raise failures.pop()
        save(*args, **kwargs)

    monkeypatch.setattr(torch, 'save', flaky)
    saver.save_network(torch.nn.Linear(1, 1), 'net_g', -1)
    assert (tmp_path / 'models' / 'net_g_latest.pth').is_file()


def test_saved_networks_are_as_upstream_saves_them(tmp_path: Path) -> None:
    saver = model(tmp_path)
    nets = [torch.nn.DataParallel(torch.nn.BatchNorm2d(3)), torch.nn.Linear(2, 1)]
    (tmp_path / 'models').mkdir()
    loaded = []
    for save in (base_model.BaseModel.save_network.__wrapped__, base_model.BaseModel.save_network):
        save(saver, nets, 'net_g', 3, ['params', 'params_ema'])
        loaded.append(torch.load(tmp_path / 'models' / 'net_g_3.pth', weights_only=True))
    theirs, ours = loaded
    assert list(ours) == ['params', 'params_ema']
    for key, weights in theirs.items():
        assert ours[key]._metadata == weights._metadata
        torch.testing.assert_close(ours[key], weights, rtol=0, atol=0)


def test_a_foreign_checkpoint_loads(tmp_path: Path) -> None:
    source, target = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    torch.save({f'module.{name}': value for name, value in source.state_dict().items()}, tmp_path / 'net.pth')
    with pytest.raises(KeyError, match='params'):
        base_model.BaseModel.load_network.__wrapped__(model(tmp_path), target, str(tmp_path / 'net.pth'))
    model(tmp_path).load_network(target, str(tmp_path / 'net.pth'))
    assert torch.equal(source.weight, target.weight)


# ---- schedule and data ----


def test_cosine_past_its_periods() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 1e-3)
    scheduler = lr_scheduler.CosineAnnealingRestartLR(optimizer, periods=[2, 2], restart_weights=[1, 0.5], eta_min=1e-5)
    rates = []
    for _ in range(7):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]['lr'])
    assert rates == pytest.approx([5.05e-4, 1e-5, 2.575e-4 - 2.5e-6 / 2, 1e-5, 1e-5, 1e-5, 1e-5], rel=1e-2)
    with pytest.raises(TypeError):
        lr_scheduler.CosineAnnealingRestartLR.get_lr.__wrapped__(scheduler)


def test_epochs_are_those_of_the_loader(images: Path) -> None:
    opt, log = read_options(images, total_iter=20), logging.getLogger('test')
    opt['datasets']['train']['persistent_workers'] = False
    original = basicsr.train.create_train_val_dataloader.__wrapped__(opt, log)
    assert (original[3] + 1) * len(original[0]) == 11  # upstream's loop visits one epoch more than it counts
    loader, _, _, epochs, _ = basicsr.train.create_train_val_dataloader(opt, log)
    assert (epochs, epochs * len(loader)) == (20, 20)
    opt['resume_point'] = {'epoch': 100, 'iter': 15}  # from a run with a smaller epoch
    assert basicsr.train.create_train_val_dataloader(opt, log)[3] == 105


def test_a_batch_larger_than_the_data_raises(images: Path) -> None:
    opt, log = read_options(images, batch=16), logging.getLogger('test')
    opt['datasets']['train']['persistent_workers'] = False
    assert len(basicsr.train.create_train_val_dataloader.__wrapped__(opt, log)[0]) == 0
    with pytest.raises(DataError, match=r'datasets.train: expected at least one batch of 16 images per process, got 8'):
        basicsr.train.create_train_val_dataloader(opt, log)


@pytest.mark.parametrize('phase', ['train', 'val'])
def test_persistent_workers_without_workers(phase: str, images: Path) -> None:
    opt = read_options(images)['datasets'][phase]
    data_set = list(range(8))
    with pytest.raises(ValueError, match='persistent_workers'):
        basicsr_data.build_dataloader.__wrapped__(data_set, opt, num_gpu=0)
    assert basicsr_data.build_dataloader(data_set, opt, num_gpu=0).persistent_workers is False
    assert opt['persistent_workers'] is True


def test_persistent_workers_with_workers_stay(images: Path) -> None:
    opt = {**read_options(images)['datasets']['train'], 'num_worker_per_gpu': 1}
    assert basicsr_data.build_dataloader(list(range(8)), opt, num_gpu=0).persistent_workers is True


def test_pairs_are_found_as_upstream_finds_them(tmp_path: Path) -> None:
    for folder, ending in (('lq', 'x2'), ('gt', '')):
        (tmp_path / folder / 'below').mkdir(parents=True)
        for name in ('b.c', '.hidden', 'a', 'd'):
            (tmp_path / folder / f'{name}{ending}.png').write_bytes(b'')
    arguments = [str(tmp_path / 'lq'), str(tmp_path / 'gt')], ['lq', 'gt'], '{}x2'
    found = data_util.paired_paths_from_folder(*arguments)
    assert found == data_util.paired_paths_from_folder.__wrapped__(*arguments)
    assert len(found) == 3
    (tmp_path / 'lq/ax2.png').rename(tmp_path / 'lq/a.png')
    with pytest.raises(AssertionError, match=r'ax2\.png is not in lq_paths'):
        data_util.paired_paths_from_folder(*arguments)


def test_jpeg_quality_is_an_integer() -> None:
    image = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    if int(cv2.__version__.partition('.')[0]) >= 5:
        with pytest.raises(cv2.error):
            degradations.add_jpg_compression.__wrapped__(image, 50.7)
    assert np.array_equal(degradations.add_jpg_compression(image, 50.7), degradations.add_jpg_compression(image, 50))
    random.seed(0)
    assert degradations.random_add_jpg_compression(image, (30, 95)).shape == image.shape


@pytest.fixture
def database(tmp_path: Path) -> str:
    lmdb = pytest.importorskip('lmdb')
    with lmdb.open(str(tmp_path / 'data.lmdb'), map_size=1 << 20) as environment, environment.begin(write=True) as txn:
        txn.put(b'key', b'value')
    return str(tmp_path / 'data.lmdb')


class Reader:
    """A data set of two items that reads through a backend made in the parent and one made where it runs."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.client = file_client.FileClient('lmdb', db_paths=path)

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> bytes:
        mine = file_client.FileClient('lmdb', db_paths=[self.path], client_keys=['gt']).get('key', 'gt')
        return self.client.get('key') + mine


def test_lmdb_is_shared_in_a_process(database: str) -> None:
    lmdb = pytest.importorskip('lmdb')
    first = file_client.LmdbBackend(database)
    with pytest.raises(lmdb.Error, match='already open'):
        file_client.LmdbBackend.__init__.__wrapped__(object.__new__(file_client.LmdbBackend), database)
    second = file_client.LmdbBackend([database, database], ['lq', 'gt'])
    assert first.get('key', 'default') == second.get('key', 'gt') == b'value'
    assert second.db_paths == [database, database]
    assert open_lmdb(database) is open_lmdb(Path(database))


def test_lmdb_in_forked_workers(database: str) -> None:
    reader = Reader(database)
    loader = torch.utils.data.DataLoader(reader, batch_size=None, num_workers=2, multiprocessing_context='fork')
    assert list(loader) == [b'valuevalue'] * 2
    assert reader[0] == b'valuevalue'


def test_lmdb_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('lmdb')
    with pytest.raises(DataError, match=r'nothing\.lmdb: expected a folder with data\.mdb'):
        open_lmdb(tmp_path / 'nothing.lmdb')
    with pytest.raises(AssertionError, match='same length'):
        file_client.LmdbBackend('a', ['x', 'y'])
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    with pytest.raises(DataError, match='pip install lmdb'):
        open_lmdb(tmp_path / 'nothing.lmdb')


# ---- all together ----

TRAIN = """
    import sys
    import basicsr_ext
    from basicsr.train import train_pipeline
    root = sys.argv.pop(1)
    train_pipeline(root)
"""


def test_upstreams_own_loop_trains_and_resumes_from_another_folder(images: Path) -> None:
    option_file, elsewhere = images / 'tiny.yml', images / 'elsewhere'
    elsewhere.mkdir()
    option_file.write_text(option_text(images, total_iter=6))
    arguments = [script(images, TRAIN), str(images), '-opt', str(option_file), '--auto_resume']
    first = processes.run(arguments, images, CUDA_VISIBLE_DEVICES='')
    states = images / 'experiments/tiny/training_states'
    assert sorted(path.name for path in states.iterdir()) == ['3.state', '6.state'], first
    option_file.write_text(option_text(images, total_iter=9))
    second = processes.run(arguments, elsewhere, CUDA_VISIBLE_DEVICES='')
    assert 'Resuming training from epoch: 5, iter: 6' in second
    assert sorted(path.name for path in states.iterdir()) == ['3.state', '6.state', '9.state']
    assert [path.name for path in (images / 'experiments').iterdir()] == ['tiny']
    assert torch.load(states / '9.state', weights_only=True)['schedulers'][0]['last_epoch'] == 8


TEST = """
    import sys
    import basicsr_ext
    from basicsr.test import test_pipeline
    test_pipeline(sys.argv.pop(1))
"""


def test_upstreams_own_test_runs(images: Path) -> None:
    text = option_text(images).replace('  train: {', '  test_1: {').replace('  val: {', '  test_2: {')
    (images / 'tiny.yml').write_text(
        text.replace('val: {val_freq: 3, save_img: false', 'val: {suffix: x, save_img: true')
    )
    arguments = [script(images, TEST), str(images), '-opt', str(images / 'tiny.yml')]
    assert '# psnr' in processes.run(arguments, images, CUDA_VISIBLE_DEVICES='')
    assert len(list((images / 'results/tiny/visualization/tiny').iterdir())) == 8
